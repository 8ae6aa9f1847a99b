"""The project's targets in comparison with the measurements. On a noisy machine a miss is a hint, not a proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.contenders import SERVICE
from benchmarks.report import Row


class Aim(NamedTuple):
    """A number that should not be exceeded."""

    what: str
    group: str
    scenario: str
    key: str
    limit: float
    clients: int = 1


AIMS = (
    Aim("ready after the start, s", "start", "again", "ready_s", 1.5),
    Aim("ready with an empty database, s", "start", "empty database", "ready_s", 1.5),
    Aim("idle, MB", "start", "empty database", "idle_mb", 90),
    Aim("JSON turn, CPU x floor", "turns", "JSON", "ratio", 4, 16),
    Aim("streamed turn, CPU x floor", "stream", "SSE", "ratio", 4, 16),
    Aim("turn at 1,000 messages, CPU x floor", "growth", "history 1000", "ratio", 2),
    Aim("slow streams that failed", "slow", "1,000 streams", "failed", 0, 1_000),
    Aim("late gaps of slow streams, p99 ms", "slow", "1,000 streams", "late_p99_ms", 250, 1_000),
    Aim("memory of a slow stream, KB", "slow", "1,000 streams", "kb_per_stream", 100, 1_000),
    Aim("refused when full, p99 ms", "overload", "full", "refused_p99_ms", 50, 16),
    Aim("turns during ingest, endpoint: x p99", "ingest", "endpoint", "p99_ratio", 1.5),
    Aim("turns during ingest, local: x p99", "ingest", "local", "p99_ratio", 1.5),
    Aim("search at 100,000 chunks, p95 ms", "search", "100,000 chunks", "p95_ms", 50),
)
SAME = 1.5
"""Up to this factor two pages count as equal, since planning and caches differ a little."""


def verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line for each target and measured database."""
    ours = [row for row in rows if row["server"] == SERVICE]
    for database in dict.fromkeys(row["database"] for row in ours):
        here = [row for row in ours if row["database"] == database]
        yield f"\naims · {database}"
        for aim in AIMS:
            yield from (verdict(aim.what, row[aim.key], aim.limit) for row in here if applies(aim, row))
        yield from page_verdicts(here)


def applies(aim: Aim, row: Row) -> bool:
    found = (row["group"], row["scenario"], row["clients"])
    return found == (aim.group, aim.scenario, aim.clients)


def page_verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Compare pages of 100,000 conversations with those of 100, including the CPU of the database."""
    pages = [row for row in rows if row["group"] == "list" and row["done"]]
    costs = {row["scenario"]: row["cpu_ms"] + (row["database_cpu_ms"] or 0) for row in pages}
    for page in ("first", "deep"):
        few, many = costs.get(f"100 {page}"), costs.get(f"100,000 {page}")
        if few and many:
            yield verdict(f"{page} page at 100,000, x that at 100", many / few, SAME)


def verdict(what: str, value: float | None, limit: float) -> str:
    if value is None:
        return f"  MISSED {what:<38} not measured"
    return f"  {'met   ' if value <= limit else 'MISSED'} {what:<38} {value:8.2f}   (at most {limit:g})"
