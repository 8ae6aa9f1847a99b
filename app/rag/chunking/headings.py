from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice

from app.domain.documents import Heading
from app.rag.extraction.blocks import BlockKind, TextBlocks, heading_text

MAX_ENTRIES = 1000
"""Of a document's outline; the innermost are left out first."""
ENTRY_CHARACTERS = 200
PART_CHARACTERS = 100
PATH_CHARACTERS = 400
ALIKE = 32
"""Headings within a chunk that are looked at."""


class Outline:
    """A draft's headings: what they say, where they stand and which are above which."""

    def __init__(self, draft: TextBlocks) -> None:
        self._title = draft.title
        self._all: list[Heading] = []
        self._above: list[int] = []
        """For each heading the place of that above it, -1 for none."""
        open_ones: list[int] = []
        for block in draft.blocks:
            if block.kind is not BlockKind.HEADING:
                continue
            while open_ones and self._all[open_ones[-1]].level >= block.level:
                open_ones.pop()
            self._above.append(open_ones[-1] if open_ones else -1)
            open_ones.append(len(self._all))
            self._all.append(
                Heading(block.level, heading_text(draft.text[block.start : block.end])[:ENTRY_CHARACTERS], block.start)
            )
        self._starts = [each.start for each in self._all]

    @property
    def entries(self) -> list[Heading]:
        """The headings in order; where there are too many, the first of the outermost levels."""
        level = 9
        entries = self._all
        while len(entries) > MAX_ENTRIES and level > 1:
            level -= 1
            entries = [each for each in entries if each.level <= level]
        return entries[:MAX_ENTRIES]

    def above(self, start: int, end: int, header: str = "") -> str:
        """The title and the headings above all of a span, and a table's header, outermost first, with ` > ` between."""
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, end)
        path = self._path(first)
        for place in islice(range(first + 1, last), ALIKE):
            other = self._path(place)
            path = [one for one, its in zip(path, other, strict=False) if one == its]
        texts = [self._all[place].text for place in path]
        if self._title and self._title not in texts[:1]:
            texts.insert(0, self._title)
        if header:
            texts.append(header)
        return " > ".join(text[:PART_CHARACTERS] for text in texts)[:PATH_CHARACTERS]

    def _path(self, place: int) -> list[int]:
        path = []
        while place >= 0:
            path.append(place)
            place = self._above[place]
        return path[::-1]
