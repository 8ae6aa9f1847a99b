"""Transactions of ingestion: a process claims a queued document, stores its chunks, and ends the claim.

Each write is conditional on `process_id = me AND attempt = mine`: no row means that another process has the claim now,
or that the document is gone. Chunks carry the attempt's number as their generation, which no search sees before
`mark_ready` makes it the document's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from app.db import vectors
from app.db.database import Kind
from app.db.documents import BATCH_CHUNKS, BUMP_VERSION, DELETE_CHUNKS, DELETE_TEXT
from app.db.process_leases import stalled
from app.db.transaction import Statement, Transaction, first_row
from app.domain.documents import Chunk, DocumentFailure, ExtractedDocument, Stage

QUEUED_USERS = """
SELECT CAST(owner_id AS TEXT), MIN(CAST(document_id AS TEXT)) FROM documents WHERE status = 'queued'
GROUP BY owner_id"""
CLAIM = """
UPDATE documents SET status = 'processing', stage = 'extracting', done = 0, total = 0, process_id = $2,
attempt = attempt + 1 WHERE document_id = $1 AND status = 'queued'
RETURNING document_id, owner_id, media_type, attempt, deaths"""
CLAIMED = "document_id = $1 AND process_id = $2 AND attempt = $3 AND status = 'processing'"
STORE_PROGRESS = f"UPDATE documents SET stage = $4, done = $5, total = $6 WHERE {CLAIMED} RETURNING 1"
DELETE_OTHER_GENERATIONS = """
DELETE FROM chunks WHERE chunk_key IN (
SELECT chunk_key FROM chunks WHERE document_id = $1 AND generation <> $2 LIMIT $3) RETURNING 1"""
INSERT_TEXT = "INSERT INTO document_texts (document_id, content) VALUES ($1, $2)"
DELETE_POSITIONS = """
DELETE FROM chunks WHERE document_id = $1 AND generation = $2 AND position >= $3 AND position < $4"""
INSERT_CHUNK = """
INSERT INTO chunks (document_id, owner_id, generation, position, start_at, end_at, page, content, heading, names,
words, counts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING chunk_key"""
MARK_READY = f"""
UPDATE documents SET status = 'ready', stage = NULL, done = 0, total = 0, process_id = NULL, deaths = 0,
generation = attempt, embedding = $4, title = $5, outline = $6, page_count = $7, textless_pages = $8, chunk_count = $9
WHERE {CLAIMED} RETURNING 1"""
IS_ENDED = "SELECT 1 FROM documents WHERE document_id = $1 AND attempt = $2 AND status IN ('ready', 'failed')"
MARK_FAILED = f"""
UPDATE documents SET status = 'failed', stage = NULL, done = 0, total = 0, process_id = NULL,
error_code = $4, error_detail = $5, retryable = $6 WHERE {CLAIMED} RETURNING 1"""
REQUEUE_OWN = """
UPDATE documents SET status = 'queued', stage = NULL, done = 0, total = 0, process_id = NULL
WHERE status = 'processing' AND process_id = $1"""
REQUEUE_STALLED = f"""
UPDATE documents AS d SET status = 'queued', stage = NULL, done = 0, total = 0, process_id = NULL, deaths = deaths + 1
WHERE d.status = 'processing' AND {stalled("d", "$1")}"""
DISCARD_STALLED = f"""
UPDATE documents AS d SET status = 'deleting' WHERE d.status = 'uploading' AND {stalled("d", "$1")}"""
PENDING_DELETIONS = f"""
SELECT d.document_id FROM documents d WHERE d.status = 'deleting' AND {stalled("d", "$1")} LIMIT $2"""


class IngestionClaim(NamedTuple):
    """A process's claim on a document that it ingests, for one attempt."""

    document_id: str
    process_id: str
    owner_id: str
    media_type: str
    attempt: int
    deaths: int
    """Processes that have died while they ingested it."""

    @property
    def key(self) -> tuple[str, str, int]:
        """Document, process and attempt: the values of `CLAIMED`."""
        return self.document_id, self.process_id, self.attempt


class ClaimLost(Exception):
    """The document is gone, or another process has claimed it."""


class IngestionProgress(NamedTuple):
    """Progress of an ingestion within a stage, in pages or chunks; `total` is 0 while it is unknown."""

    stage: Stage
    done: int = 0
    total: int = 0


class QueuedUser(NamedTuple):
    """A user with queued documents, and the oldest of them."""

    owner_id: str
    document_id: str


class ChunkBatch(NamedTuple):
    """Chunks that one transaction stores."""

    kind: Kind
    first: int
    """The position of the first chunk."""
    chunks: Sequence[tuple[Chunk, str, bytes]]
    """Each chunk with its terms and their counts, see `app.rag.ranking.terms`."""
    embedder: str | None
    vectors: Sequence[bytes]
    """A vector for each chunk; empty without an embedder."""


def queued_users() -> Transaction[list[QueuedUser]]:
    """List the users with queued documents, in no order."""
    return [QueuedUser(*row) for row in (yield Statement(QUEUED_USERS))]


def claim_document(document_id: str, process_id: str) -> Transaction[IngestionClaim | None]:
    """Claim a queued document; None if another process was faster."""
    claimed = yield from first_row(Statement(CLAIM, (document_id, process_id)))
    if claimed is None:
        return None
    document_id, owner_id, *rest = claimed
    return IngestionClaim(str(document_id), process_id, str(owner_id), *rest)


def requeue_own(process_id: str) -> Transaction[None]:
    """Queue the documents that this process has claimed."""
    yield Statement(REQUEUE_OWN, (process_id,))


def store_progress(claim: IngestionClaim, progress: IngestionProgress) -> Transaction[None]:
    """Store the progress of a claimed document.

    Raises:
        ClaimLost: as do all transactions here that take a claim.
    """
    if not (yield Statement(STORE_PROGRESS, (*claim.key, progress.stage, progress.done, progress.total))):
        raise ClaimLost


def delete_other_generations(claim: IngestionClaim, progress: IngestionProgress) -> Transaction[bool]:
    """Delete a batch of the chunks of earlier attempts; return True if none are left."""
    yield from store_progress(claim, progress)
    deleted = yield Statement(DELETE_OTHER_GENERATIONS, (claim.document_id, claim.attempt, BATCH_CHUNKS))
    return len(deleted) < BATCH_CHUNKS


def delete_text_and_chunks(claim: IngestionClaim, progress: IngestionProgress) -> Transaction[bool]:
    """Delete a document's text and a batch of its chunks; return True if none are left."""
    yield from store_progress(claim, progress)
    yield Statement(DELETE_TEXT, (claim.document_id,))
    deleted = yield Statement(DELETE_CHUNKS, (claim.document_id, BATCH_CHUNKS))
    return len(deleted) < BATCH_CHUNKS


def store_text(claim: IngestionClaim, progress: IngestionProgress, content: str) -> Transaction[None]:
    """Store a document's text, in place of an earlier attempt's."""
    yield from store_progress(claim, progress)
    yield Statement(DELETE_TEXT, (claim.document_id,))
    yield Statement(INSERT_TEXT, (claim.document_id, content))


def store_chunks(claim: IngestionClaim, progress: IngestionProgress, batch: ChunkBatch) -> Transaction[None]:
    """Store chunks with their vectors, in place of those of an earlier try whose acknowledgement was lost."""
    yield from store_progress(claim, progress)
    yield Statement(DELETE_POSITIONS, (claim.document_id, claim.attempt, batch.first, batch.first + len(batch.chunks)))
    keys = []
    for position, (chunk, words, counts) in enumerate(batch.chunks, batch.first):
        place = (position, chunk.start, chunk.end, chunk.page)
        texts = (chunk.content, chunk.heading, chunk.names, words, counts)
        rows = yield Statement(INSERT_CHUNK, (claim.document_id, claim.owner_id, claim.attempt, *place, *texts))
        keys.append(int(rows[0][0]))
    if batch.embedder is not None:
        yield from vectors.store_vectors(batch.kind, keys, batch.embedder, batch.vectors)


def mark_ready(claim: IngestionClaim, extracted: ExtractedDocument, embedding: str | None) -> Transaction[None]:
    """End a claim: the document is ready, and searches find the attempt's chunks."""
    yield Statement(BUMP_VERSION, (claim.document_id,))
    outline = [[each.level, each.text, each.start] for each in extracted.outline]
    values = (
        embedding,
        extracted.title,
        orjson.dumps(outline).decode(),
        extracted.page_count,
        orjson.dumps(list(extracted.textless_pages)).decode(),
        len(extracted.chunks),
    )
    yield from require_ended(claim, (yield Statement(MARK_READY, (*claim.key, *values))))


def mark_failed(claim: IngestionClaim, failure: DocumentFailure) -> Transaction[None]:
    """End a claim: the document has failed."""
    values = (failure.code, failure.detail, failure.retryable)
    yield from require_ended(claim, (yield Statement(MARK_FAILED, (*claim.key, *values))))


def require_ended(claim: IngestionClaim, rows: Sequence[object]) -> Transaction[None]:
    """Check that the attempt has ended: now, with these rows, or in an earlier try whose acknowledgement was lost."""
    if not rows and not (yield Statement(IS_ENDED, (claim.document_id, claim.attempt))):
        raise ClaimLost


def requeue_stalled(process_id: str) -> Transaction[None]:
    """Queue the claimed documents of dead processes, and discard their uploads; this process is not among them."""
    yield Statement(REQUEUE_STALLED, (process_id,))
    yield Statement(DISCARD_STALLED, (process_id,))


def pending_deletions(process_id: str, limit: int) -> Transaction[list[str]]:
    """List documents that are marked as deleted and whose process is dead; this process is not among those."""
    return [str(row[0]) for row in (yield Statement(PENDING_DELETIONS, (process_id, limit)))]
