"""Embedding models behind OpenAI's API, or what speaks like it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app.rag.lazy_numpy import numpy
from app.rag.models.embedder import Vector
from app.rag.models.http_client import Remote, failure

BATCH_TEXTS = 64
BATCH_CHARACTERS = 100_000
MAX_CHARACTERS = 8_000
"""Of one text: models refuse more than about 8,000 tokens."""
QUERY_SECONDS = 5.0
PASSAGES_SECONDS = 60.0


class OpenAIEmbedder:
    """A model at `/embeddings`. Its vectors are as long as the first that it gave."""

    weight = 1.0

    def __init__(self, provider: str, model: str, build: Callable[[], Any]) -> None:
        self.name = f"{provider}:{model}"
        self._model = model
        self._remote = Remote(build)
        self._dimension: int | None = None

    async def embed_query(self, text: str) -> Vector:
        """See `Embedder.embed_query`: one try, since somebody waits."""
        answer = await self._remote.answer("embeddings", self._body([text]), QUERY_SECONDS)
        return self._vectors(answer, 1)[0]

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """See `Embedder.embed_passages`: refusals that may pass are waited out, for minutes."""
        vectors: list[Vector] = []
        for batch in batches(texts):
            answer = await self._remote.patient_answer("embeddings", self._body(batch), PASSAGES_SECONDS)
            vectors += self._vectors(answer, len(batch))
        return vectors

    async def aclose(self) -> None:
        """See `Embedder.aclose`."""
        await self._remote.aclose()

    def _body(self, texts: Sequence[str]) -> dict[str, Any]:
        given = [each[:MAX_CHARACTERS] or " " for each in texts]
        return {"model": self._model, "input": given, "encoding_format": "float"}

    def _vectors(self, answer: Any, count: int) -> list[Vector]:
        np = numpy()
        try:
            entries = sorted(answer["data"], key=lambda each: each["index"])
            matrix = np.array([each["embedding"] for each in entries], np.float64)
            placed = [each["index"] for each in entries] == list(range(count))
        except (KeyError, TypeError, ValueError):
            raise failure("Its answer holds no vectors.") from None
        if not placed or matrix.ndim != 2 or matrix.shape[1] != (self._dimension or matrix.shape[1]):
            raise failure("Its answer holds other vectors than were asked for.")
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise failure("Its answer holds vectors without a length.")
        self._dimension = matrix.shape[1]
        return [row.astype("<f4").tobytes() for row in matrix / lengths]


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Texts in order, so many at once as a server takes."""
    batch: list[str] = []
    characters = 0
    for each in texts:
        size = min(len(each), MAX_CHARACTERS)
        if batch and (len(batch) == BATCH_TEXTS or characters + size > BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(each)
        characters += size
    if batch:
        yield batch
