"""Per-user cache of term statistics and, on SQLite, of vectors."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from weakref import WeakValueDictionary

from app.db import search
from app.db.database import Database
from app.db.search import ChunkTerms, SearchableDocument
from app.db.transaction import Transaction
from app.rag.models.embedder import Vector
from app.rag.ranking.bm25 import Candidate, Ranked, TermStatistics, estimate_statistics
from app.rag.ranking.terms import ANALYSIS
from app.rag.ranking.vectors import VectorBlock, VectorMatrix, best_ranked, nearest, vector_block

SAMPLE = 2_000
"""Chunks in which terms are counted, spread over all of a user's documents."""
DRIFT = 0.1
"""The share of chunks that may be added or deleted before terms are counted again."""
BYTES_OF_A_TERM = 150
CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class UserCorpus:
    """A user's searchable documents at one version."""

    version: int
    documents: Sequence[SearchableDocument]
    statistics: TermStatistics
    matrix: VectorMatrix | None
    """None if the database compares vectors, or they are too many to be kept in memory."""
    analysed: int
    """Chunks with terms of the current analysis when the terms were counted."""

    @property
    def size(self) -> int:
        """Approximate size in bytes."""
        return len(self.statistics.sample_counts) * BYTES_OF_A_TERM + (self.matrix.size if self.matrix else 0)

    def select(self, document_ids: Collection[str] | None) -> Sequence[SearchableDocument]:
        """Return the documents with these ids, or all of them if `document_ids` is None."""
        if document_ids is None:
            return self.documents
        selected = set(document_ids)
        return [each for each in self.documents if each.document_id in selected]


class CorpusChange(NamedTuple):
    """A new version of a corpus, as read from the database."""

    version: int
    documents: Sequence[SearchableDocument]
    sample: Sequence[ChunkTerms] | None
    """None if the known statistics are still good enough."""
    matrix: VectorMatrix | None


class CorpusCache:
    """The corpora of the users who searched last, within a limit of memory.

    The version of a corpus is read before each use, so that changes by other processes are seen at once.
    """

    def __init__(
        self, database: Database, embedder: str | None, cache_bytes: int = CACHE_BYTES, sample: int = SAMPLE
    ) -> None:
        self._database = database
        self._embedder = embedder if database.kind == "sqlite" else None
        self._cache_bytes = cache_bytes
        self._sample = sample
        self._corpora: OrderedDict[str, UserCorpus] = OrderedDict()
        """By owner, the one used last at the end."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def size(self) -> int:
        """Size of all corpora in bytes."""
        return sum(each.size for each in self._corpora.values())

    async def get(self, owner_id: str) -> UserCorpus:
        """Return a user's current corpus; parallel searches of one user wait for each other, to read it once."""
        async with self._locks.setdefault(owner_id, asyncio.Lock()):
            corpus = await self._load(owner_id, self._corpora.get(owner_id))
            self._store(owner_id, corpus)
            return corpus

    async def nearest(
        self, documents: Sequence[SearchableDocument], embedder: str, query: Vector, limit: int
    ) -> Sequence[Ranked]:
        """Return the chunks nearest to a query where a corpus has no matrix, on SQLite: reads each document in turn."""
        return await self._database.read_snapshot(nearest_by_document, documents, embedder, query, limit)

    async def _load(self, owner_id: str, known: UserCorpus | None) -> UserCorpus:
        change = await self._database.read_snapshot(self._read, owner_id, known)
        if isinstance(change, UserCorpus):
            return change
        if change.sample is None and known is not None:
            return replace(known, version=change.version, documents=change.documents, matrix=change.matrix)
        statistics = await asyncio.to_thread(count_terms, chunk_count(change.documents), change.sample or ())
        return UserCorpus(
            change.version, change.documents, statistics, change.matrix, analysed_chunks(change.documents)
        )

    def _read(self, owner_id: str, known: UserCorpus | None) -> Transaction[UserCorpus | CorpusChange]:
        """Return the known corpus if it is current, else its new version."""
        version = yield from search.corpus_version(owner_id)
        if known is not None and known.version == version:
            return known
        documents = yield from search.searchable_documents(owner_id)
        sample = None
        if known is None or needs_recount(known, documents):
            sample = yield from search.terms_at(list(sample_positions(documents, self._sample)))
        matrix = yield from self._read_matrix(documents, known)
        return CorpusChange(version, documents, sample, matrix)

    def _read_matrix(
        self, documents: Sequence[SearchableDocument], known: UserCorpus | None
    ) -> Transaction[VectorMatrix | None]:
        if self._embedder is None:
            return None
        before = set(map(vectors_key, known.documents)) if known else set()
        blocks: dict[str, VectorBlock] = {}
        left = self._cache_bytes
        for each in documents:
            if each.embedding != self._embedder:
                continue
            unchanged = vectors_key(each) in before
            block = known.matrix.block(each.document_id) if unchanged and known and known.matrix else None
            if block is None:
                block = vector_block((yield from search.document_vectors(each, self._embedder)))
            blocks[each.document_id] = block
            left -= block.size
            if left < 0:
                return None
        return VectorMatrix(blocks)

    def _store(self, owner_id: str, corpus: UserCorpus) -> None:
        self._corpora[owner_id] = corpus
        self._corpora.move_to_end(owner_id)
        while self.size > self._cache_bytes and len(self._corpora) > 1:
            self._corpora.popitem(last=False)


def vectors_key(document: SearchableDocument) -> tuple[str, int, int]:
    """Return what changes with a document's vectors of one embedder."""
    return document.document_id, document.generation, document.analysis


def nearest_by_document(
    documents: Sequence[SearchableDocument], embedder: str, query: Vector, limit: int
) -> Transaction[Sequence[Ranked]]:
    """Return the chunks nearest to a query, with the vectors of one document in memory at a time."""
    best: list[Ranked] = []
    for each in documents:
        vectors = yield from search.document_vectors(each, embedder)
        best = best_ranked([*best, *nearest(vector_block(vectors), query, limit)], limit)
    return best


def chunk_count(documents: Sequence[SearchableDocument]) -> int:
    """Return the number of all chunks of documents."""
    return sum(each.chunks for each in documents)


def count_terms(chunks: int, sample: Sequence[ChunkTerms]) -> TermStatistics:
    """Estimate the term statistics of so many chunks from a sample; blocks for some milliseconds."""
    return estimate_statistics(chunks, [Candidate(*each) for each in sample])


def analysed_chunks(documents: Sequence[SearchableDocument]) -> int:
    """Return the number of chunks in documents with terms of the current analysis."""
    return sum(each.chunks for each in documents if each.analysis >= ANALYSIS)


def needs_recount(known: UserCorpus, documents: Sequence[SearchableDocument]) -> bool:
    """Return whether the term statistics of a corpus are outdated for its documents of now."""
    counted = known.statistics.chunks
    drift = max(abs(counted - chunk_count(documents)), abs(known.analysed - analysed_chunks(documents)))
    return drift > DRIFT * counted


def sample_positions(documents: Sequence[SearchableDocument], sample: int) -> Iterator[tuple[str, int, int]]:
    """Yield document, generation and position of so many chunks at even distances, or of all if they are fewer."""
    step = max(1.0, chunk_count(documents) / sample)
    before, wanted = 0, 0.0
    for each in documents:
        while wanted < before + each.chunks:
            yield each.document_id, each.generation, int(wanted) - before
            wanted += step
        before += each.chunks
