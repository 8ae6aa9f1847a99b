"""The protocol of rerankers, and the one over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from app.http.sdk_client import SdkClient
from app.rag.models.remote_model import RemoteModel, failure

REQUEST_SECONDS = 5.0
MAX_CHARACTERS = 4_000
"""Characters of a passage or a query that are sent."""


class Reranker(Protocol):
    """A model that reads passages together with the query and scores their relevance."""

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """Return a score for each passage, higher is better.

        Raises:
            EmbeddingFailed: the model failed, or its answer cannot be used.
        """
        ...

    async def aclose(self) -> None: ...


class RemoteReranker:
    """A model at `/rerank`, in the form of Cohere and Jina, which many servers share."""

    def __init__(self, model: str, build_client: Callable[[], SdkClient]) -> None:
        self._model = model
        self._remote = RemoteModel(build_client)

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """Implement `Reranker.scores` without retries, because a user waits."""
        texts = [each[:MAX_CHARACTERS] for each in passages]
        body = {"model": self._model, "query": query[:MAX_CHARACTERS], "documents": texts, "top_n": len(texts)}
        response = await self._remote.request("rerank", body, REQUEST_SECONDS)
        try:
            score_by_index = {each["index"]: float(each["relevance_score"]) for each in response["results"]}
            return [score_by_index[index] for index in range(len(passages))]
        except (KeyError, TypeError, ValueError):
            raise failure("Its response contains no scores.") from None

    async def aclose(self) -> None:
        await self._remote.aclose()
