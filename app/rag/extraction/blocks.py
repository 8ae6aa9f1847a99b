"""Plain text with typed spans, which every format is read into."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

from app.domain.documents import DocumentFailure
from app.domain.storable_text import storable
from app.rag.extraction.errors import (
    OUT_OF_CPU,
    TOO_MANY_CELLS,
    TOO_MANY_COLUMNS,
    TOO_MANY_ELEMENTS,
    TOO_MUCH_TEXT,
    ExtractionError,
    truncation,
)
from app.rag.extraction.limits import Limits

TITLE_CHARACTERS = 200
CUT_CHARACTERS = 1000
"""Before a limit, within which a text is cut at a blank."""

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
    truncated: str | None = None
    """The text that says where reading stopped at a limit; None if all was read."""


class ReadingStopped(ExtractionError):
    """A limit has ended the reading; a reader may keep what its writer has."""

    def __init__(self, writer: BlockWriter, failure: DocumentFailure) -> None:
        super().__init__(failure)
        self.writer = writer


@dataclass(slots=True)
class BlockWriter:
    """Builds a `TextBlocks`, block by block.

    Raises:
        ReadingStopped: there is more text than the limits allow, more blocks or cells, or no processor time left.
        ExtractionError: a table has more columns than the limits allow.
    """

    limits: Limits
    page: int | None = None
    blocks: list[Block] = field(default_factory=list)
    stopped: DocumentFailure | None = None
    """The limit that has ended the reading."""
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
        if len(self.blocks) >= self.limits.elements:
            self.stop(TOO_MANY_ELEMENTS)
        separator = "" if not self._parts else "\n" if continues else "\n\n"
        room = self.limits.characters - self._length - len(separator)
        if kept := text if len(text) <= room else leading_words(text, room):
            self._parts += separator, kept
            self._length += len(separator) + len(kept)
            if continues and last is not None:
                last.end = self._length
            else:
                start = self._length - len(kept)
                self.blocks.append(Block(kind, start, self._length, level, self.page, header, introduces))
        if len(kept) < len(text):
            self.stop(TOO_MUCH_TEXT)
        if self.limits.seconds_left <= 0:
            self.stop(OUT_OF_CPU)

    def stop(self, failure: DocumentFailure) -> NoReturn:
        """End the reading at a limit."""
        self.stopped = failure
        raise ReadingStopped(self, failure)

    @contextmanager
    def until_stopped(self) -> Iterator[None]:
        """Run the body until a limit ends it; the exception goes on if nothing has been written."""
        try:
            yield
        except ReadingStopped:
            if not self.blocks:
                raise

    def add_table(self, rows: Iterable[Sequence[str]], *, headed: bool = True) -> None:
        """Append a table; if it is `headed` and has several rows, the first one is its header."""
        lines: list[str] = []
        try:
            for cells in self.within_limits(rows):
                lines += filter(None, (table_row(cells),))
        finally:
            self.add(BlockKind.TABLE, "\n".join(lines), header=lines[0] if headed and len(lines) > 1 else "")

    def within_limits(self, rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        """Yield the rows; raise once one has too many columns, all have too many cells, or the time is up."""
        for cells in rows:
            self._cells += len(cells)
            if len(cells) > self.limits.columns:
                raise ExtractionError(TOO_MANY_COLUMNS)
            if self._cells > self.limits.cells:
                self.stop(TOO_MANY_CELLS)
            if self.limits.seconds_left <= 0:
                self.stop(OUT_OF_CPU)
            yield cells

    def build(self, title: str | None = None) -> TextBlocks:
        """Return the text and its blocks; the default title is that of a heading at the very beginning."""
        text = "".join(self._parts)
        first = self.blocks[0] if self.blocks else None
        if not title and first is not None and first.kind is BlockKind.HEADING:
            title = text[first.start : first.end]
        made = TextBlocks(text, self.blocks, clean_title(title))
        if self.stopped is not None:
            page = self.blocks[-1].page
            place = f"after {len(text):,} characters of text" if page is None else f"on page {page:,}"
            made.truncated = truncation(place, self.stopped)
        return made


def normalize_text(text: str) -> str:
    """Return text that can be stored, with LF as its only newline and blanks in place of control characters."""
    return storable(CONTROLS.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")))


def leading_words(text: str, room: int) -> str:
    """Return the beginning of a text of at most `room` characters, up to the end of a line or word if one is near."""
    kept = text[: max(room, 0)]
    near = max(0, len(kept) - CUT_CHARACTERS)
    end = next((end for blank in "\n " if (end := kept.rfind(blank, near)) > 0), len(kept))
    return kept[:end].rstrip()


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
