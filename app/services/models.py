from __future__ import annotations

from collections.abc import Sequence

from app.llm.router import ModelInfo, Router


class ModelService:
    """The models of all providers."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def list_models(self) -> Sequence[ModelInfo]:
        """List the known models, once the providers have fetched their lists."""
        await self._router.catalog.prepare_all()
        return self._router.models()
