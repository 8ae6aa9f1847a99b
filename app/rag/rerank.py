"""The seam to models that put passages in order by reading them beside the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


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
