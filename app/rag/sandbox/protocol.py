"""Messages of the process that reads a document, as frames whose payload is JSON or text.

The order is: any number of `PROGRESS`, then `TEXT`, `HEADINGS` and `CHUNKS` frames, then `END`; or `FAILED`.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from dataclasses import asdict

import orjson

from app.domain.documents import (
    Chunk,
    DocumentFailure,
    ExtractedDocument,
    Heading,
    page_starts,
    stored_page_starts,
)
from app.domain.storable_text import storable
from app.rag.child_process import FRAME_BYTES, frame
from app.rag.chunking.headings import MAX_ENTRIES
from app.rag.extraction.errors import TOO_MANY_CHUNKS, TOO_MUCH_TEXT, ExtractionError
from app.rag.extraction.limits import Limits

log = logging.getLogger(__name__)

REQUEST = struct.Struct(">II")
"""The lengths of the two parts of a request: its options, as JSON, and the document."""
EXIT = struct.Struct(">i")
"""An exit code, negative for a signal, as returned by `os.waitstatus_to_exitcode`."""
TEXT_CHARACTERS = FRAME_BYTES // 4
BATCH = 100
"""Headings or chunks per frame."""

PROGRESS, TEXT, HEADINGS, CHUNKS, END, FAILED = b"p", b"t", b"h", b"c", b"e", b"f"


def document_frames(document: ExtractedDocument) -> Iterator[bytes]:
    """Serialise a document in frames that are small enough to be parsed on the event loop."""
    text = document.text
    for place in range(0, len(text), TEXT_CHARACTERS):
        yield frame(TEXT, text[place : place + TEXT_CHARACTERS].encode())
    for place in range(0, len(document.outline), BATCH):
        headings = [(each.level, each.text, each.start) for each in document.outline[place : place + BATCH]]
        yield frame(HEADINGS, orjson.dumps(headings))
    for place in range(0, len(document.chunks), BATCH):
        batch = document.chunks[place : place + BATCH]
        chunks = [
            (each.start, each.end, each.page, each.heading, each.names, stored_page_starts(each.later_pages))
            for each in batch
        ]
        yield frame(CHUNKS, orjson.dumps(chunks))
    about = (document.title, document.page_count, document.textless_pages, document.truncated, document.language)
    yield frame(END, orjson.dumps(about))


def failure_frame(failure: DocumentFailure, cause: str = "") -> bytes:
    """Serialise a failure; `cause` is for the operator's log, where the failure was not foreseen."""
    return frame(FAILED, orjson.dumps([asdict(failure), cause]))


class ResultReader:
    """Builds a document from frames, which are not trusted.

    Raises `ValueError`, `TypeError`, `LookupError` or `AttributeError` for invalid ones.
    """

    def __init__(self, limits: Limits) -> None:
        self.document: ExtractedDocument | None = None
        """The document, once it is complete."""
        self.progress = (0, 0)
        """Number of pages read, and of all pages."""
        self._limits = limits
        self._parts: list[str] = []
        self._characters = 0
        self._text = ""
        self._headings: list[Heading] = []
        self._chunks: list[Chunk] = []
        self._name_characters = 0

    def feed(self, kind: bytes, payload: bytes) -> None:
        """Process a frame.

        Raises:
            ExtractionError: the frame reports a failure, or the document is over its limits.
        """
        if kind == TEXT:
            self._add_text(payload.decode())
            return
        values = orjson.loads(payload)
        if kind == PROGRESS:
            self.progress = int(values[0]), int(values[1])
        elif kind == HEADINGS:
            self._headings += [Heading(int(level), storable(text), int(start)) for level, text, start in values]
            if len(self._headings) > MAX_ENTRIES:
                raise ValueError(len(self._headings))
        elif kind == CHUNKS:
            self._add_chunks(values)
        elif kind == END:
            title, pages, textless, truncated, language = values
            self.document = ExtractedDocument(
                self._join_text(),
                self._chunks,
                None if title is None else storable(title),
                self._headings,
                pages,
                textless,
                None if truncated is None else storable(truncated),
                language,
            )
        elif kind == FAILED:
            failure, cause = values
            if cause:
                log.warning("document unreadable", extra={"cause": storable(cause)})
            raise ExtractionError(DocumentFailure(**failure))
        else:
            raise ValueError(kind)

    def _add_text(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > self._limits.characters:
            raise ExtractionError(TOO_MUCH_TEXT)
        self._parts.append(storable(text))

    def _add_chunks(self, values: list[tuple[int, int, int | None, str, str, list[tuple[int, int]] | None]]) -> None:
        text = self._join_text()
        for start, end, page, heading, names, pages in values:
            if not (self._chunks[-1].end if self._chunks else 0) <= start < end <= len(text):
                raise ValueError(start, end)  # repeating a span many times would fill this process's memory
            later = page_starts(pages)
            self._chunks.append(Chunk(text[start:end], start, end, page, storable(heading), storable(names), later))
            self._name_characters += len(names)
        if len(self._chunks) > self._limits.chunks:
            raise ExtractionError(TOO_MANY_CHUNKS)
        if self._name_characters > 2 * self._limits.characters:
            raise ValueError(self._name_characters)

    def _join_text(self) -> str:
        if self._parts:
            self._text = "".join([self._text, *self._parts])
            self._parts.clear()
        return self._text
