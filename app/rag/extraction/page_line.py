"""A line of a printed page."""

from __future__ import annotations

from dataclasses import dataclass

LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\xa0": " "})


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page, the size of its largest letters and its vertical position (up from the bottom), in points."""

    text: str
    size: float
    height: float
    apart: bool = False
    """Set for a line that is a paragraph of its own."""

    @classmethod
    def normalized(cls, text: str, size: float, height: float, *, apart: bool = False) -> Line:
        """Build a line with ligatures split, single spaces, and its size rounded to half points."""
        return cls(" ".join(text.translate(LIGATURES).split()), round(size * 2) / 2, height, apart)
