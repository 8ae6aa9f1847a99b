"""Plain text with typed spans, which every format is read into."""

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

CONTROLS = re.compile("[\x01-\x08\x0b-\x1f\x7f-\xa0\u2007\u202f]")
"""Control characters, which separate words for a reader but not for a tokenizer, and no-break spaces."""

HEADING_MARKUP = re.compile(r"^(?:[#=] ?)+ |(?: ?=)+$| (?:={3,}|-{3,}|~{3,})$")


class BlockKind(StrEnum):
    """Kind of a block, which determines where chunks may be cut."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    TABLE = "table"
    CODE = "code"

    @property
    def by_line(self) -> bool:
        """True if each line is a unit: an item, a row, a line of code."""
        return self in {BlockKind.LIST, BlockKind.TABLE, BlockKind.CODE}


@dataclass(slots=True)
class Block:
    """A span of the text that is a heading, a paragraph, a list, a table or code."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    """Of a heading, 1 for the outermost."""
    page: int | None = None
    header: str = ""
    """The first row of a table that names its columns."""
    introduces: bool = False
    """Set for a block that means little without the next: a term before its definition, a caption before its table."""


@dataclass(slots=True)
class TextBlocks:
    """A document's text before it is split into chunks; its blocks are in order and cover all that is not blank."""

    text: str
    blocks: list[Block]
    title: str | None = None
    page_count: int | None = None
    textless_pages: Sequence[int] = ()


@dataclass(slots=True)
class BlockWriter:
    """Builds a `TextBlocks`, block by block.

    Raises:
        ExtractionError: the text is longer, or has more blocks, columns or cells, than the limits.
    """

    limits: Limits
    page: int | None = None
    blocks: list[Block] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _cells: int = 0

    def add(self, kind: BlockKind, text: str, *, level: int = 0, header: str = "", introduces: bool = False) -> None:
        """Append a block, or nothing if `text` is blank; consecutive list items become one block."""
        text = normalize_text(text).rstrip().lstrip("\n")
        if not text.strip():
            return
        last = self.blocks[-1] if self.blocks else None
        continues = (
            kind is BlockKind.LIST and last is not None and last.kind is BlockKind.LIST and last.page == self.page
        )
        start = self._append(text, "\n" if continues else "\n\n")
        if continues and last is not None:
            last.end = self._length
            return
        if len(self.blocks) >= self.limits.elements:
            raise ExtractionError(TOO_MANY_ELEMENTS)
        self.blocks.append(Block(kind, start, self._length, level, self.page, header, introduces))

    def add_table(self, rows: Iterable[Sequence[str]], *, headed: bool = True) -> None:
        """Append a table; if it is `headed` and has several rows, the first one is its header."""
        lines = [line for line in map(table_row, self.within_limits(rows)) if line]
        self.add(BlockKind.TABLE, "\n".join(lines), header=lines[0] if headed and len(lines) > 1 else "")

    def within_limits(self, rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        """Yield the rows; raise once the columns of one, or the cells of all tables, exceed the limits."""
        for cells in rows:
            self._cells += len(cells)
            if len(cells) > self.limits.columns:
                raise ExtractionError(TOO_MANY_COLUMNS)
            if self._cells > self.limits.cells:
                raise ExtractionError(TOO_MANY_CELLS)
            yield cells

    def build(self, title: str | None = None) -> TextBlocks:
        """Return the text and its blocks; the default title is that of a heading at the very beginning."""
        text = "".join(self._parts)
        first = self.blocks[0] if self.blocks else None
        if not title and first is not None and first.kind is BlockKind.HEADING:
            title = text[first.start : first.end]
        return TextBlocks(text, self.blocks, clean_title(title))

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


def normalize_text(text: str) -> str:
    """Return text that can be stored, with LF as its only newline and blanks in place of control characters."""
    return storable(CONTROLS.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")))


def single_line(text: str) -> str:
    """Return the text with every run of whitespace as one space, and none at its ends."""
    return " ".join(text.split())


def table_row(cells: Sequence[str], separator: str = " | ") -> str:
    """Return a table's row as one line, without the empty cells at its end."""
    return separator.join(map(single_line, cells)).rstrip(f" {separator}")


def heading_text(heading: str) -> str:
    """Return a heading's words as one line, without the characters that mark or underline it in plain text."""
    return HEADING_MARKUP.sub("", single_line(heading))


def clean_title(text: str | None) -> str | None:
    """Return a title as one line of at most `TITLE_CHARACTERS`; None if it is blank."""
    return single_line(normalize_text(text or ""))[:TITLE_CHARACTERS].rstrip() or None
