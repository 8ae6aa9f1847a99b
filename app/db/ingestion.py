"""Transactions of ingestion: a process claims a queued document, stores its chunks, and ends the claim.

Each write is conditional on the claim (`predicates.claimed`): no row means that another process has the claim now,
or that the document is gone. Chunks carry the attempt's number as their generation, which no search sees before
`mark_ready` makes it the document's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Text, bindparam, cast, delete, func, select, update

from app.db import document_replacement, vectors
from app.db.database import Kind
from app.db.documents import BATCH_CHUNKS, BUMP_VERSION, DELETE_CHUNKS, DELETE_TEXT
from app.db.expressions import columns_of, insert_into
from app.db.models import ChunkRow, DocumentRow, DocumentTextRow, HiddenStatus
from app.db.predicates import claimed, stalled
from app.db.transaction import Transaction, execute, fetch_one
from app.domain.documents import (
    Chunk,
    DocumentFailure,
    DocumentStatus,
    ExtractedDocument,
    Stage,
    stored_page_starts,
)

PROCESSING = DocumentRow.status == DocumentStatus.PROCESSING
CLAIMED = claimed(DocumentStatus.PROCESSING)
WITHOUT_PROCESS = {"stage": None, "done": 0, "total": 0, "seconds_left": None, "process_id": None}
"""Columns of a document that no process works on."""
QUEUED_USERS = (
    # As text, since PostgreSQL has no minimum of UUIDs.
    select(DocumentRow.owner_id, func.min(cast(DocumentRow.document_id, Text)).label("document_id"))
    .where(DocumentRow.status == DocumentStatus.QUEUED)
    .group_by(DocumentRow.owner_id)
)
CLAIM = (
    update(DocumentRow)
    .where(DocumentRow.document_id == bindparam("document_id"), DocumentRow.status == DocumentStatus.QUEUED)
    .values(
        status=DocumentStatus.PROCESSING,
        stage=Stage.EXTRACTING,
        done=0,
        total=0,
        seconds_left=None,
        process_id=bindparam("process_id"),
        attempt=DocumentRow.attempt + 1,
    )
    .returning(
        DocumentRow.document_id,
        DocumentRow.process_id,
        DocumentRow.owner_id,
        DocumentRow.media_type,
        DocumentRow.attempt,
        DocumentRow.deaths,
        DocumentRow.name,
        DocumentRow.keep_links,
        DocumentRow.charset,
        DocumentRow.replaces,
    )
)
STORE_PROGRESS = (
    update(DocumentRow)
    .where(CLAIMED)
    .values(
        stage=bindparam("stage"),
        done=bindparam("done"),
        total=bindparam("total"),
        seconds_left=bindparam("seconds_left"),
    )
    .returning(DocumentRow.document_id)
)
DELETE_OTHER_GENERATIONS = (
    delete(ChunkRow)
    .where(
        ChunkRow.chunk_key.in_(
            select(ChunkRow.chunk_key)
            .where(ChunkRow.document_id == bindparam("document_id"), ChunkRow.generation != bindparam("generation"))
            .limit(BATCH_CHUNKS)
        )
    )
    .returning(ChunkRow.chunk_key)
)
INSERT_TEXT = insert_into(DocumentTextRow)
DELETE_POSITIONS = delete(ChunkRow).where(
    ChunkRow.document_id == bindparam("document_id"),
    ChunkRow.generation == bindparam("generation"),
    ChunkRow.position >= bindparam("first"),
    ChunkRow.position < bindparam("end"),
)
CHUNK_COLUMNS = [each.key for each in columns_of(ChunkRow) if each.key != "chunk_key"]
INSERT_CHUNK = insert_into(ChunkRow, *CHUNK_COLUMNS).returning(ChunkRow.chunk_key)
MARK_READY = (
    update(DocumentRow)
    .where(CLAIMED)
    .values(
        **WITHOUT_PROCESS,
        status=DocumentStatus.READY,
        deaths=0,
        generation=DocumentRow.attempt,
        embedding=bindparam("embedding"),
        title=bindparam("title"),
        outline=bindparam("outline"),
        page_count=bindparam("page_count"),
        textless_pages=bindparam("textless_pages"),
        truncated=bindparam("truncated"),
        language=bindparam("language"),
        analysis=bindparam("analysis"),
        chunk_count=bindparam("chunk_count"),
        replaces=None,
    )
    .returning(DocumentRow.document_id)
)
IS_ENDED = select(DocumentRow.document_id).where(
    DocumentRow.document_id == bindparam("document_id"),
    DocumentRow.attempt == bindparam("attempt"),
    DocumentRow.status.in_((DocumentStatus.READY, DocumentStatus.FAILED)),
)
MARK_FAILED = (
    update(DocumentRow)
    .where(CLAIMED)
    .values(
        **WITHOUT_PROCESS,
        status=DocumentStatus.FAILED,
        error_code=bindparam("error_code"),
        error_detail=bindparam("error_detail"),
        retryable=bindparam("retryable"),
    )
    .returning(DocumentRow.document_id)
)
REQUEUE_OWN = (
    update(DocumentRow)
    .where(PROCESSING, DocumentRow.process_id == bindparam("holder"))
    .values(**WITHOUT_PROCESS, status=DocumentStatus.QUEUED)
)
REQUEUE_STALLED = (
    update(DocumentRow)
    .where(PROCESSING, stalled(DocumentRow))
    .values(**WITHOUT_PROCESS, status=DocumentStatus.QUEUED, deaths=DocumentRow.deaths + 1)
)
DISCARD_STALLED = (
    update(DocumentRow)
    .where(DocumentRow.status == HiddenStatus.UPLOADING, stalled(DocumentRow))
    .values(status=HiddenStatus.DELETING)
)
PENDING_DELETIONS = (
    select(DocumentRow.document_id)
    .where(DocumentRow.status == HiddenStatus.DELETING, stalled(DocumentRow))
    .limit(bindparam("limit"))
)


class IngestionClaim(NamedTuple):
    """A process's claim on a document that it ingests, for one attempt."""

    document_id: str
    process_id: str
    owner_id: str
    media_type: str
    attempt: int
    deaths: int
    """Processes that have died while they ingested it."""
    name: str = ""
    keep_links: bool = False
    """True if the addresses of links are to be part of the text."""
    charset: str | None = None
    """Name of a text's encoding, if the client has given one."""
    replaces: str | None = None
    """Id of the document whose place it takes."""

    @property
    def key(self) -> dict[str, Any]:
        """Document, process and attempt: the parameters of `predicates.claimed`."""
        return {"document_id": self.document_id, "holder": self.process_id, "attempt": self.attempt}


class ClaimLost(Exception):
    """The document is gone, or another process has claimed it."""


class IngestionProgress(NamedTuple):
    """Progress of an ingestion within a stage, in pages or chunks; `total` is 0 while it is unknown."""

    stage: Stage
    done: int = 0
    total: int = 0
    seconds_left: int | None = None
    """Estimated time to the end of the stage; None while it is unknown."""


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
    return [QueuedUser(*row) for row in (yield from execute(QUEUED_USERS))]


def claim_document(document_id: str, process_id: str) -> Transaction[IngestionClaim | None]:
    """Claim a queued document; None if another process was faster."""
    row = yield from fetch_one(CLAIM, document_id=document_id, process_id=process_id)
    return None if row is None else IngestionClaim(*row)


def requeue_own(process_id: str) -> Transaction[None]:
    """Queue the documents that this process has claimed."""
    yield from execute(REQUEUE_OWN, holder=process_id)


def store_progress(claim: IngestionClaim, progress: IngestionProgress) -> Transaction[None]:
    """Store the progress of a claimed document.

    Raises:
        ClaimLost: as do all transactions here that take a claim.
    """
    if not (yield from execute(STORE_PROGRESS, **claim.key, **progress._asdict())):
        raise ClaimLost


def delete_other_generations(claim: IngestionClaim, progress: IngestionProgress) -> Transaction[bool]:
    """Delete a batch of the chunks of earlier attempts; return True if none are left."""
    yield from store_progress(claim, progress)
    deleted = yield from execute(DELETE_OTHER_GENERATIONS, document_id=claim.document_id, generation=claim.attempt)
    return len(deleted) < BATCH_CHUNKS


def delete_text_and_chunks(claim: IngestionClaim, progress: IngestionProgress) -> Transaction[bool]:
    """Delete a document's text and a batch of its chunks; return True if none are left."""
    yield from store_progress(claim, progress)
    yield from execute(DELETE_TEXT, document_id=claim.document_id)
    deleted = yield from execute(DELETE_CHUNKS, document_id=claim.document_id)
    return len(deleted) < BATCH_CHUNKS


def store_text(claim: IngestionClaim, progress: IngestionProgress, content: str) -> Transaction[None]:
    """Store a document's text, in place of an earlier attempt's."""
    yield from store_progress(claim, progress)
    yield from execute(DELETE_TEXT, document_id=claim.document_id)
    yield from execute(INSERT_TEXT, document_id=claim.document_id, content=content)


def store_chunks(claim: IngestionClaim, progress: IngestionProgress, batch: ChunkBatch) -> Transaction[None]:
    """Store chunks with their vectors, in place of those of an earlier try whose acknowledgement was lost."""
    yield from store_progress(claim, progress)
    attempt: dict[str, Any] = {"document_id": claim.document_id, "generation": claim.attempt}
    yield from execute(DELETE_POSITIONS, **attempt, first=batch.first, end=batch.first + len(batch.chunks))
    keys = []
    for position, (chunk, words, counts) in enumerate(batch.chunks, batch.first):
        rows = yield from execute(
            INSERT_CHUNK,
            **attempt,
            owner_id=claim.owner_id,
            position=position,
            start_at=chunk.start,
            end_at=chunk.end,
            page=chunk.page,
            later_pages=stored_page_starts(chunk.later_pages),
            content=chunk.content,
            heading=chunk.heading,
            names=chunk.names,
            words=words,
            counts=counts,
        )
        keys.append(rows[0].chunk_key)
    if batch.embedder is not None:
        yield from vectors.store_vectors(batch.kind, keys, batch.embedder, batch.vectors)


def mark_ready(
    claim: IngestionClaim, extracted: ExtractedDocument, embedding: str | None, analysis: int
) -> Transaction[None]:
    """End a claim: the document is ready, and searches find the attempt's chunks by terms of this analysis.

    A document that it replaces is marked as deleted; its rows are still there.
    """
    yield from execute(BUMP_VERSION, document_id=claim.document_id)
    if claim.replaces is not None:
        yield from document_replacement.replace(claim.replaces, claim.document_id, claim.process_id)
    rows = yield from execute(
        MARK_READY,
        **claim.key,
        embedding=embedding,
        title=extracted.title,
        outline=[[each.level, each.text, each.start] for each in extracted.outline],
        page_count=extracted.page_count,
        textless_pages=list(extracted.textless_pages),
        truncated=extracted.truncated,
        language=extracted.language,
        analysis=analysis,
        chunk_count=len(extracted.chunks),
    )
    yield from require_ended(claim, rows)


def mark_failed(claim: IngestionClaim, failure: DocumentFailure) -> Transaction[None]:
    """End a claim: the document has failed."""
    rows = yield from execute(
        MARK_FAILED,
        **claim.key,
        error_code=failure.code,
        error_detail=failure.detail,
        retryable=failure.retryable,
    )
    yield from require_ended(claim, rows)


def require_ended(claim: IngestionClaim, rows: Sequence[object]) -> Transaction[None]:
    """Check that the attempt has ended: now, with these rows, or in an earlier try whose acknowledgement was lost."""
    if not rows and not (yield from execute(IS_ENDED, document_id=claim.document_id, attempt=claim.attempt)):
        raise ClaimLost


def requeue_stalled(process_id: str) -> Transaction[None]:
    """Queue the claimed documents of dead processes, and discard their uploads; this process is not among them."""
    yield from execute(REQUEUE_STALLED, observer=process_id)
    yield from execute(DISCARD_STALLED, observer=process_id)


def pending_deletions(process_id: str, limit: int) -> Transaction[list[str]]:
    """List documents that are marked as deleted and whose process is dead; this process is not among those."""
    return [row.document_id for row in (yield from execute(PENDING_DELETIONS, observer=process_id, limit=limit))]
