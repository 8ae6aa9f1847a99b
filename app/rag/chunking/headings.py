"""The outline of a document, and the headings above each span of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice, takewhile

from app.domain.documents import Heading
from app.rag.extraction.blocks import BlockKind, Scope, TextBlocks, heading_text

MAX_ENTRIES = 1000
"""Headings in an outline; the innermost are left out first."""
MAX_LEVEL = 9
ENTRY_CHARACTERS = 200
PATH_PART_CHARACTERS = 100
PATH_CHARACTERS = 400
HEADER_CHARACTERS = 200
"""Of a table's header, which stands at the end of a path."""
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
        self._scopes = ScopePaths(document.scopes)
        self._headings += [Heading(each.depth + 1, each.label, each.start) for each in document.scopes]

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
        texts = [self._headings[index].text for index in path] or self._scopes.path(start, end)
        if self._title and self._title not in texts[:1]:
            texts.insert(0, self._title)
        joined = " > ".join(text[:PATH_PART_CHARACTERS] for text in texts)
        header = header[:HEADER_CHARACTERS]
        room = PATH_CHARACTERS - len(header)
        return " > ".join(filter(None, (joined[:room], header)))

    def _ancestors(self, index: int) -> list[int]:
        """Return the indices of a heading and those above it, the outermost first."""
        path = []
        while index >= 0:
            path.append(index)
            index = self._parents[index]
        return path[::-1]


class ScopePaths:
    """The scopes of source code around each place of it."""

    def __init__(self, scopes: Sequence[Scope]) -> None:
        self._starts: list[int] = []
        """Places where other scopes begin to enclose the text."""
        self._paths: list[tuple[str, ...]] = []
        enclosing: list[Scope] = []
        for scope in scopes:
            self._close(enclosing, scope.start)
            enclosing.append(scope)
            self._add(scope.start, enclosing)
        self._close(enclosing, None)

    def path(self, start: int, end: int) -> list[str]:
        """Return the labels of the scopes around all of a span, the outermost first."""
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, end)
        path = self._paths[first] if first >= 0 else ()
        for other in self._paths[first + 1 : last]:
            path = tuple(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(path, other, strict=False)))
        return list(path)

    def _close(self, enclosing: list[Scope], place: int | None) -> None:
        """Leave the scopes that end before a place, or all."""
        while enclosing and (place is None or enclosing[-1].end <= place):
            self._add(enclosing.pop().end, enclosing)

    def _add(self, start: int, enclosing: Sequence[Scope]) -> None:
        self._starts.append(start)
        self._paths.append(tuple(each.label for each in enclosing))
