"""Histories: clients, kills and drains for a time, then an offline check of everything sent, stored and received.

`make soak` runs them for SOAK_SECONDS; HISTORY_SEED repeats one.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.history.run import Plan, run_history
from tests.support.databases import PostgresTemplate, SqliteTemplate

SEED = int(os.environ.get("HISTORY_SEED", random.randrange(2**32)))
SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))


async def check_history(plan: Plan, directory: Path, url: str) -> None:
    """Run a history and fail with its seed and each broken promise."""
    record, broken = await run_history(plan, directory, url)
    summary = f"HISTORY_SEED={plan.seed}: {record.turns} turns, {len(record.readings)} readers"
    sys.stderr.write(f"{summary}, {len(record.calls)} calls\n")
    assert not broken, "\n".join([summary, *broken])
    assert record.turns > plan.clients, summary


async def test_two_processes_on_postgresql(tmp_path: Path, postgres_template: PostgresTemplate) -> None:
    """Every promise holds through kill -9 and drains of two processes, with readers, cancels and deletions."""
    with postgres_template.copy() as url:
        await check_history(Plan(SEED, SECONDS, processes=2, clients=8, seconds_between_faults=4), tmp_path, url)


async def test_one_process_on_sqlite(tmp_path: Path, sqlite_template: SqliteTemplate) -> None:
    """Every promise holds with one process on a file."""
    with sqlite_template.copy() as url:
        await check_history(Plan(SEED, SECONDS, processes=1, clients=6, seconds_between_faults=6), tmp_path, url)


async def test_three_processes_on_sqlite(tmp_path: Path, sqlite_template: SqliteTemplate) -> None:
    """Every promise holds with three processes on one file."""
    with sqlite_template.copy() as url:
        await check_history(Plan(SEED, SECONDS / 2, processes=3, clients=6, seconds_between_faults=3), tmp_path, url)
