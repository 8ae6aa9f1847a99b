"""Transactions that give ready documents the vectors of another embedder; they stay ready meanwhile.

A process claims such a document as it does one that it ingests. The new vectors are stored next to the old ones, which
are searched until `activate`, and deleted before the claim is released: a document without a claim has the vectors of
one embedder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.db import vectors
from app.db.database import Kind
from app.db.documents import BATCH_CHUNKS, BUMP_VERSION
from app.db.ingestion import ClaimLost
from app.db.process_leases import stalled
from app.db.transaction import Statement, Transaction, first_row

MAX_DEATHS = 3
"""Processes that may die in a row while they re-embed a document, before it keeps the old vectors."""
BATCH = 32
"""Chunks that are embedded together."""

OUTDATED = f"""
SELECT d.document_id FROM documents d WHERE d.status = 'ready' AND (
(d.process_id IS NULL AND d.deaths < $2 AND CAST($1 AS TEXT) IS NOT NULL
AND COALESCE(d.embedding, '') <> CAST($1 AS TEXT))
OR (d.process_id IS NOT NULL AND (d.process_id = $3 OR {stalled("d", "$3")}))) ORDER BY d.document_id LIMIT 1"""
CLAIM = f"""
UPDATE documents AS d SET process_id = $2, attempt = attempt + 1,
deaths = deaths + CASE WHEN d.process_id IS NULL OR d.process_id = $2 THEN 0 ELSE 1 END
WHERE d.document_id = $1 AND d.status = 'ready' AND (d.process_id IS NULL OR d.process_id = $2 OR {stalled("d", "$2")})
RETURNING document_id, attempt, generation, embedding, deaths"""
CLAIMED = "document_id = $1 AND process_id = $2 AND attempt = $3 AND status = 'ready'"
RESET_DEATHS = f"UPDATE documents SET deaths = 0 WHERE {CLAIMED} RETURNING 1"
LOCK = f"UPDATE documents SET process_id = process_id WHERE {CLAIMED} RETURNING 1"
NEXT_CHUNKS = """
SELECT chunk_key, position, heading, content FROM chunks
WHERE document_id = $1 AND generation = $2 AND position > $3 ORDER BY position LIMIT $4"""
ACTIVATE = f"UPDATE documents SET embedding = $4, deaths = 0 WHERE {CLAIMED} RETURNING 1"
DELETE_OTHER_VECTORS = """
DELETE FROM chunk_vectors WHERE (chunk_key, embedder) IN (
SELECT v.chunk_key, v.embedder FROM chunks c JOIN chunk_vectors v ON v.chunk_key = c.chunk_key
WHERE c.document_id = $1 AND v.embedder <> $2 LIMIT $3) RETURNING 1"""
RELEASE = f"UPDATE documents SET process_id = NULL WHERE {CLAIMED} RETURNING 1"


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
    def key(self) -> tuple[str, str, int]:
        """Document, process and attempt: the values of `CLAIMED`."""
        return self.document_id, self.process_id, self.attempt


class ChunkTexts(NamedTuple):
    """Chunks that are embedded together."""

    keys: Sequence[int]
    texts: Sequence[tuple[str, str]]
    """Heading and content of each."""
    last: int
    """The position of the last one."""


def claim_next(process_id: str, embedder: str | None) -> Transaction[ReembeddingClaim | None]:
    """Claim a document whose vectors are another embedder's, or one of a dead process; None if there is none."""
    row = yield from first_row(Statement(OUTDATED, (embedder, MAX_DEATHS, process_id)))
    if row is None:
        return None
    claimed = yield from first_row(Statement(CLAIM, (row[0], process_id)))
    if claimed is None:
        return None
    document_id, attempt, generation, embedding, deaths = claimed
    return ReembeddingClaim(str(document_id), process_id, attempt, generation, embedding, deaths)


def next_chunks(claim: ReembeddingClaim, position: int) -> Transaction[ChunkTexts]:
    """Return the next chunks after a position, in order; without keys after the last one."""
    rows = yield Statement(NEXT_CHUNKS, (claim.document_id, claim.generation, position, BATCH))
    return ChunkTexts([row[0] for row in rows], [(row[2], row[3]) for row in rows], rows[-1][1] if rows else position)


def store_vectors(
    claim: ReembeddingClaim, kind: Kind, keys: Sequence[int], embedder: str, new_vectors: Sequence[bytes]
) -> Transaction[None]:
    """Store vectors next to the old ones.

    Raises:
        ClaimLost: as do `activate` and `delete_other_vectors`.
    """
    require_claim((yield Statement(RESET_DEATHS, claim.key)))
    yield from vectors.store_vectors(kind, keys, embedder, new_vectors)


def activate(claim: ReembeddingClaim, embedder: str) -> Transaction[None]:
    """Make the new vectors those that searches use."""
    yield Statement(BUMP_VERSION, (claim.document_id,))
    require_claim((yield Statement(ACTIVATE, (*claim.key, embedder))))


def delete_other_vectors(claim: ReembeddingClaim, embedder: str | None) -> Transaction[bool]:
    """Delete a batch of the vectors of all other embedders; return True if none are left."""
    require_claim((yield Statement(LOCK, claim.key)))
    deleted = yield Statement(DELETE_OTHER_VECTORS, (claim.document_id, embedder or "", BATCH_CHUNKS))
    return len(deleted) < BATCH_CHUNKS


def release(claim: ReembeddingClaim) -> Transaction[None]:
    """End a claim; without effect if it was lost."""
    yield Statement(RELEASE, claim.key)


def require_claim(rows: Sequence[object]) -> None:
    """Check that a write has found the row of a claim.

    Raises:
        ClaimLost: it has not.
    """
    if not rows:
        raise ClaimLost
