"""Interface of embedding models, and what every caller of one needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from app.errors import EmbeddingFailed

if TYPE_CHECKING:
    from app.rag.models.calibration import Calibration

Vector: TypeAlias = bytes
"""A vector of length one, as little-endian 32-bit floats; of zeros for a passage in a script unknown to the model."""


class Embedder(Protocol):
    """Embeds texts as vectors whose dot products are their similarity. All methods raise `EmbeddingFailed`."""

    name: str
    """Recorded with the vectors; vectors of embedders with different names are never compared."""

    async def calibration(self) -> Calibration:
        """Return what the model's cosines mean, and the scripts that it knows."""
        ...

    async def embed_query(self, text: str) -> Vector:
        """Embed a search query without retries, since a user is waiting."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """Embed any number of passages; return their vectors in order, zeros for those in unknown scripts."""
        ...

    async def aclose(self) -> None: ...


def embedding_text(heading: str, content: str) -> str:
    """Return the text that is embedded for a chunk: its heading counts too."""
    return f"{heading}\n{content}" if heading else content


async def embed_with_retry(embedder: Embedder, texts: Sequence[str], pauses: Sequence[float]) -> list[Vector]:
    """Embed passages; retry a failure after each of the pauses, in seconds.

    Raises:
        EmbeddingFailed: the attempt after the last pause failed too.
    """
    for pause in pauses:
        try:
            return await embedder.embed_passages(texts)
        except EmbeddingFailed:
            await asyncio.sleep(pause)
    return await embedder.embed_passages(texts)
