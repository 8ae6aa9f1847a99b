from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.errors import EmbeddingFailed
from app.rag.models.embedder import Embedder, Vector


def embedding_text(heading: str, content: str) -> str:
    """Return the text that is embedded for a chunk: searches match its heading too."""
    return f"{heading}\n{content}" if heading else content


async def embed_with_retry(embedder: Embedder, texts: Sequence[str], pauses: Sequence[float]) -> list[Vector]:
    """Embed texts; an embedder that fails is retried after each of the pauses, in seconds.

    Raises:
        EmbeddingFailed: the try after the last pause failed too.
    """
    for pause in pauses:
        try:
            return await embedder.embed_passages(texts)
        except EmbeddingFailed:
            await asyncio.sleep(pause)
    return await embedder.embed_passages(texts)
