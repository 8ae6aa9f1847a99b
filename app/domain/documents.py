from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


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
    seconds_left: int | None = None
    """Estimated time to the end of `stage`; None where it is not known yet."""
    error: DocumentFailure | None = None
    page_count: int | None = None
    textless_pages: Sequence[int] = ()
    """Numbers of pages without text, such as scans, from 1 on: the first 100."""
    truncated: str | None = None
    """The sentence that says where reading stopped at a limit; None if the whole document was read."""
    language: str | None = None
    """ISO 639-1 code of its main language; None if it is unknown."""
    chunk_count: int | None = None
    keep_links: bool = False
    """True if the addresses of links are part of its text."""
    replaces: str | None = None
    """Id of the document with the same bytes whose place it takes once it is ready; None for all others."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document: an entry of its outline."""

    level: int
    """1 for the outermost."""
    text: str
    start: int
    """Offset in the document's text, in characters."""


class PageStart(NamedTuple):
    """The beginning of a page in a document's text."""

    start: int
    """Offset in the document's text, in characters."""
    page: int
    """From 1 on."""


def page_starts(stored: Sequence[Sequence[int]] | None) -> Sequence[PageStart] | None:
    """Build the page starts that are stored as pairs of offset and page."""
    return None if stored is None else [PageStart(*each) for each in stored]


def stored_page_starts(pages: Sequence[PageStart] | None) -> list[tuple[int, int]] | None:
    """Return page starts as they are stored, the reverse of `page_starts`."""
    return None if pages is None else [(each.start, each.page) for each in pages]


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
    later_pages: Sequence[PageStart] | None = None
    """The pages that begin inside it, in order; None where they are not known."""


@dataclass(frozen=True, slots=True)
class ExtractedDocument:
    """The text, chunks and outline of a document."""

    text: str
    chunks: Sequence[Chunk]
    title: str | None = None
    outline: Sequence[Heading] = ()
    page_count: int | None = None
    textless_pages: Sequence[int] = ()
    truncated: str | None = None
    """The sentence that says where reading stopped at a limit; None if the whole document was read."""
    language: str | None = None
    """ISO 639-1 code of its main language; None if it is unknown."""


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
    later_pages: Sequence[PageStart] | None = None
    """The pages that begin inside it, in order; None where they are not known."""
    document_created_at: int | None = None
    """Time of the upload, in milliseconds since the Unix epoch."""
    version: int = 1
    """1 for the newest of the searched documents with this name, 2 for the one before it, and so on."""

    @property
    def page_end(self) -> int | None:
        """Number of its last page; None where it is not known."""
        return None if self.later_pages is None else self.page_at(self.end - 1)

    def page_at(self, offset: int) -> int | None:
        """Return the number of the page at an offset in the document's text; None where the format has no pages."""
        return max((each.page for each in self.later_pages or () if each.start <= offset), default=self.page)


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
    page_end: int | None = None
    """Number of its last page; None where it is not known."""
    document_created_at: int | None = None
    """Time of the document's upload, in milliseconds since the Unix epoch; None in replies of older releases."""
