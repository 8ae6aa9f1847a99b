from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from app.db import search, users
from app.db.database import Database, Kind
from app.db.search import ChunkTerms, FoundChunk, SearchableDocument
from app.db.transaction import Transaction
from app.db.vector_indexes import LARGE
from app.domain.document_versions import newest_versions
from app.domain.documents import Passage, page_starts
from app.domain.retrieval import RetrievalStatus, SearchResult
from app.domain.similarity import SimilarityBars
from app.errors import DocumentNotFound, EmbeddingFailed
from app.rag.models.calibration import Calibration
from app.rag.models.embedder import Embedder, Vector
from app.rag.models.reranker import Reranker
from app.rag.ranking import terms
from app.rag.ranking.bm25 import Candidate, Postings, Ranked, TermStatistics, coverage, term_weight
from app.rag.ranking.candidates import CANDIDATES, MAX_CANDIDATES, CandidateTerms, candidate_terms, rarest_words
from app.rag.ranking.fusion import (
    RANKING_DEPTH,
    Ranking,
    fuse,
    is_compared,
    relative_to_best,
    relative_to_mean,
    weight_of_words,
)
from app.rag.ranking.terms import Forms
from app.rag.ranking.vectors import max_cosines
from app.services.search.corpus_cache import CACHE_BYTES, SAMPLE, CorpusCache, UserCorpus, chunk_count

MAX_TERMS = 48
"""Terms of a query that are searched for, the rarest ones: a query may be a pasted page."""
MAX_PARTS = 48
"""Parts of these words that are searched for in compounds, the rarest ones."""
MAX_VERSIONS = 4
"""Versions of one name for which rankings are made longer."""
LARGE_SHARE = 0.1
"""Of a smaller share of a large corpus all chunks are compared: an index would pass over too many others."""
SIMILARITY_SECONDS = 5.0
RERANKED = 32
"""Passages that are given to a reranker."""

log = logging.getLogger(__name__)


class LexicalResult(NamedTuple):
    """The chunks that match a query's words, best first, and the weight of each word."""

    ranking: Sequence[Ranked]
    weights: Mapping[Forms, float]


class DenseResult(NamedTuple):
    """The chunks nearest to a query, with their cosines, and the model's calibration; None if they mean nothing."""

    ranking: Sequence[Ranked]
    calibration: Calibration | None


class DocumentSearch:
    """Searches a user's documents by terms and, with an embedder, by vectors, and fuses both rankings."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder | None,
        reranker: Reranker | None = None,
        *,
        cache_bytes: int = CACHE_BYTES,
        sample: int = SAMPLE,
        large: int = LARGE,
    ) -> None:
        """Set the parts and limits.

        Args:
            database: Has the documents and, on PostgreSQL, compares vectors.
            embedder: Embeds queries; None to search by terms alone.
            reranker: Reorders the best passages; None to leave them as they are.
            cache_bytes: Memory for the corpora of users, in bytes.
            sample: Chunks of a corpus in which terms are counted.
            large: Vectors of a user above which a vector index is used, see `app.db.vector_indexes`.
        """
        self._database = database
        self._embedder = embedder
        self._reranker = reranker
        self._large = large
        self._corpora = CorpusCache(database, embedder.name if embedder else None, cache_bytes, sample)

    @property
    def cached_bytes(self) -> int:
        """Size of the corpora in memory, in bytes."""
        return self._corpora.size

    async def search(
        self, owner_id: str, queries: Sequence[str], limit: int, document_ids: Sequence[str] | None = None
    ) -> SearchResult:
        """Return the best passages, at most `limit`, for several wordings of one query.

        Only ready documents of the user are searched: all of them, or those with the given ids.
        """
        corpus = await self._corpora.get(owner_id)
        documents = corpus.select(document_ids)
        if not documents:
            return SearchResult((), RetrievalStatus.EMPTY)
        scope = SearchScope(owner_id, corpus, documents, whole=document_ids is None)
        lexical, nearest = await asyncio.gather(
            asyncio.gather(*(self._search_terms(scope, each) for each in queries)), self._search_vectors(scope, queries)
        )
        wanted = max(limit, RERANKED) if self._reranker else limit
        passages = await self._passages(scope, queries, lexical, nearest, wanted)
        if self._reranker is not None and passages:
            passages = await self._rerank(self._reranker, queries[-1], passages)
        degraded = nearest is None and self._embedder is not None
        return SearchResult(passages[:limit], retrieval_status(passages, degraded=degraded))

    async def search_for_user(
        self, user_id: str, query: str, limit: int, document_ids: Sequence[str] | None = None
    ) -> Sequence[Passage]:
        """Return the best passages for a query, best first; `user_id` is the caller's, and may be unknown.

        Raises:
            DocumentNotFound: the user does not have one of the documents.
        """
        owner_id = await self._database.read(users.row_id_of, user_id)
        owned = await self._database.read(search.document_ids_of, owner_id) if owner_id and document_ids else set()
        if not owned.issuperset(document_ids or ()):
            raise DocumentNotFound
        if owner_id is None:
            return ()
        return (await self.search(owner_id, [query], limit, document_ids)).passages

    async def similarities(self, queries: Sequence[str], texts: Sequence[str]) -> Sequence[float] | None:
        """Return the cosine of each text and the query nearest to it; 0 for texts in scripts unknown to the embedder.

        None without an embedder, if it fails or is slow, or if it knows the script of no query or of no text.
        """
        if (embedder := self._embedder) is None:
            return None
        try:
            calibration = await embedder.calibration()
            known_queries = [each for each in queries if calibration.knows(each)]
            known_texts = [place for place, each in enumerate(texts) if calibration.knows(each)]
            if not known_queries or not known_texts:
                return None
            embedded = [*known_queries, *(texts[place] for place in known_texts)]
            async with asyncio.timeout(SIMILARITY_SECONDS):
                vectors = await asyncio.gather(*(embedder.embed_query(each) for each in embedded))
        except (EmbeddingFailed, TimeoutError) as error:
            log.warning("sentences were not embedded, and are chosen by words alone", exc_info=error)
            return None
        count = len(known_queries)
        cosines = await asyncio.to_thread(max_cosines, vectors[:count], vectors[count:])
        found = dict(zip(known_texts, cosines, strict=True))
        return [found.get(place, 0.0) for place in range(len(texts))]

    async def bars(self) -> SimilarityBars | None:
        """Return the least similarities of evidence; None without an embedder, or if it fails."""
        if self._embedder is None:
            return None
        try:
            return (await self._embedder.calibration()).bars
        except EmbeddingFailed as error:
            log.warning("the embedding model was not calibrated: %s", error.detail)
            return None

    async def _search_terms(self, scope: SearchScope, query: str) -> LexicalResult:
        kind, frequencies = self._database.kind, await asyncio.to_thread(scope.frequencies, query)
        if not frequencies:
            return LexicalResult((), {})
        by = candidate_terms(frequencies, scope.chunks)
        matches = await self._database.read_snapshot(
            find_candidates, kind, scope, by, large=kind == "postgresql" and self._is_large(scope)
        )
        return await asyncio.to_thread(lexical_ranking, scope, frequencies, by.clauses, matches)

    async def _search_vectors(self, scope: SearchScope, queries: Sequence[str]) -> Sequence[DenseResult] | None:
        """Return the nearest chunks for each query; None if not all documents have vectors of the embedder."""
        if (embedder := self._embedder) is None:
            return None
        if not self._database.vectors_stored or any(each.embedding != embedder.name for each in scope.documents):
            return None
        try:
            calibration = await embedder.calibration()
            vectors = await asyncio.gather(*(embedder.embed_query(each) for each in queries))
        except EmbeddingFailed as error:
            log.warning("a query was not embedded, words alone are searched for: %s", error.detail)
            return None
        rankings = await asyncio.gather(*(self._nearest(scope, embedder, each) for each in vectors))
        known = [calibration if calibration.knows(each) else None for each in queries]
        return [DenseResult(*each) for each in zip(rankings, known, strict=True)]

    async def _nearest(self, scope: SearchScope, embedder: Embedder, vector: Vector) -> Sequence[Ranked]:
        document_ids = None if scope.whole else [each.document_id for each in scope.documents]
        if self._database.kind == "postgresql":
            chunks = await self._database.read_snapshot(
                search.nearest_chunks,
                scope.owner_id,
                embedder.name,
                vector,
                scope.depth,
                document_ids,
                indexed=self._is_large(scope),
            )
            return [Ranked(*each) for each in chunks]
        if (matrix := scope.corpus.matrix) is None:
            return await self._corpora.nearest(scope.documents, embedder.name, vector, scope.depth)
        return await asyncio.to_thread(matrix.nearest, vector, scope.depth, document_ids)

    def _is_large(self, scope: SearchScope) -> bool:
        """Return whether searching the whole corpus and passing over other documents is faster than searching each."""
        return scope.chunks > max(self._large, scope.statistics.chunks * LARGE_SHARE)

    async def _passages(
        self,
        scope: SearchScope,
        queries: Sequence[str],
        lexical: Sequence[LexicalResult],
        nearest: Sequence[DenseResult] | None,
        limit: int,
    ) -> list[Passage]:
        dense = nearest or [DenseResult((), None)] * len(queries)
        results = zip(queries, lexical, dense, strict=True)
        scores = fuse([ranking for each in results for ranking in rankings_of(*each, scope.chunks)])
        keys = (await self._without_older_versions(scope, scores))[:limit]
        chunks = await self._database.read_snapshot(search.chunks_by_key, scope.owner_id, keys)
        similarities = {
            found.chunk_key: found.score
            for each in reversed(dense)
            if each.calibration is not None
            for found in each.ranking
            if is_compared(found)
        }
        weights = [each.weights for each in lexical]
        found = [passage_of(chunks[key], scores[key], similarities.get(key), weights) for key in keys if key in chunks]
        return [replace(each, version=scope.versions.get(each.document_id, 1)) for each in found]

    async def _without_older_versions(self, scope: SearchScope, scores: Mapping[int, float]) -> list[int]:
        """Leave out the chunks of documents of which a newer version, with the same name, is found as well.

        A chunk without a score is not found, but only near: in a small corpus all chunks are.
        """
        keys = list(scores)
        if not scope.versions:
            return keys
        found = await self._database.read_snapshot(search.names_by_key, scope.owner_id, keys)

        def version_of(key: int) -> tuple[str, int]:
            document_id, name = found[key]
            return name, scope.versions.get(document_id, 1)

        return newest_versions([each for each in keys if each in found], version_of, lambda key: scores[key] > 0)

    async def _rerank(self, reranker: Reranker, query: str, passages: list[Passage]) -> list[Passage]:
        """Return the passages in the reranker's order; in their own if it fails."""
        try:
            scores = await reranker.scores(query, [each.text for each in passages])
        except EmbeddingFailed as error:
            log.warning("passages are not reranked: %s", error.detail)
            return passages
        reranked = [replace(each, score=score) for each, score in zip(passages, scores, strict=True)]
        return sorted(reranked, key=lambda each: -each.score)


class SearchScope:
    """The documents that a search covers, of one user."""

    def __init__(
        self, owner_id: str, corpus: UserCorpus, documents: Sequence[SearchableDocument], *, whole: bool
    ) -> None:
        self.owner_id = owner_id
        self.corpus = corpus
        self.documents = documents
        self.whole = whole
        """True if it covers the whole corpus."""
        self.chunks = chunk_count(documents)
        self.versions = {each.document_id: each.version for each in documents if whole and each.version > 1}
        """Versions of the documents that are not the newest of their name; empty if the documents were named by id."""

    @property
    def depth(self) -> int:
        """Number of chunks in each ranking: more if older versions, which may be left out, are among them."""
        return RANKING_DEPTH * min(max(self.versions.values(), default=1), MAX_VERSIONS)

    @property
    def statistics(self) -> TermStatistics:
        """Term statistics of the whole corpus."""
        return self.corpus.statistics

    @property
    def document_hashes(self) -> list[str]:
        """Hashed ids of its documents; empty if it covers the whole corpus."""
        return [] if self.whole else [terms.document_hash(each.document_id) for each in self.documents]

    def frequencies(self, query: str) -> dict[Forms, float]:
        """Return the hashed words of a query with the estimated number of chunks that have each, the rarest first.

        The parts by which words are found in compounds follow; those in no chunk are left out. Blocks for some
        milliseconds, for a pasted page half a second.
        """
        share = self.chunks / max(self.statistics.chunks, 1)
        languages = dict.fromkeys(each.language for each in self.documents)
        older = any(each.analysis < terms.ANALYSIS for each in self.documents)
        words = terms.query_forms(query, languages, older=older)
        parts = terms.compound_forms(query, languages)
        searched, compounds = (
            {hashed: share * self.statistics.frequency(hashed) for hashed in self._hashed(each)}
            for each in (words, parts)
        )
        found = {each: count for each, count in compounds.items() if count or not self.statistics.complete}
        return rarest_words(searched, MAX_TERMS) | rarest_words(found, MAX_PARTS)

    def _hashed(self, searched: Iterable[Forms]) -> Iterator[Forms]:
        return (terms.term_hashes(self.owner_id, each) for each in searched)


def rankings_of(query: str, lexical: LexicalResult, dense: DenseResult, chunks: int) -> tuple[Ranking, Ranking]:
    """Return the rankings of one query; that by vectors counts if the model knows the query's script.

    `chunks` is the number of chunks that are searched.
    """
    by_words = relative_to_best(lexical.ranking)
    if dense.calibration is None:
        return Ranking(by_words), Ranking(dense.ranking, 0.0)
    by_vectors = relative_to_mean(dense.ranking, dense.calibration, chunks)
    return Ranking(by_words, weight_of_words(query)), Ranking(by_vectors)


def find_candidates(
    kind: Kind, scope: SearchScope, by: CandidateTerms, *, large: bool
) -> Transaction[list[ChunkTerms]]:
    """Return the chunks that clauses find, and if they fill no ranking, some that contain the common terms.

    With a `large` scope, on PostgreSQL, documents are tested by their ids.
    """
    ids = [each.document_id for each in scope.documents] if large and not scope.whole else None
    matching = functools.partial(
        search.matching_terms, kind, scope.owner_id, documents=[] if large else scope.document_hashes, document_ids=ids
    )
    found: list[ChunkTerms] = []
    if by.clauses:
        found = yield from matching(by.clauses, limit=MAX_CANDIDATES)
    if by.common and len(found) < scope.depth:
        more = yield from matching([by.common], limit=CANDIDATES)
        known = {each.chunk_key for each in found}
        found = [*found, *(each for each in more if each.chunk_key not in known)]
    return found


def lexical_ranking(
    scope: SearchScope,
    frequencies: Mapping[Forms, float],
    clauses: Sequence[Sequence[Forms]],
    matches: Sequence[ChunkTerms],
) -> LexicalResult:
    """Rank the chunks that match the clauses of a query; blocks for some milliseconds."""
    statistics, postings = scope.statistics, Postings([Candidate(*each) for each in matches])
    weights = {}
    for word in frequencies:
        frequency = statistics.frequency(word)
        if scope.whole and not statistics.complete and [word] in clauses and len(matches) < MAX_CANDIDATES:
            frequency = postings.chunks_with(word)  # exact, since all chunks with the word were found
        weights[word] = term_weight(frequency, statistics.chunks)
    return LexicalResult(postings.rank(weights, statistics.mean_length, scope.depth), weights)


def passage_of(
    chunk: FoundChunk, score: float, similarity: float | None, weights: Sequence[Mapping[Forms, float]]
) -> Passage:
    """Build the passage of a chunk; `weights` are of each query's words."""
    return Passage(
        chunk_id=f"{chunk.document_id}:{chunk.position}",
        document_id=chunk.document_id,
        document_name=chunk.name,
        page=chunk.page,
        start=chunk.start,
        end=chunk.end,
        text=chunk.content,
        score=score,
        heading=chunk.heading,
        later_pages=page_starts(chunk.later_pages),
        document_created_at=chunk.created_at,
        similarity=similarity,
        coverage=max((coverage(chunk.words, each) for each in weights), default=0.0),
    )


def retrieval_status(passages: Sequence[Passage], *, degraded: bool) -> RetrievalStatus:
    """Return the status of a search; `degraded` if it could not compare vectors."""
    if not passages:
        return RetrievalStatus.EMPTY
    return RetrievalStatus.DEGRADED if degraded else RetrievalStatus.OK
