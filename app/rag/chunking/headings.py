"""The outline of a document, and the headings above each span of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice

from app.domain.documents import Heading
from app.rag.extraction.blocks import BlockKind, TextBlocks, heading_text

MAX_ENTRIES = 1000
"""Headings in an outline; the innermost are left out first."""
MAX_LEVEL = 9
ENTRY_CHARACTERS = 200
PATH_PART_CHARACTERS = 100
PATH_CHARACTERS = 400
HEADINGS_COMPARED = 32
"""Headings within a chunk whose ancestors are compared."""


class Outline:
    """A document's headings: their texts, their places and their hierarchy."""

    def __init__(self, document: TextBlocks) -> None:
        self._title = document.title
        self._headings: list[Heading] = []
        self._parents: list[int] = []
        """For each heading the index of that above it, -1 for none."""
        ancestors: list[int] = []
        for block in document.blocks:
            if block.kind is not BlockKind.HEADING:
                continue
            while ancestors and self._headings[ancestors[-1]].level >= block.level:
                ancestors.pop()
            self._parents.append(ancestors[-1] if ancestors else -1)
            ancestors.append(len(self._headings))
            text = heading_text(document.text[block.start : block.end])[:ENTRY_CHARACTERS]
            self._headings.append(Heading(block.level, text, block.start))
        self._starts = [each.start for each in self._headings]

    @property
    def entries(self) -> list[Heading]:
        """The headings in order; if there are too many, the first of the outermost levels."""
        level = MAX_LEVEL
        entries = self._headings
        while len(entries) > MAX_ENTRIES and level > 1:
            level -= 1
            entries = [each for each in entries if each.level <= level]
        return entries[:MAX_ENTRIES]

    def heading_path(self, start: int, end: int, header: str = "") -> str:
        """Return the title, the headings above all of a span, and a table's header, joined by ` > `."""
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, end)
        path = self._ancestors(first)
        for index in islice(range(first + 1, last), HEADINGS_COMPARED):
            other = self._ancestors(index)
            path = [one for one, its in zip(path, other, strict=False) if one == its]
        texts = [self._headings[index].text for index in path]
        if self._title and self._title not in texts[:1]:
            texts.insert(0, self._title)
        if header:
            texts.append(header)
        return " > ".join(text[:PATH_PART_CHARACTERS] for text in texts)[:PATH_CHARACTERS]

    def _ancestors(self, index: int) -> list[int]:
        """Return the indices of a heading and those above it, the outermost first."""
        path = []
        while index >= 0:
            path.append(index)
            index = self._parents[index]
        return path[::-1]
