"""What this process knows of users' documents: how frequent their words are and, on SQLite, their vectors."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from app.db import search
from app.db.database import Database
from app.db.search import Searchable
from app.db.transaction import Row, Transaction
from app.rag.models.embedder import Vector
from app.rag.ranking.bm25 import Candidate, Ranked, TermStatistics, estimate_statistics
from app.rag.ranking.vectors import VectorBlock, VectorMatrix, best_ranked, nearest, vector_block

SAMPLE = 2_000
"""Chunks in which words are counted, spread over all of a user's documents."""
DRIFT = 0.1
"""The share of chunks that may come or go before words are counted again."""
BYTES_OF_A_WORD = 150
CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class UserCorpus:
    """A user's documents at one moment."""

    version: int
    documents: Sequence[Searchable]
    statistics: TermStatistics
    matrix: VectorMatrix | None
    """None where vectors are not compared here, or are too many to be kept."""

    @property
    def size(self) -> int:
        """In bytes, about."""
        return len(self.statistics.sample_counts) * BYTES_OF_A_WORD + (self.matrix.size if self.matrix else 0)

    def within(self, document_ids: Collection[str] | None) -> Sequence[Searchable]:
        """Its documents, or those of them that are named."""
        if document_ids is None:
            return self.documents
        named = set(document_ids)
        return [each for each in self.documents if each.document_id in named]


class CorpusCache:
    """The libraries of the users who searched last, within a bound of memory.

    Each is asked for its version before each use, so that what another process has stored or deleted is seen at once.
    """

    def __init__(self, database: Database, embedder: str | None, cache_bytes: int = CACHE_BYTES) -> None:
        self._database = database
        self._embedder = embedder if database.kind == "sqlite" else None
        self._cache_bytes = cache_bytes
        self._kept: OrderedDict[str, UserCorpus] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def size(self) -> int:
        """Of all that is kept, in bytes."""
        return sum(each.size for each in self._kept.values())

    async def of(self, owner_id: str) -> UserCorpus:
        """A user's library as it is now; searches of one user wait for each other here, to read it once."""
        async with self._locks.setdefault(owner_id, asyncio.Lock()):
            library = await self._current(owner_id, self._kept.get(owner_id))
            self._keep(owner_id, library)
            return library

    async def nearest(
        self, documents: Sequence[Searchable], embedder: str, query: Vector, limit: int
    ) -> Sequence[Ranked]:
        """The nearest chunks where there is no matrix, on SQLite: read document by document."""
        return await self._database.read_snapshot(nearest_one_by_one, documents, embedder, query, limit)

    async def _current(self, owner_id: str, known: UserCorpus | None) -> UserCorpus:
        read = await self._database.read_snapshot(self._read, owner_id, known)
        if isinstance(read, UserCorpus):
            return read
        version, documents, sample, matrix = read
        if sample is None and known is not None:
            return UserCorpus(version, documents, known.statistics, matrix)
        candidates = [Candidate(*row) for row in sample or ()]
        statistics = await asyncio.to_thread(estimate_statistics, chunks_of(documents), candidates)
        return UserCorpus(version, documents, statistics, matrix)

    def _read(
        self, owner_id: str, known: UserCorpus | None
    ) -> Transaction[UserCorpus | tuple[int, Sequence[Searchable], list[Row] | None, VectorMatrix | None]]:
        version = yield from search.corpus_version(owner_id)
        if known is not None and known.version == version:
            return known
        documents = yield from search.searchable(owner_id)
        sample = None
        if known is None or drifted(known.statistics, chunks_of(documents)):
            sample = yield from search.sample(self._database.kind, list(places(documents)))
        matrix = yield from self._matrix(documents, known)
        return version, documents, sample, matrix

    def _matrix(self, documents: Sequence[Searchable], known: UserCorpus | None) -> Transaction[VectorMatrix | None]:
        if self._embedder is None:
            return None
        before = {(each.document_id, each.generation) for each in known.documents} if known else set()
        blocks: dict[str, VectorBlock] = {}
        left = self._cache_bytes
        for each in documents:
            if each.embedding != self._embedder:
                continue
            same = known is not None and known.matrix is not None and (each.document_id, each.generation) in before
            found = known.matrix.block(each.document_id) if same and known and known.matrix else None
            if found is None:
                found = vector_block((yield from search.vectors(each, self._embedder)))
            blocks[each.document_id] = found
            left -= found.size
            if left < 0:
                return None
        return VectorMatrix(blocks)

    def _keep(self, owner_id: str, library: UserCorpus) -> None:
        self._kept[owner_id] = library
        self._kept.move_to_end(owner_id)
        while self.size > self._cache_bytes and len(self._kept) > 1:
            self._kept.popitem(last=False)


def nearest_one_by_one(
    documents: Sequence[Searchable], embedder: str, query: Vector, limit: int
) -> Transaction[Sequence[Ranked]]:
    """The nearest chunks, with no more than one document's vectors in memory."""
    found: list[Ranked] = []
    for each in documents:
        rows = yield from search.vectors(each, embedder)
        found = best_ranked([*found, *nearest(vector_block(rows), query, limit)], limit)
    return found


def chunks_of(documents: Sequence[Searchable]) -> int:
    """How many chunks documents have."""
    return sum(each.chunks for each in documents)


def drifted(statistics: TermStatistics, chunks: int) -> bool:
    """Whether words have to be counted again, now that there are so many chunks."""
    return abs(statistics.chunks - chunks) > DRIFT * statistics.chunks


def places(documents: Sequence[Searchable]) -> Iterator[tuple[str, int, int]]:
    """Document, generation and position of chunks at even distances, all of them where they are few."""
    step = max(1.0, chunks_of(documents) / SAMPLE)
    before, wanted = 0, 0.0
    for each in documents:
        while wanted < before + each.chunks:
            yield each.document_id, each.generation, int(wanted) - before
            wanted += step
        before += each.chunks
