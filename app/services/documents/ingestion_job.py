from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

from app.db import documents, ingestion
from app.db.database import Database
from app.db.ingestion import ChunkBatch, ClaimLost, IngestionClaim, IngestionProgress
from app.db.transaction import Transaction
from app.domain.documents import Chunk, DocumentFailure, ExtractedDocument, Stage
from app.domain.language import language_of
from app.errors import DatabaseUnavailable, EmbeddingFailed
from app.rag.extraction.errors import EMPTY, ExtractionError
from app.rag.models.embedder import Embedder, Vector, embed_with_retry, embedding_text
from app.rag.ranking.terms import ANALYSIS, index_chunk
from app.rag.sandbox.client import DocumentReader
from app.services.documents.pace import Pace
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.outcome_log import log_document_end
from app.services.runtime.timings import Timings

P = ParamSpec("P")
T = TypeVar("T")
EMBEDDED_AT_ONCE = 32
STORED_AT_ONCE = 2
"""Chunks in one transaction, which delays the event loop and other writers by two or three milliseconds."""
MAX_DEATHS = 3
"""Processes that may die while they ingest a document, before it fails."""

INTERRUPTED = DocumentFailure("ingest-interrupted", "The work on the document was interrupted again and again.", True)
NOT_EMBEDDED = DocumentFailure("embedding-failed", "The embedding model does not answer.", True)
INTERNAL_ERROR = DocumentFailure("internal-error", "Something went wrong on the server.", True)

log = logging.getLogger(__name__)


class IngestionJob:
    """Ingests a claimed document: extracts, embeds and stores its chunks, and marks it as ready or failed."""

    def __init__(
        self,
        database: Database,
        reader: DocumentReader,
        embedder: Embedder | None,
        claim: IngestionClaim,
        timings: Timings,
    ) -> None:
        self._database = database
        self._reader = reader
        self._embedder = embedder
        self._claim = claim
        self._timings = timings
        self._retry = DatabaseRetry(database, timings)
        self._stage = IngestionProgress(Stage.EXTRACTING)
        self._pace: Pace | None = None
        """Of the chunks that are embedded and stored; None before and after that."""

    @property
    def _progress(self) -> IngestionProgress:
        return self._stage._replace(seconds_left=self._pace.seconds_left if self._pace else None)

    async def run(self) -> None:
        """Ingest the document; stops early once the claim is lost, to a deletion or another process."""
        work = asyncio.create_task(self._run())
        heartbeat = asyncio.create_task(self._heartbeat())
        try:
            await asyncio.wait([work, heartbeat], return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            heartbeat.cancel()
            await asyncio.wait([work, heartbeat])
        if not work.cancelled():
            work.result()

    async def _run(self) -> None:
        began = time.monotonic()
        try:
            failure = await self._ingest()
        except ClaimLost:
            return
        except Exception:
            log.exception("a document cannot be read")
            failure = INTERNAL_ERROR
        if failure is not None:
            await self._mark_failed(failure)
        log_document_end(self._claim, failure, self._progress.total, time.monotonic() - began)

    async def _ingest(self) -> DocumentFailure | None:
        """Return None once the document is ready, else the reason why it cannot be."""
        await self._delete(ingestion.delete_other_generations)
        if self._claim.deaths >= MAX_DEATHS:
            return INTERRUPTED
        try:
            extracted = await self._extract()
            if not extracted.chunks:
                return EMPTY
            await self._store(extracted)
        except ExtractionError as error:
            return error.failure
        except EmbeddingFailed:
            return NOT_EMBEDDED
        return None

    async def _extract(self) -> ExtractedDocument:
        parts: list[bytes] = []
        while (part := await self._part(len(parts))) is not None:
            parts.append(part)
        extracted = await self._reader.read(
            b"".join(parts),
            self._claim.media_type,
            self._note_pages,
            keep_links=self._claim.keep_links,
            name=self._claim.name,
            charset=self._claim.charset or "",
        )
        language = extracted.language or await asyncio.to_thread(language_of, extracted.text)
        return replace(extracted, language=language)

    async def _part(self, position: int) -> bytes | None:
        return await self._retry.write(documents.part, self._claim.document_id, position)

    def _note_pages(self, done: int, total: int) -> None:
        self._stage = IngestionProgress(Stage.EXTRACTING, done, total)

    async def _store(self, extracted: ExtractedDocument) -> None:
        total = len(extracted.chunks)
        self._stage = IngestionProgress(Stage.EMBEDDING if self._embedder else Stage.STORING, 0, total)
        await self._write(ingestion.store_text, extracted.text)
        self._pace = Pace(total)
        for first in range(0, total, EMBEDDED_AT_ONCE):
            chunks = extracted.chunks[first : first + EMBEDDED_AT_ONCE]
            vectors = await self._embed(chunks)
            if vectors:
                self._pace.measure(first + len(chunks))
            for place in range(0, len(chunks), STORED_AT_ONCE):
                part = slice(place, place + STORED_AT_ONCE)
                began = time.monotonic()
                await self._store_chunks(first + place, chunks[part], vectors[part], extracted.language)
                await asyncio.sleep(time.monotonic() - began)  # leaves half of the time to turns
            self._pace.measure(first + len(chunks))
        self._stage, self._pace = IngestionProgress(Stage.STORING, total, total), None
        await self._retry.write(ingestion.mark_ready, self._claim, extracted, self._embedding, ANALYSIS)

    @property
    def _embedding(self) -> str | None:
        return None if self._embedder is None else self._embedder.name

    async def _embed(self, chunks: Sequence[Chunk]) -> Sequence[Vector]:
        if self._embedder is None:
            return []
        texts = [embedding_text(each.heading, each.content) for each in chunks]
        return await embed_with_retry(self._embedder, texts, self._timings.embedding_backoffs)

    async def _store_chunks(
        self, first: int, chunks: Sequence[Chunk], vectors: Sequence[Vector], language: str | None
    ) -> None:
        indexed_chunks = await asyncio.to_thread(with_terms, self._claim, chunks, language)
        self._stage = self._stage._replace(done=first + len(chunks))
        batch = ChunkBatch(self._database.kind, first, indexed_chunks, self._embedding, vectors)
        await self._write(ingestion.store_chunks, batch)

    async def _mark_failed(self, failure: DocumentFailure) -> None:
        with contextlib.suppress(ClaimLost):
            await self._delete(ingestion.delete_text_and_chunks)
            await self._retry.write(ingestion.mark_failed, self._claim, failure)

    async def _delete(self, delete_batch: Callable[[IngestionClaim, IngestionProgress], Transaction[bool]]) -> None:
        while not await self._write(delete_batch):
            pass

    async def _write(
        self,
        transaction: Callable[Concatenate[IngestionClaim, IngestionProgress, P], Transaction[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        return await self._retry.write(transaction, self._claim, self._progress, *args, **kwargs)

    async def _heartbeat(self) -> None:
        """Store the progress at intervals, and return once the claim is lost."""
        while True:
            await asyncio.sleep(self._timings.ingestion_heartbeat)
            try:
                await self._database.write(ingestion.store_progress, self._claim, self._progress)
            except ClaimLost:
                return
            except DatabaseUnavailable:
                log.warning("cannot store the progress of a document: the database is out of reach")
            except Exception:  # whatever it is, the next heartbeat may succeed
                log.exception("cannot store the progress of a document")


def with_terms(claim: IngestionClaim, chunks: Sequence[Chunk], language: str | None) -> list[tuple[Chunk, str, bytes]]:
    """Return each chunk with its terms and their counts; blocks for about a millisecond."""
    of_document = claim.owner_id, claim.document_id
    return [(each, *index_chunk(*of_document, each.content, each.heading, each.names, language)) for each in chunks]
