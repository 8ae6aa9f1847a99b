"""Claims on ready documents, whose vectors or search terms a process renews; they stay ready meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, not_, or_, select, update

from app.db.expressions import parameter
from app.db.ingestion import ClaimLost
from app.db.models import ChunkRow, DocumentRow
from app.db.predicates import claimed, stalled
from app.db.transaction import Transaction, execute, fetch_one
from app.domain.documents import DocumentStatus

MAX_DEATHS = 3
"""Processes that may die in a row while they renew a document, before it keeps what it has."""
BATCH = 32
"""Chunks that are renewed together."""

CLAIMED = claimed(DocumentStatus.READY)
READY = DocumentRow.status == DocumentStatus.READY
UNCLAIMED = DocumentRow.process_id.is_(None)
OBSERVER = parameter(DocumentRow.process_id, "observer")
CLAIMABLE = and_(READY, UNCLAIMED, DocumentRow.deaths < MAX_DEATHS)
LEFT_BEHIND = and_(READY, not_(UNCLAIMED), or_(DocumentRow.process_id == OBSERVER, stalled(DocumentRow)))
"""Claimed by this process, in a commit whose acknowledgement was lost, or by a dead one."""
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
        DocumentRow.owner_id,
        DocumentRow.attempt,
        DocumentRow.generation,
        DocumentRow.embedding,
        DocumentRow.deaths,
    )
)
RESET_DEATHS = update(DocumentRow).where(CLAIMED).values(deaths=0).returning(DocumentRow.document_id)
RELEASE = update(DocumentRow).where(CLAIMED).values(process_id=None)
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


class ReadyClaim(NamedTuple):
    """A process's claim on a ready document that it renews, for one attempt."""

    document_id: str
    process_id: str
    owner_id: str
    attempt: int
    generation: int
    embedding: str | None
    """The embedder of the document's vectors; None without vectors."""
    deaths: int
    """Processes that have died in a row while they renewed it."""

    @property
    def key(self) -> dict[str, Any]:
        """Document, process and attempt: the parameters of `predicates.claimed`."""
        return {"document_id": self.document_id, "holder": self.process_id, "attempt": self.attempt}

    @property
    def chunks(self) -> dict[str, Any]:
        """Document and generation: the parameters of queries for its chunks."""
        return {"document_id": self.document_id, "generation": self.generation}


def claim(document_id: str, process_id: str) -> Transaction[ReadyClaim | None]:
    """Claim a ready document that no living process has claimed; None if another process was faster."""
    row = yield from fetch_one(CLAIM, document_id=document_id, observer=process_id)
    return None if row is None else ReadyClaim(*row)


def note_progress(held: ReadyClaim) -> Transaction[None]:
    """Forget the processes that have died, as this one gets on.

    Raises:
        ClaimLost: the document was deleted, or another process has claimed it.
    """
    require_claim((yield from execute(RESET_DEATHS, **held.key)))


def release(held: ReadyClaim) -> Transaction[None]:
    """End a claim; without effect if it was lost."""
    yield from execute(RELEASE, **held.key)


def require_claim(rows: Sequence[object]) -> None:
    """Check that a write has found the row of a claim.

    Raises:
        ClaimLost: it has not.
    """
    if not rows:
        raise ClaimLost
