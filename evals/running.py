"""Measurement of a set with a service of its own."""

from __future__ import annotations

import contextlib
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

SCRIPTED: dict[str, Any] = {
    "llm_provider": "scripted",
    "llm_model": None,
    "llm_context_window": None,
    "llm_fallbacks": None,
}
WORDS_ALONE: dict[str, Any] = {"embedding_provider": "none", "embedding_model": None, "rerank_model": None}


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
            "embedding_provider": settings.effective_embedding_provider,
            "embedding_model": settings.embedding_model,
            "rerank_model": settings.rerank_model,
            "limit": self.limit,
            "turns": self.turns,
            "python": platform.python_version(),
        }


async def measure(data: EvalSet, database: str, url: str, options: Options, report: Report) -> None:
    """Measure a set with a service of its own on an empty database."""
    # Replies are judged in sets of passages alone; for others the scripted model replies.
    async with serve({} if isinstance(data, PassageSet) else SCRIPTED, database, url, options) as bench:
        async for line in lines(bench, data):
            report.add(line)
    if isinstance(data, PassageSet):
        async with serve(WORDS_ALONE | SCRIPTED, database, url, options) as bench:
            report.add(await passages.measure_words_alone(bench, data))
        async with serve(SCRIPTED, database, url, options) as bench:
            report.add(await passages.measure_prompts(bench, data))


@contextlib.asynccontextmanager
async def serve(changes: dict[str, Any], database: str, url: str, options: Options) -> AsyncIterator[Bench]:
    """Run a service with the deployment's settings and these changes within the block."""
    ours: dict[str, Any] = {"database_url": url, "log_level": LogLevel.ERROR, "title_model": None, "drain_seconds": 1}
    settings = Settings(**ours, **changes)
    embedder = embedder_of(settings)
    vectors = CachedEmbedder(embedder, options.cache / "vectors.db") if embedder else None
    async with serving(create_app(settings, vectors)) as client:
        yield Bench(client, database, vectors, options.limit, options.turns)


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
