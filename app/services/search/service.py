from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from app.db import search
from app.db.database import Database
from app.db.search import FoundChunk, Searchable
from app.db.vector_indexes import LARGE
from app.domain.documents import Passage
from app.domain.retrieval import RetrievalStatus, SearchResult
from app.errors import DocumentNotFound, EmbeddingFailed
from app.rag.models.embedder import Embedder
from app.rag.models.reranker import Reranker
from app.rag.ranking import terms
from app.rag.ranking.bm25 import Candidate, Postings, Ranked, TermStatistics, coverage, term_weight
from app.rag.ranking.candidates import MAX_CANDIDATES, rare_term_clauses
from app.rag.ranking.fusion import RANKING_DEPTH, Ranking, fuse
from app.rag.ranking.vectors import max_cosines
from app.services.search.corpus_cache import CACHE_BYTES, CorpusCache, UserCorpus, chunks_of

MAX_WORDS = 48
"""Words of a query that are searched for, the rarest: a pasted page is no query."""
RERANKED = 32

logger = logging.getLogger(__name__)


class LexicalResult(NamedTuple):
    """What words have found for a query, and what each of its words tells."""

    ranking: Sequence[Ranked]
    weights: Mapping[str, float]


class DocumentSearch:
    """Searches a user's documents by words and, where there is an embedder, by meaning, and fuses what both find."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder | None,
        reranker: Reranker | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._reranker = reranker
        self._libraries = CorpusCache(database, embedder.name if embedder else None, cache_bytes)

    async def search(
        self, owner_id: str, queries: Sequence[str], limit: int, document_ids: Sequence[str] | None = None
    ) -> SearchResult:
        """The passages that answer best to all of some queries for the same thing, at most `limit`.

        Only the user's own documents are searched, or those of them that are named; what is not ready is not found.
        """
        library = await self._libraries.of(owner_id)
        documents = library.within(document_ids)
        if not documents:
            return SearchResult((), RetrievalStatus.EMPTY)
        scope = SearchScope(owner_id, library, documents, whole=document_ids is None)
        by_words, by_meaning = await asyncio.gather(
            asyncio.gather(*(self._by_words(scope, each) for each in queries)), self._by_meaning(scope, queries)
        )
        wanted = max(limit, RERANKED) if self._reranker else limit
        passages = await self._passages(scope, by_words, by_meaning or (), wanted)
        if self._reranker is not None and passages:
            passages = await self._reranked(self._reranker, queries[-1], passages)
        degraded = by_meaning is None and self._embedder is not None
        return SearchResult(passages[:limit], status_of(passages, degraded=degraded))

    async def search_for(
        self, user_id: str, query: str, limit: int, document_ids: Sequence[str] | None = None
    ) -> Sequence[Passage]:
        """The passages that answer best to a query, for a user by the caller's own id; none for one never heard of.

        Raises:
            DocumentNotFound: a document is named that the user does not have.
        """
        owner_id = await self._database.read(search.owner_of, user_id)
        owned = await self._database.read(search.owned, owner_id) if owner_id and document_ids else set()
        if not owned.issuperset(document_ids or ()):
            raise DocumentNotFound
        if owner_id is None:
            return ()
        return (await self.search(owner_id, [query], limit, document_ids)).passages

    async def nearness(self, queries: Sequence[str], texts: Sequence[str]) -> Sequence[float] | None:
        """The cosine of each text and the query that is nearest to it; None where meanings are not compared."""
        if (embedder := self._embedder) is None:
            return None
        try:
            vectors = await asyncio.gather(*(embedder.embed_query(each) for each in (*queries, *texts)))
        except EmbeddingFailed as error:
            logger.warning("sentences were not embedded: chosen by words alone", exc_info=error)
            return None
        return await asyncio.to_thread(max_cosines, vectors[: len(queries)], vectors[len(queries) :])

    async def _by_words(self, scope: SearchScope, query: str) -> LexicalResult:
        kind, frequencies = self._database.kind, scope.frequencies(query)
        if not frequencies:
            return LexicalResult((), {})
        chosen = rare_term_clauses(frequencies, scope.chunks)
        rows = await self._database.read_snapshot(
            search.having_words, kind, scope.owner_id, chosen, scope.document_marks, MAX_CANDIDATES
        )
        return await asyncio.to_thread(lexical_ranking, scope, frequencies, chosen, [Candidate(*row) for row in rows])

    async def _by_meaning(self, scope: SearchScope, queries: Sequence[str]) -> Sequence[Sequence[Ranked]] | None:
        """The nearest chunks for each query; None where vectors cannot be compared, or not with all documents."""
        if (embedder := self._embedder) is None:
            return None
        if not self._database.vectors_stored or any(each.embedding != embedder.name for each in scope.documents):
            return None
        try:
            vectors = await asyncio.gather(*(embedder.embed_query(each) for each in queries))
        except EmbeddingFailed as error:
            logger.warning("a query was not embedded, words alone are searched for: %s", error.detail)
            return None
        return await asyncio.gather(*(self._nearest(scope, embedder, each) for each in vectors))

    async def _nearest(self, scope: SearchScope, embedder: Embedder, vector: bytes) -> Sequence[Ranked]:
        within = None if scope.whole else [each.document_id for each in scope.documents]
        if self._database.kind == "postgresql":
            large = scope.whole and scope.chunks > LARGE
            rows = await self._database.read_snapshot(
                partial(search.nearest, indexed=large), scope.owner_id, embedder.name, vector, RANKING_DEPTH, within
            )
            return [Ranked(*row) for row in rows]
        if (matrix := scope.library.matrix) is None:
            return await self._libraries.nearest(scope.documents, embedder.name, vector, RANKING_DEPTH)
        return await asyncio.to_thread(matrix.nearest, vector, RANKING_DEPTH, within)

    async def _passages(
        self, scope: SearchScope, by_words: Sequence[LexicalResult], by_meaning: Sequence[Sequence[Ranked]], limit: int
    ) -> list[Passage]:
        dense = self._embedder.weight if self._embedder else 0.0
        rankings = [Ranking(each.ranking) for each in by_words]
        scores = fuse([*rankings, *(Ranking(each, dense) for each in by_meaning)])
        wanted = list(scores)[:limit]
        found = await self._database.read_snapshot(search.found, self._database.kind, scope.owner_id, wanted)
        cosines = {key: cosine for ranking in reversed(by_meaning) for key, cosine in ranking}
        weights = [each.weights for each in by_words]
        return [passage(found[key], scores[key], cosines.get(key), weights) for key in wanted if key in found]

    async def _reranked(self, reranker: Reranker, query: str, passages: list[Passage]) -> list[Passage]:
        try:
            scores = await reranker.scores(query, [each.text for each in passages])
        except EmbeddingFailed as error:
            logger.warning("what was found is not reranked: %s", error.detail)
            return passages
        again = [replace(each, score=score) for each, score in zip(passages, scores, strict=True)]
        return sorted(again, key=lambda each: -each.score)


class SearchScope:
    """What one search looks through."""

    def __init__(self, owner_id: str, library: UserCorpus, documents: Sequence[Searchable], *, whole: bool) -> None:
        self.owner_id = owner_id
        self.library = library
        self.documents = documents
        self.whole = whole
        """Whether it is all that the user has."""
        self.chunks = chunks_of(documents)

    @property
    def statistics(self) -> TermStatistics:
        """How frequent the user's words are."""
        return self.library.statistics

    @property
    def document_marks(self) -> list[str]:
        """The marks of its documents, where it is not all of them."""
        return [] if self.whole else [terms.document_hash(each.document_id) for each in self.documents]

    def frequencies(self, query: str) -> dict[str, float]:
        """The marks of what is searched for, and about how many chunks of this scope have each; the rarest ones."""
        share = self.chunks / max(self.statistics.chunks, 1)
        marks = terms.term_hashes(self.owner_id, terms.query_stems(query))
        frequencies = {each: share * self.statistics.frequency(each) for each in marks}
        return dict(sorted(frequencies.items(), key=lambda each: each[1])[:MAX_WORDS])


def lexical_ranking(
    scope: SearchScope,
    frequencies: Mapping[str, float],
    chosen: Sequence[Sequence[str]],
    candidates: Sequence[Candidate],
) -> LexicalResult:
    """The candidates in order; blocks for some milliseconds."""
    statistics, postings = scope.statistics, Postings(candidates)
    weights = {}
    for mark in frequencies:
        frequency = statistics.frequency(mark)
        if scope.whole and not statistics.complete and [mark] in chosen and len(candidates) < MAX_CANDIDATES:
            frequency = postings.chunks_with(mark)  # all that have it are candidates: no need to estimate
        weights[mark] = term_weight(frequency, statistics.chunks)
    return LexicalResult(postings.rank(weights, statistics.mean_length, RANKING_DEPTH), weights)


def passage(
    found: FoundChunk, score: float, similarity: float | None, weights: Sequence[Mapping[str, float]]
) -> Passage:
    """A chunk as a passage."""
    return Passage(
        chunk_id=f"{found.document_id}:{found.position}",
        document_id=found.document_id,
        document_name=found.name,
        page=found.page,
        start=found.start,
        end=found.end,
        text=found.content,
        score=score,
        heading=found.heading,
        similarity=similarity,
        coverage=max((coverage(found.words, each) for each in weights), default=0.0),
    )


def status_of(passages: Sequence[Passage], *, degraded: bool) -> RetrievalStatus:
    """What came of a search."""
    if not passages:
        return RetrievalStatus.EMPTY
    return RetrievalStatus.DEGRADED if degraded else RetrievalStatus.OK
