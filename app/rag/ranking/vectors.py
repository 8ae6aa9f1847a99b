"""Vectors in memory, compared with one by brute force: 100,000 of 384 numbers take some 20 ms on one thread."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.rag.lazy_numpy import numpy
from app.rag.models.embedder import Vector
from app.rag.ranking.bm25 import Ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ROWS = 8_192
"""Compared at once: what that makes stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Block:
    """The vectors of a document's chunks."""

    chunk_keys: NDArray[Any]
    vectors: NDArray[Any]

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self.chunk_keys.nbytes + self.vectors.nbytes)


def block(rows: Sequence[Sequence[Any]]) -> Block:
    """Rows of a key and a vector as arrays."""
    np = numpy()
    vectors = np.frombuffer(b"".join(vector for _, vector in rows), "<f4").reshape(len(rows), -1)
    return Block(np.fromiter((key for key, _ in rows), np.int64, len(rows)), vectors)


class Matrix:
    """The vectors of an owner's documents in one piece, each document's rows together."""

    def __init__(self, blocks: Mapping[str, Block]) -> None:
        np = numpy()
        self._places: dict[str, slice] = {}
        end = 0
        for document_id, each in blocks.items():
            self._places[document_id] = slice(end, end := end + len(each.chunk_keys))
        self._keys = np.concatenate([each.chunk_keys for each in blocks.values()]) if end else np.zeros(0, np.int64)
        self._vectors = np.concatenate([each.vectors for each in blocks.values()]) if end else np.zeros((0, 0), "<f4")

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self._keys.nbytes + self._vectors.nbytes)

    def block(self, document_id: str) -> Block | None:
        """A document's vectors, still in this matrix's memory; None where it has none of it."""
        if (place := self._places.get(document_id)) is None:
            return None
        return Block(self._keys[place], self._vectors[place])

    def nearest(self, query: Vector, limit: int, document_ids: Collection[str] | None = None) -> list[Ranked]:
        """The chunks nearest to a query, of some documents or of all, with their cosines; blocks for that long."""
        if document_ids is None:
            return nearest(Block(self._keys, self._vectors), query, limit)
        blocks = [found for each in document_ids if (found := self.block(each)) is not None]
        return best([ranked for each in blocks for ranked in nearest(each, query, limit)], limit)


def nearest(within: Block, query: Vector, limit: int) -> list[Ranked]:
    """The chunks of a block that are nearest to a query, with their cosines."""
    np = numpy()
    if not len(within.chunk_keys):
        return []
    wanted = np.frombuffer(query, "<f4")
    cosines = np.empty(len(within.chunk_keys), np.float32)
    for start in range(0, len(cosines), BLOCK_ROWS):
        cosines[start : start + BLOCK_ROWS] = within.vectors[start : start + BLOCK_ROWS] @ wanted
    places = np.argpartition(-cosines, limit - 1)[:limit] if limit < len(cosines) else np.arange(len(cosines))
    return best([Ranked(int(within.chunk_keys[place]), float(cosines[place])) for place in places], limit)


def cosines(queries: Sequence[Vector], texts: Sequence[Vector]) -> list[float]:
    """How near each text is to the query that is nearest to it."""
    np = numpy()
    if not texts:
        return []
    asked, told = (np.stack([np.frombuffer(each, "<f4") for each in vectors]) for vectors in (queries, texts))
    return [float(each) for each in (told @ asked.T).max(axis=1)]


def best(found: Sequence[Ranked], limit: int) -> list[Ranked]:
    """The first of all; of equal ones the older."""
    return sorted(found, key=lambda each: (-each.score, each.chunk_key))[:limit]
