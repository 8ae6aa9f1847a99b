from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from app.db import ready_claims, reembedding
from app.db.database import Database
from app.db.ingestion import ClaimLost
from app.db.ready_claims import MAX_DEATHS, ReadyClaim
from app.errors import EmbeddingFailed
from app.rag.models.embedder import Embedder, embed_with_retry, embedding_text
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.timings import Timings

log = logging.getLogger(__name__)


class Reembedding:
    """Replaces the vectors of documents after a change of the embedder; the documents stay ready meanwhile."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder | None,
        process_id: str,
        timings: Timings,
        before_batch: Callable[[], Awaitable[None]],
    ) -> None:
        """Set the parts.

        Args:
            database: Has the documents and their vectors.
            embedder: Makes the new vectors; None to finish only what dead processes have begun.
            process_id: Of the process that claims documents.
            timings: The pauses between retries.
            before_batch: Called before each batch of chunks, so that uploads do not wait for whole documents.
        """
        self._database = database
        self._embedder = embedder
        self._process_id = process_id
        self._timings = timings
        self._before_batch = before_batch
        self._retry = DatabaseRetry(database, timings)

    async def run(self) -> bool:
        """Re-embed one document; return False if none is outdated, or the embedder fails."""
        name = None if self._embedder is None else self._embedder.name
        claim = await self._database.write(reembedding.claim_next, self._process_id, name)
        if claim is None:
            return False
        try:
            await self._update(claim)
        except ClaimLost:
            log.info("a document was deleted, or claimed by another process, while it was re-embedded")
        except EmbeddingFailed:
            log.warning("documents cannot be re-embedded: the embedding model does not answer")
            return False
        return True

    async def _update(self, claim: ReadyClaim) -> None:
        embedding = claim.embedding
        if self._embedder is not None and embedding != self._embedder.name and claim.deaths < MAX_DEATHS:
            await self._embed(claim, self._embedder)
            embedding = self._embedder.name
        if self._database.vectors_stored:
            while not await self._retry.write(reembedding.delete_other_vectors, claim, embedding):
                pass
        await self._retry.write(ready_claims.release, claim)

    async def _embed(self, claim: ReadyClaim, embedder: Embedder) -> None:
        pauses, position = self._timings.embedding_backoffs, -1
        while (chunks := await self._retry.write(reembedding.next_chunks, claim, position)).keys:
            await self._before_batch()
            position = chunks.last
            vectors = await embed_with_retry(embedder, [embedding_text(*each) for each in chunks.texts], pauses)
            batch = (self._database.kind, chunks.keys, embedder.name, vectors)
            await self._retry.write(reembedding.store_vectors, claim, *batch)
        await self._retry.write(reembedding.activate, claim, embedder.name)
