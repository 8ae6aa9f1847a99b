"""Texts compared without what formats change: white space, case and marks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

TAG = re.compile(r"<[^<>]*>")


def folded(text: str) -> str:
    """A text with its white space made single spaces, in one case and in compatible characters."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Letters:
    """A text by its letters and digits alone, each with its place: what a text is without its markup."""

    def __init__(self, text: str) -> None:
        places = [(one, place) for place, char in enumerate(text) for one in char.casefold() if one.isalnum()]
        self._letters = "".join(one for one, _ in places)
        self._places = [place for _, place in places]
        self._size = len(text)

    def span(self, wanted: str, near: float = 0.0) -> tuple[int, int] | None:
        """Where in the text something stands, and where it ends; None where it does not.

        Args:
            wanted: what is looked for; what looks like a tag need not be there.
            near: of several places the nearest is taken, as a share of the text from 0 to 1.
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
