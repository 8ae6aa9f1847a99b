"""What was looked up for a reply, as it stands in its row."""

from __future__ import annotations

import orjson

from app.db.transaction import Statement, Transaction, first_row
from app.domain.conversations import Mode
from app.domain.documents import Citation
from app.domain.retrieval import Lookup, RetrievalMode, RetrievalResult, RetrievalStatus

OF_MESSAGE = "SELECT CAST(retrieval AS TEXT) FROM messages WHERE message_id = $1"
CITE = "UPDATE messages SET citations = $2, grounded = $3 WHERE message_id = $1"


def of_message(message_id: str) -> Transaction[RetrievalResult | None]:
    """What was looked up for a reply; None where that is not stored (yet)."""
    row = yield from first_row(Statement(OF_MESSAGE, (message_id,)))
    return None if row is None else retrieval_of(row[0])


def cite(message_id: str, citations: list[Citation]) -> Transaction[None]:
    """Notes what a reply cites whose process died."""
    yield Statement(CITE, (message_id, orjson.dumps(citations).decode(), bool(citations)))


def lookup_of(mode: str, document_ids: str | None, retrieval_mode: str | None) -> Lookup | None:
    """What a turn may look up, from what is stored; None in an open conversation."""
    if mode != Mode.RAG:
        return None
    documents = None if document_ids is None else orjson.loads(document_ids)
    return Lookup(RetrievalMode(retrieval_mode or RetrievalMode.AUTO), documents)


def stored(retrieval: RetrievalResult | None) -> str | None:
    """What was looked up, as it is stored."""
    return None if retrieval is None else orjson.dumps(retrieval).decode()


def retrieval_of(stored: str | None) -> RetrievalResult | None:
    """What was looked up, from what is stored."""
    if stored is None:
        return None
    found = orjson.loads(stored)
    candidates = [Citation(**each) for each in found["candidates"]]
    return RetrievalResult(RetrievalStatus(found["status"]), found["queries"], candidates)
