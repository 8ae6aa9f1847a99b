"""Transactions that renew the search terms of ready documents, from their text; they stay ready meanwhile.

The language is stored before the first chunk is renewed and the version of the analysis after the last one: between the
two a query has the terms of both, as each chunk has either. A claim of a dead process is ended by
`app.db.reembedding`, which also deletes the vectors that it may have left; then the document is claimed here again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, update

from app.db import ready_claims
from app.db.documents import BUMP_VERSION
from app.db.models import ChunkRow, DocumentRow, DocumentTextRow
from app.db.ready_claims import CLAIMABLE, CLAIMED, NEXT_CHUNKS, ReadyClaim, require_claim
from app.db.transaction import Transaction, execute, fetch_value

OUTDATED = (
    select(DocumentRow.document_id)
    .where(CLAIMABLE, DocumentRow.analysis < bindparam("analysis"), DocumentRow.document_id > bindparam("after"))
    .order_by(DocumentRow.document_id)
    .limit(1)
)
BEGINNING = select(func.substr(DocumentTextRow.content, 1, bindparam("length"))).where(
    DocumentTextRow.document_id == bindparam("document_id")
)
STORE_LANGUAGE = (
    update(DocumentRow).where(CLAIMED).values(language=bindparam("language")).returning(DocumentRow.document_id)
)
STORE_TERMS = (
    update(ChunkRow)
    .where(ChunkRow.chunk_key == bindparam("key"))
    .values(names=bindparam("names"), words=bindparam("words"), counts=bindparam("counts"))
)
ACTIVATE = (
    update(DocumentRow)
    .where(CLAIMED)
    .values(analysis=bindparam("analysis"), deaths=0, process_id=None)
    .returning(DocumentRow.document_id)
)
IS_ACTIVE = select(DocumentRow.document_id).where(
    DocumentRow.document_id == bindparam("document_id"), DocumentRow.analysis >= bindparam("analysis")
)
FIRST_ID = "00000000-0000-0000-0000-000000000000"


class StoredChunk(NamedTuple):
    """A chunk as it is stored, without its terms."""

    key: int
    position: int
    heading: str
    content: str


class RenewedChunk(NamedTuple):
    """Search terms of a chunk, see `app.rag.ranking.terms`."""

    key: int
    names: str
    words: str
    counts: bytes


def claim_next(process_id: str, analysis: int, after: str = FIRST_ID) -> Transaction[ReadyClaim | None]:
    """Claim the first document after an id whose terms are of an older analysis; None if there is none."""
    document_id = yield from fetch_value(OUTDATED, analysis=analysis, after=after)
    return None if document_id is None else (yield from ready_claims.claim(document_id, process_id))


def beginning(claim: ReadyClaim, length: int) -> Transaction[str]:
    """Return the first characters of a document's text, at most `length`."""
    return (yield from fetch_value(BEGINNING, document_id=claim.document_id, length=length)) or ""


def store_language(claim: ReadyClaim, language: str | None) -> Transaction[None]:
    """Store a document's language, with the stems of which queries are made from now on.

    Raises:
        ClaimLost: as do `store_terms` and `activate`.
    """
    yield from execute(BUMP_VERSION, document_id=claim.document_id)
    require_claim((yield from execute(STORE_LANGUAGE, **claim.key, language=language)))


def next_chunks(claim: ReadyClaim, position: int) -> Transaction[list[StoredChunk]]:
    """Return the next chunks after a position, in order; none after the last one."""
    return [StoredChunk(*row) for row in (yield from execute(NEXT_CHUNKS, **claim.chunks, position=position))]


def store_terms(claim: ReadyClaim, chunks: Sequence[RenewedChunk]) -> Transaction[None]:
    """Replace the terms of chunks."""
    yield from ready_claims.note_progress(claim)
    for each in chunks:
        yield from execute(STORE_TERMS, **each._asdict())


def activate(claim: ReadyClaim, analysis: int) -> Transaction[None]:
    """End a claim: all terms are of this analysis."""
    yield from execute(BUMP_VERSION, document_id=claim.document_id)
    rows = yield from execute(ACTIVATE, **claim.key, analysis=analysis)
    if not rows:  # or an earlier try was committed, whose acknowledgement was lost
        require_claim((yield from execute(IS_ACTIVE, document_id=claim.document_id, analysis=analysis)))
