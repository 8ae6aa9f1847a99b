"""Exact nearest-neighbour search over vectors in memory: 100,000 of 384 numbers take some 20 ms on one thread."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.rag.lazy_numpy import numpy
from app.rag.models.embedder import Vector
from app.rag.ranking.bm25 import Ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH_ROWS = 8_192
"""Vectors compared at once: the intermediate results fit in the processor's cache."""


@dataclass(frozen=True, slots=True)
class VectorBlock:
    """The vectors of a document's chunks, a row per chunk."""

    chunk_keys: NDArray[Any]
    vectors: NDArray[Any]

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self.chunk_keys.nbytes + self.vectors.nbytes)


def vector_block(rows: Sequence[Sequence[Any]]) -> VectorBlock:
    """Build a block from rows of a chunk key and a `Vector`."""
    np = numpy()
    vectors = np.frombuffer(b"".join(vector for _, vector in rows), "<f4").reshape(len(rows), -1)
    return VectorBlock(np.fromiter((key for key, _ in rows), np.int64, len(rows)), vectors)


class VectorMatrix:
    """The vectors of an owner's documents in one array, each document's rows together."""

    def __init__(self, blocks: Mapping[str, VectorBlock]) -> None:
        np = numpy()
        self._rows: dict[str, slice] = {}
        """By document id."""
        end = 0
        for document_id, each in blocks.items():
            self._rows[document_id] = slice(end, end := end + len(each.chunk_keys))
        self._keys = np.concatenate([each.chunk_keys for each in blocks.values()]) if end else np.zeros(0, np.int64)
        self._vectors = np.concatenate([each.vectors for each in blocks.values()]) if end else np.zeros((0, 0), "<f4")

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self._keys.nbytes + self._vectors.nbytes)

    def block(self, document_id: str) -> VectorBlock | None:
        """Return a view of a document's vectors; None if it has none here."""
        if (rows := self._rows.get(document_id)) is None:
            return None
        return VectorBlock(self._keys[rows], self._vectors[rows])

    def nearest(self, query: Vector, limit: int, document_ids: Collection[str] | None = None) -> list[Ranked]:
        """Return the chunks nearest to a query, of some documents or of all, with their cosines.

        Blocks the calling thread.
        """
        if document_ids is None:
            return nearest(VectorBlock(self._keys, self._vectors), query, limit)
        blocks = [found for each in document_ids if (found := self.block(each)) is not None]
        return best_ranked([ranked for each in blocks for ranked in nearest(each, query, limit)], limit)


def nearest(block: VectorBlock, query: Vector, limit: int) -> list[Ranked]:
    """Return the chunks of a block that are nearest to a query, with their cosines."""
    np = numpy()
    if not len(block.chunk_keys):
        return []
    query_vector = np.frombuffer(query, "<f4")
    cosines = np.empty(len(block.chunk_keys), np.float32)
    for start in range(0, len(cosines), BATCH_ROWS):
        cosines[start : start + BATCH_ROWS] = block.vectors[start : start + BATCH_ROWS] @ query_vector
    places = np.argpartition(-cosines, limit - 1)[:limit] if limit < len(cosines) else np.arange(len(cosines))
    return best_ranked([Ranked(int(block.chunk_keys[place]), float(cosines[place])) for place in places], limit)


def max_cosines(queries: Sequence[Vector], texts: Sequence[Vector]) -> list[float]:
    """Return for each text its cosine with the nearest query."""
    np = numpy()
    if not texts:
        return []
    query_rows, text_rows = (np.stack([np.frombuffer(each, "<f4") for each in vectors]) for vectors in (queries, texts))
    return [float(each) for each in (text_rows @ query_rows.T).max(axis=1)]


def best_ranked(found: Sequence[Ranked], limit: int) -> list[Ranked]:
    """Return the chunks with the highest scores; of equal ones the older first."""
    return sorted(found, key=lambda each: (-each.score, each.chunk_key))[:limit]
