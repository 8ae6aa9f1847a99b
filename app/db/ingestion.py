"""The work on documents, as scripts: who does it, how far it is, and how it ends.

Whatever is written carries `process_id = me AND attempt = mine`: no row means that the work is another's now, or the
document is gone. Chunks are written under the attempt's number as their generation, which nobody searches before
`finish` makes it the document's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import orjson

from app.db import vectors
from app.db.database import Kind
from app.db.documents import BATCH_CHUNKS, CHANGED
from app.db.process_leases import stalled
from app.db.transaction import Statement, Transaction, first_row
from app.domain.documents import Chunk, DocumentFailure, ExtractedDocument, Stage

WAITING = """
SELECT CAST(owner_id AS TEXT), MIN(CAST(document_id AS TEXT)) FROM documents WHERE status = 'queued'
GROUP BY owner_id"""
TAKE = """
UPDATE documents SET status = 'processing', stage = 'extracting', done = 0, total = 0, process_id = $2,
attempt = attempt + 1 WHERE document_id = $1 AND status = 'queued'
RETURNING document_id, owner_id, media_type, attempt, deaths"""
MINE = "document_id = $1 AND process_id = $2 AND attempt = $3 AND status = 'processing'"
ADVANCE = f"UPDATE documents SET stage = $4, done = $5, total = $6 WHERE {MINE} RETURNING 1"
REMOVE_ALL = """
DELETE FROM chunks WHERE chunk_key IN (SELECT chunk_key FROM chunks WHERE document_id = $1 LIMIT $2) RETURNING 1"""
REMOVE_OTHERS = """
DELETE FROM chunks WHERE chunk_key IN (
SELECT chunk_key FROM chunks WHERE document_id = $1 AND generation <> $2 LIMIT $3) RETURNING 1"""
REMOVE_TEXT = "DELETE FROM document_texts WHERE document_id = $1"
STORE_TEXT = "INSERT INTO document_texts (document_id, content) VALUES ($1, $2)"
REMOVE_SAME = """
DELETE FROM chunks WHERE document_id = $1 AND generation = $2 AND position >= $3 AND position < $4"""
STORE_CHUNK = """
INSERT INTO chunks (document_id, owner_id, generation, position, start_at, end_at, page, content, heading, names,
words, counts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING chunk_key"""
FINISH = f"""
UPDATE documents SET status = 'ready', stage = NULL, done = 0, total = 0, process_id = NULL, deaths = 0,
generation = attempt, embedding = $4, title = $5, outline = $6, page_count = $7, textless_pages = $8, chunk_count = $9
WHERE {MINE} RETURNING 1"""
FINISHED = "SELECT 1 FROM documents WHERE document_id = $1 AND attempt = $2 AND status IN ('ready', 'failed')"
FAIL = f"""
UPDATE documents SET status = 'failed', stage = NULL, done = 0, total = 0, process_id = NULL,
error_code = $4, error_detail = $5, retryable = $6 WHERE {MINE} RETURNING 1"""
GIVE_BACK = """
UPDATE documents SET status = 'queued', stage = NULL, done = 0, total = 0, process_id = NULL
WHERE status = 'processing' AND process_id = $1"""
QUEUE_LEFT_BEHIND = f"""
UPDATE documents AS d SET status = 'queued', stage = NULL, done = 0, total = 0, process_id = NULL, deaths = deaths + 1
WHERE d.status = 'processing' AND {stalled("d", "$1")}"""
DISCARD_LEFT_BEHIND = f"""
UPDATE documents AS d SET status = 'deleting' WHERE d.status = 'uploading' AND {stalled("d", "$1")}"""
HALF_REMOVED = f"""
SELECT d.document_id FROM documents d WHERE d.status = 'deleting' AND {stalled("d", "$1")} LIMIT $2"""


class IngestionClaim(NamedTuple):
    """A document that a process reads, for the attempt's time."""

    document_id: str
    process_id: str
    owner_id: str
    media_type: str
    attempt: int
    deaths: int

    @property
    def mine(self) -> tuple[str, str, int]:
        """What every write is conditional on."""
        return self.document_id, self.process_id, self.attempt


class ClaimLost(Exception):
    """The document is gone, or another process reads it now."""


class Progress(NamedTuple):
    """How far the work is."""

    stage: Stage
    done: int = 0
    total: int = 0


class QueuedUser(NamedTuple):
    """A user with documents that wait to be read, and the oldest of them."""

    owner_id: str
    document_id: str


class Batch(NamedTuple):
    """Chunks that are stored together."""

    kind: Kind
    first: int
    """The position of the first of them."""
    chunks: Sequence[tuple[Chunk, str, bytes]]
    """Each with the words that it is found by, and how often it has them."""
    embedder: str | None
    vectors: Sequence[bytes]
    """One for each, where there is an embedder."""


def claim_next(
    process_id: str, in_order: Callable[[Sequence[QueuedUser]], Iterable[QueuedUser]]
) -> Transaction[IngestionClaim | None]:
    """Begins the work on a document that waits, the first in an order of users; None when none waits.

    What the process had begun before is waiting again: it asks when it has nothing in hand, so that the
    acknowledgement of a take was lost.
    """
    yield Statement(GIVE_BACK, (process_id,))
    rows = yield Statement(WAITING)
    for waiting in in_order([QueuedUser(*row) for row in rows]):
        taken = yield from first_row(Statement(TAKE, (waiting.document_id, process_id)))
        if taken is not None:
            document_id, owner_id, *rest = taken
            return IngestionClaim(str(document_id), process_id, str(owner_id), *rest)
    return None


def give_back(process_id: str) -> Transaction[None]:
    """Has others read what this process has begun."""
    yield Statement(GIVE_BACK, (process_id,))


def advance(job: IngestionClaim, progress: Progress) -> Transaction[None]:
    """Says how far the work is.

    Raises:
        JobLost: it is not this process's any more. So do all others here.
    """
    if not (yield Statement(ADVANCE, (*job.mine, progress.stage, progress.done, progress.total))):
        raise ClaimLost


def remove_other_chunks(job: IngestionClaim, progress: Progress) -> Transaction[bool]:
    """Removes a batch of what earlier attempts have left; True when there is no more."""
    yield from advance(job, progress)
    removed = yield Statement(REMOVE_OTHERS, (job.document_id, job.attempt, BATCH_CHUNKS))
    return len(removed) < BATCH_CHUNKS


def remove_all_chunks(job: IngestionClaim, progress: Progress) -> Transaction[bool]:
    """Removes a batch of all that was stored of a document's text; True when there is no more."""
    yield from advance(job, progress)
    yield Statement(REMOVE_TEXT, (job.document_id,))
    removed = yield Statement(REMOVE_ALL, (job.document_id, BATCH_CHUNKS))
    return len(removed) < BATCH_CHUNKS


def store_text(job: IngestionClaim, progress: Progress, content: str) -> Transaction[None]:
    """Stores a document's text, in place of an earlier attempt's."""
    yield from advance(job, progress)
    yield Statement(REMOVE_TEXT, (job.document_id,))
    yield Statement(STORE_TEXT, (job.document_id, content))


def store_chunks(job: IngestionClaim, progress: Progress, batch: Batch) -> Transaction[None]:
    """Stores chunks with their vectors, over those of a try that was not heard of."""
    yield from advance(job, progress)
    yield Statement(REMOVE_SAME, (job.document_id, job.attempt, batch.first, batch.first + len(batch.chunks)))
    keys = []
    for position, (chunk, words, counts) in enumerate(batch.chunks, batch.first):
        place = (position, chunk.start, chunk.end, chunk.page)
        found_by = (chunk.content, chunk.heading, chunk.names, words, counts)
        rows = yield Statement(STORE_CHUNK, (job.document_id, job.owner_id, job.attempt, *place, *found_by))
        keys.append(int(rows[0][0]))
    if batch.embedder is not None:
        yield from vectors.store_vectors(batch.kind, keys, batch.embedder, batch.vectors)


def finish(job: IngestionClaim, extracted: ExtractedDocument, embedding: str | None) -> Transaction[None]:
    """Makes a document ready: its chunks are found from now on."""
    yield Statement(CHANGED, (job.document_id,))
    outline = [[each.level, each.text, each.start] for each in extracted.outline]
    values = (
        embedding,
        extracted.title,
        orjson.dumps(outline).decode(),
        extracted.page_count,
        orjson.dumps(list(extracted.textless_pages)).decode(),
        len(extracted.chunks),
    )
    yield from ended(job, (yield Statement(FINISH, (*job.mine, *values))))


def fail(job: IngestionClaim, failure: DocumentFailure) -> Transaction[None]:
    """Ends the work on a document that cannot be read."""
    values = (failure.code, failure.detail, failure.retryable)
    yield from ended(job, (yield Statement(FAIL, (*job.mine, *values))))


def ended(job: IngestionClaim, rows: Sequence[object]) -> Transaction[None]:
    """Makes sure that the work has ended now, or had when the acknowledgement was lost."""
    if not rows and not (yield Statement(FINISHED, (job.document_id, job.attempt))):
        raise ClaimLost


def requeue_stalled(process_id: str) -> Transaction[None]:
    """Queue what dead processes were reading, and give up what was arriving at them, as another process sees it."""
    yield Statement(QUEUE_LEFT_BEHIND, (process_id,))
    yield Statement(DISCARD_LEFT_BEHIND, (process_id,))


def pending_deletions(process_id: str, limit: int) -> Transaction[list[str]]:
    """List deleted documents that no living process removes, as another process sees it."""
    return [str(row[0]) for row in (yield Statement(HALF_REMOVED, (process_id, limit)))]
