"""Embedding models behind OpenAI's API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app.http.sdk_client import SdkClient
from app.rag.lazy_numpy import numpy
from app.rag.models.calibration import Calibration, calibrate, calibration_pairs
from app.rag.models.embedder import Vector
from app.rag.models.remote_model import RemoteModel, failure, retry_delay

BATCH_TEXTS = 64
BATCH_CHARACTERS = 100_000
MAX_CHARACTERS = 8_000
"""Characters of one text that are sent: models refuse more than about 8,000 tokens."""
QUERY_SECONDS = 5.0
PASSAGES_SECONDS = 60.0


class OpenAIEmbedder:
    """A model at `/embeddings`; its first vector sets the dimension of all others."""

    def __init__(
        self,
        provider: str,
        model: str,
        build_client: Callable[[], SdkClient],
        retry_delay: Callable[[int, float | None], float] = retry_delay,
        query_seconds: float = QUERY_SECONDS,
    ) -> None:
        self.name = f"{provider}:{model}"
        self._model = model
        self._remote = RemoteModel(build_client, retry_delay)
        self._query_seconds = query_seconds
        self._dimension: int | None = None
        self._calibration: Calibration | None = None
        self._calibrating: asyncio.Task[Calibration] | None = None
        self._calibrating_since = 0.0

    async def calibration(self) -> Calibration:
        """Calibrate the model at the first use, with two requests of some thousand tokens.

        It is taken to know all scripts, as the published models of this kind do. All callers share the requests, which
        may take longer than any of them waits: as long as for a query, from their beginning.
        """
        if self._calibration is not None:
            return self._calibration
        loop = asyncio.get_running_loop()
        if self._calibrating is None or self._calibrating.done():
            self._calibrating, self._calibrating_since = asyncio.create_task(self._calibrate()), loop.time()
            # Retrieves an exception that no caller waits for.
            self._calibrating.add_done_callback(lambda task: task.cancelled() or task.exception())
        left = self._calibrating_since + self._query_seconds - loop.time()
        done, _ = await asyncio.wait({self._calibrating}, timeout=max(0.0, left))
        if not done:
            raise failure("It has not been measured yet.", transient=True)
        return self._calibrating.result()

    async def embed_query(self, text: str) -> Vector:
        """Implement `Embedder.embed_query` without retries, because a user waits."""
        return (await self._request([text], self._query_seconds))[0]

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """Implement `Embedder.embed_passages`; transient errors are retried for minutes."""
        vectors: list[Vector] = []
        for batch in batches(texts):
            response = await self._remote.request_with_retries("embeddings", self._body(batch), PASSAGES_SECONDS)
            vectors += self._vectors(response, len(batch))
        return vectors

    async def aclose(self) -> None:
        if self._calibrating is not None:
            self._calibrating.cancel()
            await asyncio.wait({self._calibrating})
        await self._remote.aclose()

    async def _calibrate(self) -> Calibration:
        pairs = calibration_pairs()
        questions = await self._request([each.question for each in pairs], PASSAGES_SECONDS)
        passages = await self._request([each.passage for each in pairs], PASSAGES_SECONDS)
        self._calibration = calibrate(questions, passages)
        return self._calibration

    async def _request(self, texts: Sequence[str], seconds: float) -> list[Vector]:
        response = await self._remote.request("embeddings", self._body(texts), seconds)
        return self._vectors(response, len(texts))

    def _body(self, texts: Sequence[str]) -> dict[str, Any]:
        inputs = [each[:MAX_CHARACTERS] or " " for each in texts]
        return {"model": self._model, "input": inputs, "encoding_format": "float"}

    def _vectors(self, response: Any, count: int) -> list[Vector]:
        """Read `count` vectors out of a response and normalise them, in the order of their `index`."""
        np = numpy()
        try:
            entries = sorted(response["data"], key=lambda each: each["index"])
            matrix = np.array([each["embedding"] for each in entries], np.float64)
            complete = [each["index"] for each in entries] == list(range(count))
        except (KeyError, TypeError, ValueError):
            raise failure("Its response contains no vectors.") from None
        if not complete or matrix.ndim != 2 or matrix.shape[1] != (self._dimension or matrix.shape[1]):
            raise failure("Its response does not match the request.")
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise failure("Its response contains vectors of length zero.")
        self._dimension = matrix.shape[1]
        return [row.astype("<f4").tobytes() for row in matrix / lengths]


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Split texts into batches of at most `BATCH_TEXTS` texts and `BATCH_CHARACTERS` characters, in order."""
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
