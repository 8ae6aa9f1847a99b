from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from app.db import reanalysis, reembedding
from app.db.database import Database
from app.db.ingestion import ClaimLost
from app.db.ready_claims import ReadyClaim
from app.db.reanalysis import RenewedChunk, StoredChunk
from app.domain.language import READ_CHARACTERS, language_of
from app.rag.chunking.identifiers import searchable_names
from app.rag.models.calibration import measured_calibrations
from app.rag.models.embedder import embedding_text
from app.rag.models.local_embedder import NO_VECTOR
from app.rag.ranking.terms import ANALYSIS, index_chunk
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.timings import Timings

STORED_AT_ONCE = 4
"""Chunks in one transaction, which delays the event loop and other writers by two or three milliseconds."""

log = logging.getLogger(__name__)


class Reanalysis:
    """Renews the search terms of documents that an older release has analysed; the documents stay ready meanwhile."""

    def __init__(
        self, database: Database, process_id: str, timings: Timings, before_batch: Callable[[], Awaitable[None]]
    ) -> None:
        """Set the parts.

        Args:
            database: Has the documents and their terms.
            process_id: Of the process that claims documents.
            timings: The pauses between retries.
            before_batch: Called before each batch of chunks, so that uploads do not wait for whole documents.
        """
        self._database = database
        self._process_id = process_id
        self._before_batch = before_batch
        self._retry = DatabaseRetry(database, timings)
        self._last_id = reanalysis.FIRST_ID

    async def run(self) -> bool:
        """Renew one document; return False if none is left that this object has not seen."""
        claim = await self._database.write(reanalysis.claim_next, self._process_id, ANALYSIS, self._last_id)
        if claim is None:
            return False
        self._last_id = claim.document_id
        try:
            await self._renew(claim)
        except ClaimLost:
            log.info("a document was deleted, or claimed by another process, while its search terms were renewed")
        return True

    async def _renew(self, claim: ReadyClaim) -> None:
        text = await self._retry.read(reanalysis.beginning, claim, READ_CHARACTERS)
        language = await asyncio.to_thread(language_of, text)
        await self._retry.write(reanalysis.store_language, claim, language)
        position = -1
        while chunks := await self._retry.read(reanalysis.next_chunks, claim, position):
            await self._before_batch()
            position = chunks[-1].position
            for first in range(0, len(chunks), STORED_AT_ONCE):
                part = chunks[first : first + STORED_AT_ONCE]
                renewed = await asyncio.to_thread(analyse, claim, part, language)
                began = time.monotonic()
                await self._retry.write(reanalysis.store_terms, claim, renewed)
                await self._clear_vectors(claim, [each.key for each in part if has_no_meaning(claim, each)])
                await asyncio.sleep(time.monotonic() - began)  # leaves half of the time to turns
        await self._retry.write(reanalysis.activate, claim, ANALYSIS)

    async def _clear_vectors(self, claim: ReadyClaim, keys: Sequence[int]) -> None:
        if keys and claim.embedding is not None and self._database.vectors_stored:
            vectors = [NO_VECTOR] * len(keys)
            await self._retry.write(
                reembedding.store_vectors, claim, self._database.kind, keys, claim.embedding, vectors
            )


def has_no_meaning(claim: ReadyClaim, chunk: StoredChunk) -> bool:
    """Return whether a chunk's vector is an embedded model's, which does not know its script: older releases had it."""
    calibration = measured_calibrations().get(claim.embedding or "")
    return calibration is not None and not calibration.knows(embedding_text(chunk.heading, chunk.content))


def analyse(claim: ReadyClaim, chunks: Sequence[StoredChunk], language: str | None) -> list[RenewedChunk]:
    """Return the search terms of chunks; blocks for some milliseconds."""
    renewed = []
    for each in chunks:
        names = searchable_names(each.content)
        indexed = index_chunk(claim.owner_id, claim.document_id, each.content, each.heading, names, language)
        renewed.append(RenewedChunk(each.key, names, *indexed))
    return renewed
