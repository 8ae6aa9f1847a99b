from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from app.db import documents, ingestion
from app.db.database import Database
from app.db.ingestion import Batch, ClaimLost, IngestionClaim, Progress
from app.db.transaction import Transaction
from app.domain.documents import Chunk, DocumentFailure, ExtractedDocument, Stage
from app.errors import DatabaseUnavailable, EmbeddingFailed
from app.rag.extraction.errors import ExtractionError
from app.rag.models.embedder import Embedder, Vector
from app.rag.ranking.terms import indexed
from app.rag.sandbox.client import DocumentReader
from app.services.documents.embedding import embed_with_retry, embedding_text
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.outcome_log import log_document_end
from app.services.runtime.timings import Timings

P = ParamSpec("P")
T = TypeVar("T")
EMBEDDED_AT_ONCE = 32
STORED_AT_ONCE = 2
"""For so many chunks others wait two or three milliseconds: the event loop for their words, writers for their rows."""
MAX_DEATHS = 3

INTERRUPTED = DocumentFailure("ingest-interrupted", "The work on the document was interrupted again and again.", True)
NOT_EMBEDDED = DocumentFailure("embedding-failed", "The embedding model does not answer.", True)
EMPTY = DocumentFailure("document-empty", "The document has no text.")
BROKEN = DocumentFailure("internal-error", "Something went wrong on the server.", True)

log = logging.getLogger(__name__)


class IngestionJob:
    """A document on its way from bytes to chunks that can be found: extracted, embedded, stored, made ready."""

    def __init__(
        self,
        database: Database,
        reader: DocumentReader,
        embedder: Embedder | None,
        job: IngestionClaim,
        timings: Timings,
    ) -> None:
        self._database = database
        self._reader = reader
        self._embedder = embedder
        self._job = job
        self._timings = timings
        self._retry = DatabaseRetry(database, timings)
        self._progress = Progress(Stage.EXTRACTING)

    async def run(self) -> None:
        """Brings the work to its end, unless it is lost to a deletion or another process, or cancelled."""
        work = asyncio.create_task(self._bring_to_end())
        keeping = asyncio.create_task(self._keep())
        try:
            await asyncio.wait([work, keeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            keeping.cancel()
            await asyncio.wait([work, keeping])
        if not work.cancelled():
            work.result()

    async def _bring_to_end(self) -> None:
        began = time.monotonic()
        try:
            failure = await self._failure()
        except ClaimLost:
            return
        except Exception:
            log.exception("a document cannot be read")
            failure = BROKEN
        if failure is not None:
            await self._fail(failure)
        log_document_end(self._job, failure, self._progress.total, time.monotonic() - began)

    async def _failure(self) -> DocumentFailure | None:
        """Does the work; gives why it could not be done."""
        await self._remove(ingestion.remove_other_chunks)
        if self._job.deaths >= MAX_DEATHS:
            return INTERRUPTED
        try:
            extracted = await self._extracted()
            if not extracted.chunks:
                return EMPTY
            await self._store(extracted)
        except ExtractionError as error:
            return error.failure
        except EmbeddingFailed:
            return NOT_EMBEDDED
        return None

    async def _extracted(self) -> ExtractedDocument:
        parts: list[bytes] = []
        while (part := await self._part(len(parts))) is not None:
            parts.append(part)
        return await self._reader.read(b"".join(parts), self._job.media_type, self._note_pages)

    async def _part(self, position: int) -> bytes | None:
        return await self._retry.write(documents.part, self._job.document_id, position)

    def _note_pages(self, done: int, total: int) -> None:
        self._progress = Progress(Stage.EXTRACTING, done, total)

    async def _store(self, extracted: ExtractedDocument) -> None:
        total = len(extracted.chunks)
        self._progress = Progress(Stage.EMBEDDING if self._embedder else Stage.STORING, 0, total)
        await self._write(ingestion.store_text, extracted.text)
        for first in range(0, total, EMBEDDED_AT_ONCE):
            chunks = extracted.chunks[first : first + EMBEDDED_AT_ONCE]
            vectors = await self._vectors(chunks)
            for place in range(0, len(chunks), STORED_AT_ONCE):
                part = slice(place, place + STORED_AT_ONCE)
                began = time.monotonic()
                await self._store_chunks(first + place, chunks[part], vectors[part])
                await asyncio.sleep(time.monotonic() - began)  # half of the time is the turns'
        self._progress = Progress(Stage.STORING, total, total)
        await self._retry.write(ingestion.finish, self._job, extracted, self._embedding)

    @property
    def _embedding(self) -> str | None:
        return None if self._embedder is None else self._embedder.name

    async def _vectors(self, chunks: Sequence[Chunk]) -> Sequence[Vector]:
        if self._embedder is None:
            return []
        texts = [embedding_text(each.heading, each.content) for each in chunks]
        return await embed_with_retry(self._embedder, texts, self._timings.embedding_retries)

    async def _store_chunks(self, first: int, chunks: Sequence[Chunk], vectors: Sequence[Vector]) -> None:
        found_by = await asyncio.to_thread(indexed_chunks, self._job, chunks)
        self._progress = self._progress._replace(done=first + len(chunks))
        await self._write(ingestion.store_chunks, Batch(self._database.kind, first, found_by, self._embedding, vectors))

    async def _fail(self, failure: DocumentFailure) -> None:
        with contextlib.suppress(ClaimLost):
            await self._remove(ingestion.remove_all_chunks)
            await self._retry.write(ingestion.fail, self._job, failure)

    async def _remove(self, some: Callable[[IngestionClaim, Progress], Transaction[bool]]) -> None:
        while not await self._write(some):
            pass

    async def _write(
        self,
        transaction: Callable[Concatenate[IngestionClaim, Progress, P], Transaction[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        return await self._retry.write(transaction, self._job, self._progress, *args, **kwargs)

    async def _keep(self) -> None:
        """Tells how far the work is, until it is lost: to a deletion, or to another process."""
        while True:
            await asyncio.sleep(self._timings.ingestion_heartbeat)
            try:
                await self._database.write(ingestion.advance, self._job, self._progress)
            except ClaimLost:
                return
            except DatabaseUnavailable:
                log.warning("cannot tell how far a document is: the database is out of reach")


def indexed_chunks(job: IngestionClaim, chunks: Sequence[Chunk]) -> list[tuple[Chunk, str, bytes]]:
    """Chunks with the words that they are found by."""
    owner_id, document_id = job.owner_id, job.document_id
    return [(each, *indexed(owner_id, document_id, each.content, each.heading, each.names)) for each in chunks]
