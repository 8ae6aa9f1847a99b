from __future__ import annotations

from pydantic import ConfigDict, Field

from app.api.schemas.fields import (
    BodyLimit,
    BodyUserId,
    DocumentIds,
    Id,
    Input,
    JsonObject,
    Moment,
    Output,
    SearchText,
    Sha256,
    rfc3339,
)
from app.domain.documents import Document, DocumentStatus, Passage, Stage


class SearchBody(Input):
    """A search in a user's documents."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "ada", "query": "days of leave"}]})

    user_id: BodyUserId = Field(description="User whose documents are searched.")
    query: SearchText = Field(description="Question or keywords.")
    limit: BodyLimit = Field(8, description="Maximum number of passages, 1 to 100.")
    document_ids: DocumentIds | None = Field(None, description="Documents to search; null for all of the user's.")


class DocumentFailureOut(Output):
    """Reason why the ingestion of a document failed."""

    code: str = Field(description="Stable code of the failure.")
    detail: str = Field(description="The cause, and what to do about it.")
    retryable: bool = Field(description="True if another upload of the same bytes may succeed.")


class DocumentOut(Output):
    """A document."""

    document_id: Id
    name: str = Field(description="File name of the upload.")
    media_type: str = Field(description="Media type, detected from the content.")
    bytes: int = Field(description="Size of the upload.")
    sha256: Sha256
    status: DocumentStatus
    stage: Stage | None = Field(description="Current step of ingestion; null before and after it.")
    done: int = Field(description="Finished units of the current stage.")
    total: int = Field(description="Units of the current stage in total; 0 while unknown.")
    seconds_left: int | None = Field(description="Estimated seconds to the end of the stage; null while unknown.")
    error: DocumentFailureOut | None = Field(description="Reason why ingestion failed.")
    page_count: int | None = Field(description="Number of pages; null if the document has none.")
    textless_pages: list[int] = Field(description="The first 100 pages without text, such as scans.")
    truncated: bool = Field(description="True if reading stopped at a limit; what was read until then is searchable.")
    truncated_detail: str | None = Field(description="Where reading stopped; null if the whole document was read.")
    language: str | None = Field(description="ISO 639-1 code of the main language; null while unknown.")
    chunk_count: int | None = Field(description="Number of searchable chunks; null until ingestion ends.")
    links: bool = Field(description="True if it was uploaded with `?links=true`: link addresses are part of its text.")
    replaces: Id | None = Field(
        description="Document with the same bytes whose place it takes once it is ready; null for all others."
    )
    created_at: Moment


class PassageOut(Output):
    """A passage that matches the query; `text` is the document's text from `start` to `end`."""

    document_id: Id
    document_name: str
    chunk_id: str
    document_created_at: Moment
    page: int | None = Field(description="First page; null if the document has no pages.")
    page_end: int | None = Field(description="Last page; null if it is not known.")
    start: int = Field(description="Position of the first character in the document's text.")
    end: int = Field(description="Position after the last character.")
    text: str
    score: float = Field(description="Relevance to the query; higher is better.")
    similarity: float | None = Field(description="Cosine of query and passage; null if they were not compared.")
    coverage: float = Field(description="Share of the query's words in the passage by weight, 0 to 1.")


def document_json(document: Document) -> JsonObject:
    error = document.error
    return {
        "document_id": document.document_id,
        "name": document.name,
        "media_type": document.media_type,
        "bytes": document.bytes,
        "sha256": document.sha256,
        "status": document.status,
        "stage": document.stage,
        "done": document.done,
        "total": document.total,
        "seconds_left": document.seconds_left,
        "error": error and {"code": error.code, "detail": error.detail, "retryable": error.retryable},
        "page_count": document.page_count,
        "textless_pages": list(document.textless_pages),
        "truncated": document.truncated is not None,
        "truncated_detail": document.truncated,
        "language": document.language,
        "chunk_count": document.chunk_count,
        "links": document.keep_links,
        "replaces": document.replaces,
        "created_at": rfc3339(document.created_at),
    }


def passage_json(passage: Passage) -> JsonObject:
    return {
        "document_id": passage.document_id,
        "document_name": passage.document_name,
        "chunk_id": passage.chunk_id,
        "document_created_at": rfc3339(passage.document_created_at),
        "page": passage.page,
        "page_end": passage.page_end,
        "start": passage.start,
        "end": passage.end,
        "text": passage.text,
        "score": passage.score,
        "similarity": passage.similarity,
        "coverage": passage.coverage,
    }
