"""Comparison of texts without white space, case and marks, which differ between formats."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

TAG = re.compile(r"<[^<>]*>")


def fold(text: str) -> str:
    """Return a text in lower case and compatible characters, with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Letters:
    """The letters and digits of a text with their offsets, which markup does not change."""

    def __init__(self, text: str) -> None:
        places = [(one, place) for place, char in enumerate(text) for one in char.casefold() if one.isalnum()]
        self._letters = "".join(one for one, _ in places)
        self._places = [place for _, place in places]
        self._size = len(text)

    def span(self, wanted: str, near: float = 0.0) -> tuple[int, int] | None:
        """Return the start and end of an occurrence of a string; None without one.

        Args:
            wanted: the string to find; parts that resemble tags may be absent from the text.
            near: the expected place, as a share of the text from 0 to 1; the nearest occurrence is taken.
        """
        for form in (wanted, TAG.sub("", wanted)):
            letters = "".join(one for one in form.casefold() if one.isalnum())
            starts = self._found(letters) if letters else []
            if starts:
                start = min(starts, key=lambda one: abs(self._places[one] - near * self._size))
                return self._places[start], self._places[start + len(letters) - 1] + 1
        return None

    def _found(self, letters: str) -> Sequence[int]:
        starts, start = [], self._letters.find(letters)
        while start >= 0:
            starts.append(start)
            start = self._letters.find(letters, start + 1)
        return starts
