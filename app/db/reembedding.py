"""Transactions that give ready documents the vectors of another embedder; they stay ready meanwhile.

A process claims such a document as it does one that it ingests. The new vectors are stored next to the old ones, which
are searched until `activate`, and deleted before the claim is released: a document without a claim has the vectors of
one embedder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, bindparam, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import aliased

from app.db import ready_claims, vectors
from app.db.database import Kind
from app.db.documents import BATCH_CHUNKS, BUMP_VERSION
from app.db.expressions import parameter
from app.db.models import ChunkRow, ChunkVectorRow, DocumentRow
from app.db.ready_claims import CLAIMABLE, CLAIMED, LEFT_BEHIND, NEXT_CHUNKS, ReadyClaim, require_claim
from app.db.transaction import Transaction, execute, fetch_value

EMBEDDER = parameter(DocumentRow.embedding, "embedder")
OUTDATED = (
    select(DocumentRow.document_id)
    .where(
        or_(
            and_(CLAIMABLE, EMBEDDER.is_not(None), func.coalesce(DocumentRow.embedding, "") != EMBEDDER),
            LEFT_BEHIND,
        )
    )
    .order_by(DocumentRow.document_id)
    .limit(1)
)
LOCK = update(DocumentRow).where(CLAIMED).values(process_id=DocumentRow.process_id).returning(DocumentRow.document_id)
ACTIVATE = (
    update(DocumentRow)
    .where(CLAIMED)
    .values(embedding=bindparam("embedding"), deaths=0)
    .returning(DocumentRow.document_id)
)
OTHER_VECTOR = aliased(ChunkVectorRow)
OTHER_VECTORS = (
    select(OTHER_VECTOR.chunk_key, OTHER_VECTOR.embedder)
    .join(ChunkRow, ChunkRow.chunk_key == OTHER_VECTOR.chunk_key)
    .where(
        ChunkRow.document_id == bindparam("document_id"),
        OTHER_VECTOR.embedder != bindparam("embedder"),
    )
    .limit(BATCH_CHUNKS)
)
DELETE_OTHER_VECTORS = (
    delete(ChunkVectorRow)
    .where(tuple_(ChunkVectorRow.chunk_key, ChunkVectorRow.embedder).in_(OTHER_VECTORS))
    .returning(ChunkVectorRow.chunk_key)
)


class ChunkTexts(NamedTuple):
    """Chunks that are embedded together."""

    keys: Sequence[int]
    texts: Sequence[tuple[str, str]]
    """Heading and content of each."""
    last: int
    """The position of the last one."""


def claim_next(process_id: str, embedder: str | None) -> Transaction[ReadyClaim | None]:
    """Claim a document whose vectors are another embedder's, or one of a dead process; None if there is none."""
    document_id = yield from fetch_value(OUTDATED, embedder=embedder, observer=process_id)
    return None if document_id is None else (yield from ready_claims.claim(document_id, process_id))


def next_chunks(claim: ReadyClaim, position: int) -> Transaction[ChunkTexts]:
    """Return the next chunks after a position, in order; without keys after the last one."""
    rows = yield from execute(NEXT_CHUNKS, **claim.chunks, position=position)
    return ChunkTexts(
        [row.chunk_key for row in rows],
        [(row.heading, row.content) for row in rows],
        rows[-1].position if rows else position,
    )


def store_vectors(
    claim: ReadyClaim, kind: Kind, keys: Sequence[int], embedder: str, new_vectors: Sequence[bytes]
) -> Transaction[None]:
    """Store vectors next to the old ones.

    Raises:
        ClaimLost: as do `activate` and `delete_other_vectors`.
    """
    yield from ready_claims.note_progress(claim)
    yield from vectors.store_vectors(kind, keys, embedder, new_vectors)


def activate(claim: ReadyClaim, embedder: str) -> Transaction[None]:
    """Make the new vectors those that searches use."""
    yield from execute(BUMP_VERSION, document_id=claim.document_id)
    require_claim((yield from execute(ACTIVATE, **claim.key, embedding=embedder)))


def delete_other_vectors(claim: ReadyClaim, embedder: str | None) -> Transaction[bool]:
    """Delete a batch of the vectors of all other embedders; return True if none are left."""
    require_claim((yield from execute(LOCK, **claim.key)))
    deleted = yield from execute(DELETE_OTHER_VECTORS, document_id=claim.document_id, embedder=embedder or "")
    return len(deleted) < BATCH_CHUNKS
