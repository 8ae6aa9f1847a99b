from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from app.db import reembedding
from app.db.database import Database
from app.db.ingestion import ClaimLost
from app.db.reembedding import MAX_DEATHS, ReembeddingClaim
from app.errors import EmbeddingFailed
from app.rag.models.embedder import Embedder
from app.services.documents.embedding import embed_with_retry, embedding_text
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.timings import Timings

log = logging.getLogger(__name__)


class Reembedding:
    """Gives documents new vectors when the embedder is another one than theirs; they stay ready meanwhile."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder | None,
        process_id: str,
        timings: Timings,
        first: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._process_id = process_id
        self._timings = timings
        self._retry = DatabaseRetry(database, timings)
        self._first = first
        """Done before each batch: what is uploaded does not wait for this."""

    async def run(self) -> bool:
        """Brings one document up to date; False when there is none to be."""
        name = None if self._embedder is None else self._embedder.name
        outdated = await self._database.write(reembedding.take, self._process_id, name)
        if outdated is None:
            return False
        try:
            await self._bring_up_to_date(outdated)
        except ClaimLost:
            log.info("a document was deleted, or taken over, while it was given new vectors")
        except EmbeddingFailed:
            log.warning("documents cannot be given new vectors: the embedding model does not answer")
            return False
        return True

    async def _bring_up_to_date(self, outdated: ReembeddingClaim) -> None:
        embedding = outdated.embedding
        if self._embedder is not None and embedding != self._embedder.name and outdated.deaths < MAX_DEATHS:
            await self._embed(outdated, self._embedder)
            embedding = self._embedder.name
        if self._database.vectors_stored:
            while not await self._retry.write(reembedding.remove_others, outdated, embedding):
                pass
        await self._retry.write(reembedding.release, outdated)

    async def _embed(self, outdated: ReembeddingClaim, embedder: Embedder) -> None:
        position = -1
        while (passages := await self._retry.write(reembedding.following, outdated, position)).keys:
            await self._first()
            position = passages.last
            vectors = await embed_with_retry(
                embedder, [embedding_text(*each) for each in passages.texts], self._timings.embedding_retries
            )
            given = (self._database.kind, passages.keys, embedder.name, vectors)
            await self._retry.write(reembedding.store, outdated, *given)
        await self._retry.write(reembedding.activate, outdated, embedder.name)
