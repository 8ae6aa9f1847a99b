"""Retrieval results, stored as JSON with the reply."""

from __future__ import annotations

import orjson

from app.db.transaction import Statement, Transaction, first_row
from app.domain.conversations import Mode
from app.domain.documents import Citation
from app.domain.retrieval import RetrievalMode, RetrievalRequest, RetrievalResult, RetrievalStatus

RETRIEVAL = "SELECT CAST(retrieval AS TEXT) FROM messages WHERE message_id = $1"
SET_CITATIONS = "UPDATE messages SET citations = $2, grounded = $3 WHERE message_id = $1"


def retrieval_of(message_id: str) -> Transaction[RetrievalResult | None]:
    """Read the retrieval result of a reply; None where none is stored (yet)."""
    row = yield from first_row(Statement(RETRIEVAL, (message_id,)))
    return None if row is None else parse_retrieval(row[0])


def set_citations(message_id: str, citations: list[Citation]) -> Transaction[None]:
    """Store the citations of a reply whose process died."""
    yield Statement(SET_CITATIONS, (message_id, orjson.dumps(citations).decode(), bool(citations)))


def parse_retrieval_request(mode: str, document_ids: str | None, retrieval_mode: str | None) -> RetrievalRequest | None:
    """Build the retrieval request of a turn from stored values; None in an open conversation."""
    if mode != Mode.RAG:
        return None
    documents = None if document_ids is None else orjson.loads(document_ids)
    return RetrievalRequest(RetrievalMode(retrieval_mode or RetrievalMode.AUTO), documents)


def dump_retrieval(retrieval: RetrievalResult | None) -> str | None:
    return None if retrieval is None else orjson.dumps(retrieval).decode()


def parse_retrieval(stored: str | None) -> RetrievalResult | None:
    if stored is None:
        return None
    record = orjson.loads(stored)
    candidates = [Citation(**each) for each in record["candidates"]]
    return RetrievalResult(RetrievalStatus(record["status"]), record["queries"], candidates)
