from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.errors import EmbeddingFailed
from app.rag.models.embedder import Embedder, Vector

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between the tries of an embedder that fails."""


def embedding_text(heading: str, content: str) -> str:
    """What is embedded of a chunk: it is found by what it stands under, too."""
    return f"{heading}\n{content}" if heading else content


async def embed_with_retry(embedder: Embedder, texts: Sequence[str]) -> list[Vector]:
    """The vectors of texts, from an embedder that may be down for half a minute.

    Raises:
        EmbeddingFailed: it was down for longer.
    """
    for pause in PAUSES:
        try:
            return await embedder.embed_passages(texts)
        except EmbeddingFailed:
            await asyncio.sleep(pause)
    return await embedder.embed_passages(texts)
