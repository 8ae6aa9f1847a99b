"""What the process that reads a document tells the service: frames of a kind, a length and JSON or text.

A process that has read hostile bytes is not trusted: nothing from it is unpickled, and all of it is counted.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from dataclasses import asdict

import orjson

from app.domain.documents import Chunk, DocumentFailure, ExtractedDocument, Heading
from app.domain.storable_text import storable
from app.rag.chunking.headings import ENTRIES
from app.rag.extraction.errors import TOO_MANY_CHUNKS, TOO_MUCH_TEXT, ExtractionError
from app.rag.extraction.limits import Limits

log = logging.getLogger(__name__)

REQUEST = struct.Struct(">II")
"""The lengths of a request's two parts: what is asked, as JSON, and the document."""
HEAD = struct.Struct(">cI")
"""A frame's kind and length."""
EXIT = struct.Struct(">i")
"""An exit code, negative for a signal, as `os.waitstatus_to_exitcode` gives it."""
FRAME_BYTES = 1 << 20
TEXT_CHARACTERS = FRAME_BYTES // 4
BATCH = 100

PROGRESS, TEXT, HEADINGS, CHUNKS, END, FAILED = b"p", b"t", b"h", b"c", b"e", b"f"


def frame(kind: bytes, payload: bytes) -> bytes:
    """A frame as it is sent."""
    return HEAD.pack(kind, len(payload)) + payload


def frame_head(sent: bytes) -> tuple[bytes, int]:
    """A frame's kind and the bytes that follow; raises `ValueError` if they are too many."""
    kind, length = HEAD.unpack(sent)
    if length > FRAME_BYTES:
        raise ValueError(length)
    return kind, length


def frames_of(document: ExtractedDocument) -> Iterator[bytes]:
    """What tells a document, in pieces that take no time to read."""
    text = document.text
    for place in range(0, len(text), TEXT_CHARACTERS):
        yield frame(TEXT, text[place : place + TEXT_CHARACTERS].encode())
    for place in range(0, len(document.outline), BATCH):
        yield frame(
            HEADINGS, orjson.dumps([(h.level, h.text, h.start) for h in document.outline[place : place + BATCH]])
        )
    for place in range(0, len(document.chunks), BATCH):
        batch = [(c.start, c.end, c.page, c.heading, c.names) for c in document.chunks[place : place + BATCH]]
        yield frame(CHUNKS, orjson.dumps(batch))
    yield frame(END, orjson.dumps([document.title, document.page_count, document.textless_pages]))


def failure_frame(failure: DocumentFailure, cause: str = "") -> bytes:
    """What tells that a document cannot be read, and for an operator why, where that was not foreseen."""
    return frame(FAILED, orjson.dumps([asdict(failure), cause]))


class ResultReader:
    """Puts a document together from frames.

    Raises `ValueError`, `TypeError`, `LookupError` or `AttributeError` at anything else.
    """

    def __init__(self, limits: Limits) -> None:
        self.document: ExtractedDocument | None = None
        """The document, once it is whole."""
        self.progress = (0, 0)
        """Pages done, of how many."""
        self._limits = limits
        self._parts: list[str] = []
        self._characters = 0
        self._text = ""
        self._headings: list[Heading] = []
        self._chunks: list[Chunk] = []
        self._names = 0
        """Characters of the names of all chunks, which are words of theirs."""

    def take(self, kind: bytes, payload: bytes) -> None:
        """Takes a frame.

        Raises:
            Unreadable: the frame says so, or the document is over its limits.
        """
        if kind == TEXT:
            self._take_text(payload.decode())
            return
        values = orjson.loads(payload)
        if kind == PROGRESS:
            self.progress = int(values[0]), int(values[1])
        elif kind == HEADINGS:
            self._headings += [Heading(int(level), storable(text), int(start)) for level, text, start in values]
            if len(self._headings) > ENTRIES:
                raise ValueError(len(self._headings))
        elif kind == CHUNKS:
            self._take_chunks(values)
        elif kind == END:
            title, pages, textless = values
            title = storable(title) if title is not None else None
            self.document = ExtractedDocument(self._whole(), self._chunks, title, self._headings, pages, textless)
        elif kind == FAILED:
            failure, cause = values
            if cause:
                log.warning("document unreadable", extra={"cause": storable(cause)})
            raise ExtractionError(DocumentFailure(**failure))
        else:
            raise ValueError(kind)

    def _take_text(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > self._limits.characters:
            raise ExtractionError(TOO_MUCH_TEXT)
        self._parts.append(storable(text))

    def _take_chunks(self, values: list[tuple[int, int, int | None, str, str]]) -> None:
        text = self._whole()
        for start, end, page, heading, names in values:
            if not (self._chunks[-1].end if self._chunks else 0) <= start < end <= len(text):
                raise ValueError(start, end)  # the same text again and again would fill this process
            self._chunks.append(Chunk(text[start:end], start, end, page, storable(heading), storable(names)))
            self._names += len(names)
        if len(self._chunks) > self._limits.chunks:
            raise ExtractionError(TOO_MANY_CHUNKS)
        if self._names > 2 * self._limits.characters:
            raise ValueError(self._names)

    def _whole(self) -> str:
        if self._parts:
            self._text = "".join([self._text, *self._parts])
            self._parts.clear()
        return self._text
