"""Ready documents whose vectors are another embedder's, as scripts: they stay ready while they get new ones.

A process leases such a document as it does one that it reads. The new vectors are written beside the old ones, which
are searched until `adopt`, and removed before the lease is given up: a document without a lease has one embedder's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.db import vectors
from app.db.database import Kind
from app.db.documents import BATCH_CHUNKS, CHANGED
from app.db.ingestion import ClaimLost
from app.db.process_leases import stalled
from app.db.transaction import Statement, Transaction, first_row

MAX_DEATHS = 3
"""Processes that may die over a document's vectors, one after the other, before it is left with the old ones."""
BATCH = 32

OUTDATED = f"""
SELECT d.document_id FROM documents d WHERE d.status = 'ready' AND (
(d.process_id IS NULL AND d.deaths < $2 AND CAST($1 AS TEXT) IS NOT NULL
AND COALESCE(d.embedding, '') <> CAST($1 AS TEXT))
OR (d.process_id IS NOT NULL AND (d.process_id = $3 OR {stalled("d", "$3")}))) ORDER BY d.document_id LIMIT 1"""
TAKE = f"""
UPDATE documents AS d SET process_id = $2, attempt = attempt + 1,
deaths = deaths + CASE WHEN d.process_id IS NULL OR d.process_id = $2 THEN 0 ELSE 1 END
WHERE d.document_id = $1 AND d.status = 'ready' AND (d.process_id IS NULL OR d.process_id = $2 OR {stalled("d", "$2")})
RETURNING document_id, attempt, generation, embedding, deaths"""
MINE = "document_id = $1 AND process_id = $2 AND attempt = $3 AND status = 'ready'"
KEEP = f"UPDATE documents SET deaths = 0 WHERE {MINE} RETURNING 1"
LOCK = f"UPDATE documents SET process_id = process_id WHERE {MINE} RETURNING 1"
NEXT = """
SELECT chunk_key, position, heading, content FROM chunks
WHERE document_id = $1 AND generation = $2 AND position > $3 ORDER BY position LIMIT $4"""
ADOPT = f"UPDATE documents SET embedding = $4, deaths = 0 WHERE {MINE} RETURNING 1"
REMOVE_OTHERS = """
DELETE FROM chunk_vectors WHERE (chunk_key, embedder) IN (
SELECT v.chunk_key, v.embedder FROM chunks c JOIN chunk_vectors v ON v.chunk_key = c.chunk_key
WHERE c.document_id = $1 AND v.embedder <> $2 LIMIT $3) RETURNING 1"""
RELEASE = f"UPDATE documents SET process_id = NULL WHERE {MINE} RETURNING 1"


class ReembeddingClaim(NamedTuple):
    """A document that a process gives new vectors, for the attempt's time."""

    document_id: str
    process_id: str
    attempt: int
    generation: int
    embedding: str | None
    deaths: int

    @property
    def mine(self) -> tuple[str, str, int]:
        """What every write is conditional on."""
        return self.document_id, self.process_id, self.attempt


class Passages(NamedTuple):
    """Chunks that are embedded together: their keys, what they say under which headings, and the last one's place."""

    keys: Sequence[int]
    texts: Sequence[tuple[str, str]]
    last: int


def take(process_id: str, embedder: str | None) -> Transaction[ReembeddingClaim | None]:
    """Leases a document whose vectors are not this embedder's, or that a dead process was at; None when none is."""
    row = yield from first_row(Statement(OUTDATED, (embedder, MAX_DEATHS, process_id)))
    if row is None:
        return None
    taken = yield from first_row(Statement(TAKE, (row[0], process_id)))
    if taken is None:
        return None
    document_id, attempt, generation, embedding, deaths = taken
    return ReembeddingClaim(str(document_id), process_id, attempt, generation, embedding, deaths)


def following(outdated: ReembeddingClaim, position: int) -> Transaction[Passages]:
    """The next chunks behind a position, in order."""
    rows = yield Statement(NEXT, (outdated.document_id, outdated.generation, position, BATCH))
    return Passages([row[0] for row in rows], [(row[2], row[3]) for row in rows], rows[-1][1] if rows else position)


def store(
    outdated: ReembeddingClaim, kind: Kind, keys: Sequence[int], embedder: str, given: Sequence[bytes]
) -> Transaction[None]:
    """Stores vectors beside the old ones.

    Raises:
        JobLost: the document is gone, or another process is at it now. So do all others here.
    """
    require((yield Statement(KEEP, outdated.mine)))
    yield from vectors.store_vectors(kind, keys, embedder, given)


def activate(outdated: ReembeddingClaim, embedder: str) -> Transaction[None]:
    """Has the new vectors searched from now on."""
    yield Statement(CHANGED, (outdated.document_id,))
    require((yield Statement(ADOPT, (*outdated.mine, embedder))))


def remove_others(outdated: ReembeddingClaim, embedder: str | None) -> Transaction[bool]:
    """Removes a batch of all other vectors than this embedder's; True when there are no more."""
    require((yield Statement(LOCK, outdated.mine)))
    removed = yield Statement(REMOVE_OTHERS, (outdated.document_id, embedder or "", BATCH_CHUNKS))
    return len(removed) < BATCH_CHUNKS


def release(outdated: ReembeddingClaim) -> Transaction[None]:
    """Ends the lease."""
    yield Statement(RELEASE, outdated.mine)


def require(rows: Sequence[object]) -> None:
    """Makes sure that a write has found its row."""
    if not rows:
        raise ClaimLost
