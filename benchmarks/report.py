"""Printed tables and stored JSON."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import psutil

from benchmarks.contenders import BASELINE
from benchmarks.load import Outcome

PACKAGES = ("fastapi", "uvicorn", "uvloop", "sqlalchemy", "aiosqlite", "asyncpg", "openai", "aiohttp", "orjson")

Row = dict[str, Any]


class Column(NamedTuple):
    """A column of a table: key of its values, heading, width and decimals."""

    key: str
    heading: str
    width: int
    decimals: int = 0


LABELS = (Column("scenario", "", 22), Column("clients", "clients", 7), Column("server", "server", 20))
LATENCY = (Column("p50_ms", "p50 ms", 8, 2), Column("p95_ms", "p95 ms", 8, 2), Column("p99_ms", "p99 ms", 8, 2))
COST = (Column("cpu_ms", "CPU ms", 8, 2), Column("ratio", "x floor", 8, 2))
REST = (Column("database_cpu_ms", "db ms", 7, 2), Column("memory_mb", "peak MB", 8, 1), Column("failed", "failed", 7))
TURNS = (*LABELS, Column("per_second", "turns/s", 8), *LATENCY, *COST, *REST)
STREAM = (*TURNS[:-3], Column("cpu_us_per_token", "us/token", 9, 2), *REST)
GROWTH = (*TURNS[:-3], Column("prompt_messages", "prompt", 7, 1), *REST)
LIST = (*LABELS, Column("per_second", "pages/s", 8), *LATENCY, *COST, *REST)
SLOW = (
    *LABELS,
    *(Column("late_p95_ms", "late p95", 9, 1), Column("late_p99_ms", "late p99", 9, 1)),
    *(Column("edge_p99_ms", "edge p99", 9, 1), Column("busy", "core", 6, 2)),
    *(Column("cpu_us_per_token", "us/token", 9, 1), Column("ratio", "x floor", 8, 2)),
    *(Column("kb_per_stream", "KB/stream", 10, 1), Column("memory_mb", "peak MB", 8, 1), Column("failed", "failed", 7)),
)
OVERLOAD = (
    *LABELS,
    *(Column("refused_p50_ms", "refused p50", 12, 1), Column("refused_p99_ms", "p99", 8, 1)),
    *(Column("read_p50_ms", "read p50", 9, 1), Column("read_p99_ms", "p99", 8, 1), Column("failed", "failed", 7)),
)
INGEST = (
    *(Column("scenario", "embedded by", 22), Column("alone_p50_ms", "alone p50", 10, 2)),
    *(Column("alone_p99_ms", "p99", 8, 2), Column("p50_ms", "during p50", 11, 2), Column("p99_ms", "p99", 8, 2)),
    *(Column("p50_ratio", "x p50", 7, 2), Column("p99_ratio", "x p99", 7, 2), Column("chunks", "chunks", 8)),
    *(Column("chunks_per_second", "chunks/s", 9, 1), Column("memory_mb", "peak MB", 8, 1)),
    Column("failed", "failed", 7),
)
SEARCH = (
    *(Column("scenario", "", 16), Column("clients", "clients", 7), Column("first_ms", "first ms", 9, 1)),
    *(Column("per_second", "per s", 7, 1), *LATENCY, Column("cpu_ms", "CPU ms", 8, 2)),
    *(Column("database_cpu_ms", "db ms", 7, 2), Column("idle_mb", "idle MB", 8, 1)),
    *(Column("memory_mb", "peak MB", 8, 1), Column("failed", "failed", 7)),
)
START = (
    *(Column("scenario", "", 22), Column("server", "server", 20)),
    *(Column("ready_s", "ready s", 8, 2), Column("idle_mb", "idle MB", 8, 1), Column("failed", "failed", 7)),
)


class Report:
    """Prints rows as they come, and stores them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._begun = dt.datetime.now(dt.UTC)
        self._load_before = os.getloadavg()

    def head(self, group: str, database: str, note: str, columns: Sequence[Column]) -> None:
        """Print the head of a table."""
        print(f"\n{group} · {database} · {note}")
        print(line(columns, {column.key: column.heading for column in columns}), flush=True)

    def add(self, columns: Sequence[Column], row: Row) -> None:
        """Add a row to the table and the results."""
        self.rows.append(row)
        print(line(columns, row), flush=True)
        for what, times in row.get("failures", {}).items():
            print(f"    FAILED {times}x: {what}", flush=True)

    @property
    def failed(self) -> int:
        return sum(row.get("failed", 0) for row in self.rows)

    def write(self, directory: Path, options: dict[str, Any]) -> Path:
        """Write all rows as JSON and return the file."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self._begun:%Y%m%dT%H%M%SZ}.json"
        document = {
            "begun": self._begun,
            "options": options,
            "machine": machine(),
            "load_average": {"before": self._load_before, "after": os.getloadavg()},
            "rows": self.rows,
        }
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return path


def machine() -> dict[str, Any]:
    """Return the properties of the machine on which the numbers depend."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": psutil.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def line(columns: Sequence[Column], row: Row) -> str:
    cells = []
    for column in columns:
        value = shown(row.get(column.key), column.decimals)
        text = column.key in {"scenario", "server"}
        cells.append(value.ljust(column.width) if text else value.rjust(column.width))
    return " ".join(cells).rstrip()


def shown(value: Any, decimals: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:.{decimals}f}"


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the percentile by the nearest rank; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(values: Sequence[float], name: str) -> Row:
    """Return percentiles in milliseconds under the keys of the tables."""
    row = {}
    for share in (50, 95, 99):
        value = percentile(values, share / 100)
        row[f"{name}p{share}_ms"] = None if value is None else value * 1e3
    return row


def measured(outcome: Outcome, tokens: int = 0) -> Row:
    """Return the values of a load; `tokens` is the number that a turn streams."""
    watch, done = outcome.watch, outcome.done
    cpu = {role: seconds * 1e3 / done for role, seconds in watch.cpu.items()} if done else {}
    server = cpu.get("server")
    return {
        "done": done,
        "failed": outcome.failures.total(),
        "failures": dict(outcome.failures),
        "per_second": done / watch.seconds,
        **milliseconds(outcome.latencies, ""),
        "cpu_ms": server,
        "database_cpu_ms": cpu.get("database"),
        "provider_cpu_ms": cpu.get("provider"),
        "load_cpu_ms": cpu.get("load"),
        "busy": watch.cpu["server"] / watch.seconds,
        "cpu_us_per_token": server * 1e3 / tokens if server and tokens else None,
        "memory_mb": watch.memory_peak_mb,
    }


def median(rounds: Sequence[Row]) -> Row:
    """Return the median of each value over the rounds; failures add up."""
    row: Row = {"rounds": len(rounds), "failures": {}}
    for key in rounds[0]:
        values = [each[key] for each in rounds]
        if key == "failures":
            for what, times in (pair for each in values for pair in each.items()):
                row["failures"][what] = row["failures"].get(what, 0) + times
        elif key in {"done", "failed"}:
            row[key] = sum(values)
        else:
            known = [value for value in values if value is not None]
            row[key] = statistics.median(known) if known else None
    return row


def with_ratios(rows: Sequence[Row], key: str) -> Sequence[Row]:
    """Add the cost of each as a multiple of the floor in the same scenario."""
    floor = next((row[key] for row in rows if row["server"] == BASELINE), None)
    for row in rows:
        row["ratio"] = row[key] / floor if floor and row[key] is not None else None
    return rows
