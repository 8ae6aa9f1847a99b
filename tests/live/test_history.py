"""Histories: clients, kills and drains for a time, and an offline check of all that was told, stored and asked.

`make soak` runs them for SOAK_SECONDS; HISTORY_SEED repeats one.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.history.run import Plan, happened
from tests.support.databases import PostgresTemplate, SqliteTemplate

SEED = int(os.environ.get("HISTORY_SEED", random.randrange(2**32)))
SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))


async def kept(plan: Plan, directory: Path, url: str) -> None:
    """Fails with each broken promise, and the seed."""
    record, broken = await happened(plan, directory, url)
    told = f"HISTORY_SEED={plan.seed}: {record.turns} turns, {len(record.readings)} readers, {len(record.calls)} calls"
    sys.stderr.write(f"{told}\n")
    assert not broken, "\n".join([told, *broken])
    assert record.turns > plan.clients, told


async def test_two_processes_on_one_postgresql(tmp_path: Path, postgres_template: PostgresTemplate) -> None:
    """Through kill -9 and drains of two processes, with readers, stops, retries and deletions, every promise holds."""
    with postgres_template.copy() as url:
        await kept(Plan(SEED, SECONDS, processes=2, clients=8, seconds_between_faults=4), tmp_path, url)


async def test_one_process_on_sqlite(tmp_path: Path, sqlite_template: SqliteTemplate) -> None:
    """The same with one process and a file."""
    with sqlite_template.copy() as url:
        await kept(Plan(SEED, SECONDS, processes=1, clients=6, seconds_between_faults=6), tmp_path, url)


async def test_three_processes_on_one_sqlite_file(tmp_path: Path, sqlite_template: SqliteTemplate) -> None:
    """And with several processes on one file."""
    with sqlite_template.copy() as url:
        await kept(Plan(SEED, SECONDS / 2, processes=3, clients=6, seconds_between_faults=3), tmp_path, url)
