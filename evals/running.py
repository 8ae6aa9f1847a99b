"""Runs the service for a set and takes down what is measured."""

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
from evals.vectors import Remembered

NO_MODEL: dict[str, Any] = {"llm_provider": "scripted", "llm_model": None, "llm_context_window": None}


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured."""

    limit: int | None
    """Questions of a set that are searched for at most; None for all."""
    turns: int
    """Of each kind that are asked as turns."""
    cache: Path
    """The folder for vectors."""

    def told(self) -> dict[str, Any]:
        """What the results depend on, as far as it is known here."""
        told = Settings()
        asked = {"llm_provider": told.effective_provider, "llm_model": told.llm_model}
        embedding = {"embedding_provider": told.embedding_provider, "embedding_model": told.embedding_model}
        amounts = {"limit": self.limit, "turns": self.turns, "python": platform.python_version()}
        return {**asked, **embedding, "rerank_model": told.rerank_model, **amounts}


async def measure(data: EvalSet, database: str, url: str, options: Options, report: Report) -> None:
    """Measures a set with a service of its own on an empty database."""
    settings = settings_for(data, url)
    embedder = embedder_of(settings)
    vectors = Remembered(embedder, options.cache / "vectors.db") if embedder else None
    async with serving(create_app(settings, vectors)) as client:
        async for line in lines(Bench(client, database, vectors, options.limit, options.turns), data):
            report.add(line)


def settings_for(data: EvalSet, url: str) -> Settings:
    """The deployment's settings; where replies are not judged a model that costs nothing makes them."""
    ours: dict[str, Any] = {"database_url": url, "log_level": LogLevel.ERROR, "title_model": None, "drain_seconds": 1}
    replies = {} if isinstance(data, PassageSet) else NO_MODEL | {"llm_fallbacks": None}
    return Settings(**ours, **replies)


def lines(bench: Bench, data: EvalSet) -> AsyncIterator[Line]:
    """What is measured of a set of this kind."""
    match data:
        case RankedSet():
            return ranked.measured(bench, data)
        case PassageSet():
            return passages.measured(bench, data)
        case SpanSet():
            return spans.measured(bench, data)
        case FormatSet():
            return formats.measured(bench, data)
        case _:
            assert_never(data)
