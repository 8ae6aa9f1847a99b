"""Measurement of a set with a service of its own."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from app.factories import embedder_of
from app.main import create_app
from app.setting_types import LogLevel
from app.settings import Settings
from evals import formats, passages, ranked, spans
from evals.data import FormatSet, PassageSet, RankedSet, SpanSet
from evals.measuring import Bench
from evals.results import Line, Report
from evals.service import serving
from evals.sets import EvalSet
from evals.vectors import CachedEmbedder

NO_MODEL: dict[str, Any] = {"llm_provider": "scripted", "llm_model": None, "llm_context_window": None}


@dataclass(frozen=True, slots=True)
class Options:
    """Limits of what is measured."""

    limit: int | None
    """Largest number of questions searched for in each set; None for all."""
    turns: int
    """Questions of each kind that are sent as turns."""
    cache: Path
    """Folder of the cached vectors."""

    def as_settings(self) -> dict[str, Any]:
        """Return the settings on which the results depend."""
        settings = Settings()
        return {
            "llm_provider": settings.effective_provider,
            "llm_model": settings.llm_model,
            "embedding_provider": settings.embedding_provider,
            "embedding_model": settings.embedding_model,
            "rerank_model": settings.rerank_model,
            "limit": self.limit,
            "turns": self.turns,
            "python": platform.python_version(),
        }


async def measure(data: EvalSet, database: str, url: str, options: Options, report: Report) -> None:
    """Measure a set with a service of its own on an empty database."""
    settings = settings_for(data, url)
    embedder = embedder_of(settings)
    vectors = CachedEmbedder(embedder, options.cache / "vectors.db") if embedder else None
    async with serving(create_app(settings, vectors)) as client:
        async for line in lines(Bench(client, database, vectors, options.limit, options.turns), data):
            report.add(line)


def settings_for(data: EvalSet, url: str) -> Settings:
    """Return the deployment's settings, with the scripted model for sets whose replies are not judged."""
    ours: dict[str, Any] = {"database_url": url, "log_level": LogLevel.ERROR, "title_model": None, "drain_seconds": 1}
    replies = {} if isinstance(data, PassageSet) else NO_MODEL | {"llm_fallbacks": None}
    return Settings(**ours, **replies)


def lines(bench: Bench, data: EvalSet) -> AsyncIterator[Line]:
    """Measure a set by its kind."""
    match data:
        case RankedSet():
            return ranked.measure(bench, data)
        case PassageSet():
            return passages.measure(bench, data)
        case SpanSet():
            return spans.measure(bench, data)
        case FormatSet():
            return formats.measure(bench, data)
        case _:
            assert_never(data)
