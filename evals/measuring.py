"""What every measurement needs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from evals.ingest import Files, Shelf, shelved
from evals.results import Line
from evals.service import Client, Hit
from evals.vectors import Remembered

HITS = 50
"""Passages that are asked for: enough for ten documents, of which some are found several times."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bench:
    """A running service, and how much is asked of it."""

    client: Client
    database: str
    vectors: Remembered | None
    limit: int | None
    """Questions of a set that are searched for at most; None for all."""
    turns: int
    """Answerable questions, and as many unanswerable ones, that are asked as turns at most."""

    async def shelf(self, user_id: str, files: Files) -> Shelf:
        """A user's documents, ready."""
        return await shelved(self.client, user_id, files, self.vectors)

    def line(self, name: str, what: str, watch: Stopwatch, scores: dict[str, dict[str, float]]) -> Line:
        """What was measured of a set by searching."""
        return Line(name, self.database, what, scores, watch.seconds)

    def ingested(self, name: str, what: str, shelf: Shelf) -> Line:
        """What the ingest of a set did."""
        return Line(name, self.database, what, {}, notes=shelf.notes)


@dataclass(slots=True)
class Stopwatch:
    """Searches of a user's documents, one after the other, and how many seconds each took."""

    client: Client
    user_id: str
    seconds: list[float] = field(default_factory=list)

    async def search(self, query: str, limit: int = HITS) -> list[Hit]:
        """What is found, the best first."""
        begun = time.perf_counter()
        found = await self.client.search(self.user_id, query, limit)
        self.seconds.append(time.perf_counter() - begun)
        return found


def sampled(values: Sequence[T], count: int | None) -> Sequence[T]:
    """So many of them at most, evenly from all parts."""
    if count is None or count >= len(values):
        return values
    return [values[place * len(values) // count] for place in range(count)]
