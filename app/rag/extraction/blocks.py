"""What every format is read into: plain text, and which spans of it are what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain.storable_text import storable
from app.rag.extraction.errors import (
    TOO_MANY_CELLS,
    TOO_MANY_COLUMNS,
    TOO_MANY_ELEMENTS,
    TOO_MUCH_TEXT,
    ExtractionError,
)
from app.rag.extraction.limits import Limits

TITLE_CHARACTERS = 200

BLANKED = {code: " " for code in (*range(1, 32), *range(127, 161), 0x2007, 0x202F) if code not in (9, 10)}
"""Control characters, which separate words for a reader but not for a tokenizer, and blanks that do not break."""

MARKS = re.compile(r"^(?:[#=] ?)+ |(?: ?=)+$| (?:={3,}|-{3,}|~{3,})$")


class Kind(StrEnum):
    """What a block is, and so where it may be cut."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    TABLE = "table"
    CODE = "code"

    @property
    def by_line(self) -> bool:
        """Whether each line is one of its parts: an item, a row, a line of code."""
        return self in {Kind.LIST, Kind.TABLE, Kind.CODE}


@dataclass(slots=True)
class Block:
    """A span of the text that is one thing."""

    kind: Kind
    start: int
    end: int
    level: int = 0
    """Of a heading, 1 for the outermost."""
    page: int | None = None
    header: str = ""
    """Of a table, its first row."""
    leads: bool = False
    """Whether it says little without what follows: a term before its definition, a caption before its table."""


@dataclass(slots=True)
class TextBlocks:
    """A document's text before it is cut into chunks; blocks are in order and hold all that is not blank."""

    text: str
    blocks: list[Block]
    title: str | None = None
    page_count: int | None = None
    textless_pages: Sequence[int] = ()


@dataclass(slots=True)
class BlockWriter:
    """Puts a text together, block by block.

    Raises:
        Unreadable: the text is longer, or has more blocks, columns or cells, than the limits.
    """

    limits: Limits
    page: int | None = None
    blocks: list[Block] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _cells: int = 0

    def add(self, kind: Kind, text: str, *, level: int = 0, header: str = "", leads: bool = False) -> None:
        """Appends a block, or nothing where `text` is blank; an item after an item belongs to the same list."""
        text = clean(text).rstrip().lstrip("\n")
        if not text.strip():
            return
        before = self.blocks[-1] if self.blocks else None
        goes_on = kind is Kind.LIST and before is not None and before.kind is Kind.LIST and before.page == self.page
        start = self._append(text, "\n" if goes_on else "\n\n")
        if goes_on and before is not None:
            before.end = self._length
            return
        if len(self.blocks) >= self.limits.elements:
            raise ExtractionError(TOO_MANY_ELEMENTS)
        self.blocks.append(Block(kind, start, self._length, level, self.page, header, leads))

    def add_table(self, rows: Iterable[Sequence[str]], *, headed: bool = True) -> None:
        """Appends a table, the first of whose rows is its header, if it has others and is `headed`."""
        lines = [line for line in map(row, self.counted(rows)) if line]
        self.add(Kind.TABLE, "\n".join(lines), header=lines[0] if headed and len(lines) > 1 else "")

    def counted(self, rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        """The rows, as long as their columns and the cells of all tables are within the limits."""
        for cells in rows:
            self._cells += len(cells)
            if len(cells) > self.limits.columns:
                raise ExtractionError(TOO_MANY_COLUMNS)
            if self._cells > self.limits.cells:
                raise ExtractionError(TOO_MANY_CELLS)
            yield cells

    def draft(self, title: str | None = None) -> TextBlocks:
        """What was written; without a title of its own it has that of its first heading, if it begins with it."""
        text = "".join(self._parts)
        first = self.blocks[0] if self.blocks else None
        if not title and first is not None and first.kind is Kind.HEADING:
            title = text[first.start : first.end]
        return TextBlocks(text, self.blocks, title_of(title))

    def _append(self, text: str, separator: str) -> int:
        if self._parts:
            self._parts.append(separator)
            self._length += len(separator)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        if self._length > self.limits.characters:
            raise ExtractionError(TOO_MUCH_TEXT)
        return start


def clean(text: str) -> str:
    """Text that can be stored, with newlines of one kind and blanks for control characters."""
    return storable(text.replace("\r\n", "\n").replace("\r", "\n").translate(BLANKED))


def folded(text: str) -> str:
    """The text on one line, without blanks around it."""
    return " ".join(text.split())


def row(cells: Sequence[str], between: str = " | ") -> str:
    """A table's row on one line, without the empty cells at its end."""
    return between.join(map(folded, cells)).rstrip(f" {between}")


def unmarked(heading: str) -> str:
    """A heading's words on one line, without what marks or underlines it in plain text."""
    return MARKS.sub("", folded(heading))


def title_of(text: str | None) -> str | None:
    """A title as it is shown, None for a blank one."""
    return folded(clean(text or ""))[:TITLE_CHARACTERS].rstrip() or None
