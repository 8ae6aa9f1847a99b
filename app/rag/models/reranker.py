"""The seam to models that put passages in order by reading them beside the query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from app.rag.models.http_client import Remote, failure

SECONDS = 5.0
MAX_CHARACTERS = 4_000
"""Of a passage or a query that are read."""


class Reranker(Protocol):
    """Says how well each passage answers to a query."""

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """A score for each passage, higher is better.

        Raises:
            EmbeddingFailed: the model did not answer, or not so that it can be used.
        """
        ...

    async def aclose(self) -> None:
        """Closes its connections."""
        ...


class RemoteReranker:
    """A model at `/rerank`, as Cohere and Jina have it, and many servers after them."""

    def __init__(self, model: str, build: Callable[[], Any]) -> None:
        self._model = model
        self._remote = Remote(build)

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """See `Reranker.scores`: one try, since somebody waits."""
        texts = [each[:MAX_CHARACTERS] for each in passages]
        body = {"model": self._model, "query": query[:MAX_CHARACTERS], "documents": texts, "top_n": len(texts)}
        answer = await self._remote.answer("rerank", body, SECONDS)
        try:
            found = {each["index"]: float(each["relevance_score"]) for each in answer["results"]}
            return [found[place] for place in range(len(passages))]
        except (KeyError, TypeError, ValueError):
            raise failure("Its answer holds no order.") from None

    async def aclose(self) -> None:
        """See `Reranker.aclose`."""
        await self._remote.aclose()
