from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class DocumentStatus(StrEnum):
    """The public state of a document."""

    QUEUED = "queued"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"

    @property
    def terminal(self) -> bool:
        """True where the document changes only by a request."""
        return self in {DocumentStatus.READY, DocumentStatus.FAILED}


class Stage(StrEnum):
    """The step of a document that is being processed."""

    EXTRACTING = "extracting"
    EMBEDDING = "embedding"
    STORING = "storing"


@dataclass(frozen=True, slots=True)
class DocumentFailure:
    """The reason why a document could not be read: a stable code and a public sentence."""

    code: str
    detail: str
    retryable: bool = False
    """True where a later attempt with the same bytes may succeed."""


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
    """Progress of `stage`: pages or chunks done, and their total; 0 where it is not known yet."""
    error: DocumentFailure | None = None
    page_count: int | None = None
    textless_pages: Sequence[int] = ()
    """Numbers of pages without text, such as scans, from 1 on: the first 100."""
    chunk_count: int | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document: an entry of its outline."""

    level: int
    """1 for the outermost."""
    text: str
    start: int
    """Offset in the document's text, in characters."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document's text, the unit of search."""

    content: str
    """Exactly the document's text from `start` to `end`."""
    start: int
    end: int
    """Offsets in the document's text, in characters."""
    page: int | None = None
    """Number of its first page, from 1 on; None where the format has no pages."""
    heading: str = ""
    """The document's title and the headings above the chunk, and a table's own, outermost first, with ` > ` between."""
    names: str = ""
    """Further search terms, with spaces between: names that its code defines, and parts of its identifiers."""


@dataclass(frozen=True, slots=True)
class ExtractedDocument:
    """The text, chunks and outline of a document."""

    text: str
    chunks: Sequence[Chunk]
    title: str | None = None
    outline: Sequence[Heading] = ()
    page_count: int | None = None
    textless_pages: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk in a search result."""

    chunk_id: str
    document_id: str
    document_name: str
    page: int | None
    start: int
    end: int
    text: str
    """Exactly the document's text from `start` to `end`."""
    score: float
    """Rank within one search; higher is better."""
    heading: str = ""
    similarity: float | None = None
    """Cosine of query and chunk; None where vectors were not searched, or the chunk is not among the nearest."""
    coverage: float = 0.0
    """Share of the query's words in the passage, by their weight, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Citation:
    """The source of a statement in a reply; readable after the document is deleted."""

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
