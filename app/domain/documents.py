from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class DocumentStatus(StrEnum):
    """A document's state, as callers see it."""

    QUEUED = "queued"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in {DocumentStatus.READY, DocumentStatus.FAILED}


class Stage(StrEnum):
    """What is done to a document that is being processed."""

    EXTRACTING = "extracting"
    EMBEDDING = "embedding"
    STORING = "storing"


@dataclass(frozen=True, slots=True)
class DocumentFailure:
    """Why a document could not be read: a stable code and a public sentence."""

    code: str
    detail: str
    retryable: bool = False
    """Whether the same bytes may succeed another time."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a user. Times in milliseconds since the Unix epoch."""

    document_id: str
    name: str
    media_type: str
    bytes: int
    sha256: str
    """Hexadecimal."""
    status: DocumentStatus
    created_at: int
    stage: Stage | None = None
    done: int = 0
    total: int = 0
    """Of `stage`: pages or chunks that are done, of how many; 0 where that is not known yet."""
    error: DocumentFailure | None = None
    page_count: int | None = None
    textless_pages: Sequence[int] = ()
    """Pages, from 1 on, on which no text was found, as of scans: the first 100."""
    chunk_count: int | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document: an entry of its outline."""

    level: int
    """1 for the outermost."""
    text: str
    start: int
    """Where it stands in the document's text, in characters."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document's text that is found as one."""

    content: str
    """Exactly the document's text from `start` to `end`."""
    start: int
    end: int
    """Characters of the document's text."""
    page: int | None = None
    """The page on which it begins, from 1 on; None where the format has none."""
    heading: str = ""
    """The document's title and the headings above the chunk, and a table's own, outermost first, with ` > ` between."""
    names: str = ""
    """Further words to find it by, with spaces between: names that its code defines, and parts of its identifiers."""


@dataclass(frozen=True, slots=True)
class ExtractedDocument:
    """What was read out of a document's bytes."""

    text: str
    chunks: Sequence[Chunk]
    title: str | None = None
    outline: Sequence[Heading] = ()
    page_count: int | None = None
    textless_pages: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that a search has found."""

    chunk_id: str
    document_id: str
    document_name: str
    page: int | None
    start: int
    end: int
    text: str
    """Exactly the document's text from `start` to `end`."""
    score: float
    """By which passages of one search compare; higher is better."""
    heading: str = ""
    similarity: float | None = None
    """The cosine of query and chunk; None where vectors were not searched, or it was not among the nearest."""
    coverage: float = 0.0
    """How much of the query's words the passage has, by their weight, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a statement of a reply comes from; readable after the document is deleted."""

    marker: int
    """The n of `[n]` in the text."""
    document_id: str
    document_name: str
    chunk_id: str
    page: int | None
    start: int
    end: int
    quote: str
    """Exactly the document's text from `start` to `end`."""
    score: float
