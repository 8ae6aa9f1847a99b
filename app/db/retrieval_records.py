"""Retrieval results, stored as JSON with the reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from app.db.models import MessageRow
from app.db.transaction import Transaction, execute, fetch_value
from app.domain.conversations import Mode
from app.domain.documents import Citation
from app.domain.retrieval import RetrievalMode, RetrievalRequest, RetrievalResult, RetrievalStatus

BY_ID = MessageRow.message_id == bindparam("message_id")
RETRIEVAL = select(MessageRow.retrieval).where(BY_ID)
SET_CITATIONS = update(MessageRow).where(BY_ID).values(citations=bindparam("citations"), grounded=bindparam("grounded"))


def retrieval_of(message_id: str) -> Transaction[RetrievalResult | None]:
    """Read the retrieval result of a reply; None where none is stored (yet)."""
    return parse_retrieval((yield from fetch_value(RETRIEVAL, message_id=message_id)))


def set_citations(message_id: str, citations: list[Citation]) -> Transaction[None]:
    """Store the citations of a reply whose process died."""
    yield from execute(SET_CITATIONS, message_id=message_id, citations=citations, grounded=bool(citations))


def parse_retrieval_request(
    mode: str | None, document_ids: Sequence[str] | None, retrieval_mode: str | None
) -> RetrievalRequest | None:
    """Build the retrieval request of a turn from stored values; None in an open conversation."""
    if mode != Mode.RAG:
        return None
    return RetrievalRequest(RetrievalMode(retrieval_mode or RetrievalMode.AUTO), document_ids)


def parse_retrieval(stored: Mapping[str, Any] | None) -> RetrievalResult | None:
    """Build a retrieval result from the column's value, which is the result as JSON; None for none."""
    if stored is None:
        return None
    candidates = [Citation(**each) for each in stored["candidates"]]
    return RetrievalResult(RetrievalStatus(stored["status"]), stored["queries"], candidates)
