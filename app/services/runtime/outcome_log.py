"""Log lines for the end of each turn and document, without content."""

from __future__ import annotations

import logging

from app.db.ingestion import IngestionClaim
from app.domain.documents import DocumentFailure
from app.domain.messages import Message

log = logging.getLogger(__name__)


def log_turn_end(reply: Message) -> None:
    """Log a reply that has reached a terminal status; `ms` counts from its acceptance."""
    fields = {
        "conversation_id": reply.conversation_id,
        "message_id": reply.message_id,
        "status": reply.status.value,
        "provider": reply.provider,
        "model": reply.model,
        "ms": None if reply.completed_at is None else reply.completed_at - reply.created_at,
        "input_tokens": reply.usage and reply.usage.input_tokens,
        "output_tokens": reply.usage and reply.usage.output_tokens,
        "code": reply.error and reply.error.code,
    }
    log.info("turn ended", extra=fields)


def log_document_end(claim: IngestionClaim, failure: DocumentFailure | None, chunks: int, seconds: float) -> None:
    """Log a document that is ready, or has failed."""
    fields = {
        "document_id": claim.document_id,
        "status": "ready" if failure is None else "failed",
        "chunks": chunks if failure is None else 0,
        "ms": round(seconds * 1000),
        "code": failure and failure.code,
    }
    log.info("document ended", extra=fields)
