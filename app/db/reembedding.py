"""Transactions that give ready documents the vectors of another embedder; they stay ready meanwhile.

A process claims such a document as it does one that it ingests. The new vectors are stored next to the old ones, which
are searched until `activate`, and deleted before the claim is released: a document without a claim has the vectors of
one embedder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, delete, func, not_, or_, select, tuple_, update
from sqlalchemy.orm import aliased

from app.db import vectors
from app.db.database import Kind
from app.db.documents import BATCH_CHUNKS, BUMP_VERSION
from app.db.expressions import parameter
from app.db.ingestion import ClaimLost
from app.db.models import ChunkRow, ChunkVectorRow, DocumentRow
from app.db.predicates import claimed, stalled
from app.db.transaction import Transaction, execute, fetch_one, fetch_value
from app.domain.documents import DocumentStatus

MAX_DEATHS = 3
"""Processes that may die in a row while they re-embed a document, before it keeps the old vectors."""
BATCH = 32
"""Chunks that are embedded together."""

CLAIMED = claimed(DocumentStatus.READY)
READY = DocumentRow.status == DocumentStatus.READY
UNCLAIMED = DocumentRow.process_id.is_(None)
OBSERVER = parameter(DocumentRow.process_id, "observer")
EMBEDDER = parameter(DocumentRow.embedding, "embedder")
OUTDATED = (
    select(DocumentRow.document_id)
    .where(
        READY,
        or_(
            and_(
                UNCLAIMED,
                DocumentRow.deaths < MAX_DEATHS,
                EMBEDDER.is_not(None),
                func.coalesce(DocumentRow.embedding, "") != EMBEDDER,
            ),
            and_(not_(UNCLAIMED), or_(DocumentRow.process_id == OBSERVER, stalled(DocumentRow))),
        ),
    )
    .order_by(DocumentRow.document_id)
    .limit(1)
)
CLAIM = (
    update(DocumentRow)
    .where(
        DocumentRow.document_id == bindparam("document_id"),
        READY,
        or_(UNCLAIMED, DocumentRow.process_id == OBSERVER, stalled(DocumentRow)),
    )
    .values(
        process_id=OBSERVER,
        attempt=DocumentRow.attempt + 1,
        deaths=DocumentRow.deaths + case((or_(UNCLAIMED, DocumentRow.process_id == OBSERVER), 0), else_=1),
    )
    .returning(
        DocumentRow.document_id,
        DocumentRow.process_id,
        DocumentRow.attempt,
        DocumentRow.generation,
        DocumentRow.embedding,
        DocumentRow.deaths,
    )
)
RESET_DEATHS = update(DocumentRow).where(CLAIMED).values(deaths=0).returning(DocumentRow.document_id)
LOCK = update(DocumentRow).where(CLAIMED).values(process_id=DocumentRow.process_id).returning(DocumentRow.document_id)
NEXT_CHUNKS = (
    select(ChunkRow.chunk_key, ChunkRow.position, ChunkRow.heading, ChunkRow.content)
    .where(
        ChunkRow.document_id == bindparam("document_id"),
        ChunkRow.generation == bindparam("generation"),
        ChunkRow.position > bindparam("position"),
    )
    .order_by(ChunkRow.position)
    .limit(BATCH)
)
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
RELEASE = update(DocumentRow).where(CLAIMED).values(process_id=None)


class ReembeddingClaim(NamedTuple):
    """A process's claim on a document that it gives new vectors, for one attempt."""

    document_id: str
    process_id: str
    attempt: int
    generation: int
    embedding: str | None
    """The embedder of the document's vectors; None without vectors."""
    deaths: int
    """Processes that have died in a row while they re-embedded it."""

    @property
    def key(self) -> dict[str, Any]:
        """Document, process and attempt: the parameters of `predicates.claimed`."""
        return {"document_id": self.document_id, "holder": self.process_id, "attempt": self.attempt}


class ChunkTexts(NamedTuple):
    """Chunks that are embedded together."""

    keys: Sequence[int]
    texts: Sequence[tuple[str, str]]
    """Heading and content of each."""
    last: int
    """The position of the last one."""


def claim_next(process_id: str, embedder: str | None) -> Transaction[ReembeddingClaim | None]:
    """Claim a document whose vectors are another embedder's, or one of a dead process; None if there is none."""
    document_id = yield from fetch_value(OUTDATED, embedder=embedder, observer=process_id)
    if document_id is None:
        return None
    row = yield from fetch_one(CLAIM, document_id=document_id, observer=process_id)
    return None if row is None else ReembeddingClaim(*row)


def next_chunks(claim: ReembeddingClaim, position: int) -> Transaction[ChunkTexts]:
    """Return the next chunks after a position, in order; without keys after the last one."""
    rows = yield from execute(
        NEXT_CHUNKS, document_id=claim.document_id, generation=claim.generation, position=position
    )
    return ChunkTexts(
        [row.chunk_key for row in rows],
        [(row.heading, row.content) for row in rows],
        rows[-1].position if rows else position,
    )


def store_vectors(
    claim: ReembeddingClaim, kind: Kind, keys: Sequence[int], embedder: str, new_vectors: Sequence[bytes]
) -> Transaction[None]:
    """Store vectors next to the old ones.

    Raises:
        ClaimLost: as do `activate` and `delete_other_vectors`.
    """
    require_claim((yield from execute(RESET_DEATHS, **claim.key)))
    yield from vectors.store_vectors(kind, keys, embedder, new_vectors)


def activate(claim: ReembeddingClaim, embedder: str) -> Transaction[None]:
    """Make the new vectors those that searches use."""
    yield from execute(BUMP_VERSION, document_id=claim.document_id)
    require_claim((yield from execute(ACTIVATE, **claim.key, embedding=embedder)))


def delete_other_vectors(claim: ReembeddingClaim, embedder: str | None) -> Transaction[bool]:
    """Delete a batch of the vectors of all other embedders; return True if none are left."""
    require_claim((yield from execute(LOCK, **claim.key)))
    deleted = yield from execute(DELETE_OTHER_VECTORS, document_id=claim.document_id, embedder=embedder or "")
    return len(deleted) < BATCH_CHUNKS


def release(claim: ReembeddingClaim) -> Transaction[None]:
    """End a claim; without effect if it was lost."""
    yield from execute(RELEASE, **claim.key)


def require_claim(rows: Sequence[object]) -> None:
    """Check that a write has found the row of a claim.

    Raises:
        ClaimLost: it has not.
    """
    if not rows:
        raise ClaimLost
