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
    """A query over a user's documents, or over those in `document_ids`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "ada", "query": "days of leave"}]})

    user_id: BodyUserId
    query: SearchText
    limit: BodyLimit = 8
    document_ids: DocumentIds | None = None


class DocumentFailureOut(Output):
    """Reason why the ingestion of a document failed."""

    code: str
    detail: str
    retryable: bool = Field(description="True if another upload of the same bytes may succeed.")


class DocumentOut(Output):
    """A document."""

    document_id: Id
    name: str
    media_type: str
    bytes: int
    sha256: Sha256
    status: DocumentStatus
    stage: Stage | None
    done: int
    total: int
    error: DocumentFailureOut | None
    page_count: int | None
    textless_pages: list[int]
    chunk_count: int | None
    created_at: Moment


class PassageOut(Output):
    """A retrieved chunk; `text` is the document's text from `start` to `end`."""

    document_id: Id
    document_name: str
    chunk_id: str
    page: int | None
    start: int
    end: int
    text: str
    score: float


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
        "error": error and {"code": error.code, "detail": error.detail, "retryable": error.retryable},
        "page_count": document.page_count,
        "textless_pages": list(document.textless_pages),
        "chunk_count": document.chunk_count,
        "created_at": rfc3339(document.created_at),
    }


def passage_json(passage: Passage) -> JsonObject:
    return {
        "document_id": passage.document_id,
        "document_name": passage.document_name,
        "chunk_id": passage.chunk_id,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "text": passage.text,
        "score": passage.score,
    }
