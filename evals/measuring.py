"""A running service with the limits of a measurement, and timed searches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from evals.ingest import Files, Library, ingest
from evals.results import Line
from evals.service import EvalClient, Hit
from evals.vectors import CachedEmbedder

HITS = 50
"""Passages in a search: enough for ten documents, of which some are found several times."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bench:
    """A running service and the limits of what is measured."""

    client: EvalClient
    database: str
    vectors: CachedEmbedder | None
    limit: int | None
    """Largest number of questions searched for in each set; None for all."""
    turns: int
    """Largest number of answerable, and of unanswerable, questions sent as turns."""

    async def ingest(self, user_id: str, files: Files) -> Library:
        """Ingest a user's documents and search them once, since the first search loads them."""
        library = await ingest(self.client.for_user(user_id), files, self.vectors)
        watch = self.stopwatch(user_id)
        await watch.search("what is first", limit=1)
        return replace(library, notes={**library.notes, "first search, ms": watch.seconds[0] * 1e3})

    def stopwatch(self, user_id: str) -> Stopwatch:
        """Return a stopwatch for searches of a user's documents."""
        return Stopwatch(self.client.for_user(user_id))

    def line(self, name: str, what: str, watch: Stopwatch, scores: dict[str, dict[str, float]]) -> Line:
        """Return the line of a set's searches."""
        return Line(name, self.database, what, scores, watch.seconds)

    def ingest_line(self, name: str, what: str, library: Library) -> Line:
        """Return the line of a set's ingest."""
        return Line(name, self.database, what, {}, notes=library.notes)


@dataclass(slots=True)
class Stopwatch:
    """Searches of a user's documents, one at a time, with their durations in seconds."""

    client: EvalClient
    seconds: list[float] = field(default_factory=list)

    async def search(self, query: str, limit: int = HITS) -> list[Hit]:
        """Search, record the duration and return the passages, the best first."""
        begun = time.perf_counter()
        found = await self.client.search(query, limit)
        self.seconds.append(time.perf_counter() - begun)
        return found


def sampled(values: Sequence[T], count: int | None) -> Sequence[T]:
    """Return at most `count` of the values, evenly spaced; all if None."""
    if count is None or count >= len(values):
        return values
    return [values[place * len(values) // count] for place in range(count)]
