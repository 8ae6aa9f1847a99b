"""The seam to every embedding model: texts become vectors of one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

Vector: TypeAlias = bytes
"""A vector of length one, as little-endian 32-bit floats."""


class Embedder(Protocol):
    """Gives vectors whose dot products say how near two texts are in meaning. Everything raises `EmbeddingFailed`."""

    name: str
    """What is recorded with its vectors: another name, other vectors, which are never compared."""
    weight: float
    """What its ranking counts beside the lexical one."""

    async def embed_query(self, text: str) -> Vector:
        """The vector of what is searched for."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of texts that are to be found, in order; any number of texts."""
        ...

    async def aclose(self) -> None:
        """Frees what it holds."""
        ...
