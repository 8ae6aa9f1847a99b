"""A history: clients and faults for some time, then a pause, then the check."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

from app.db.checks import conversations
from app.db.connect import connect
from app.db.transaction import Transaction
from tests.history.check import LAST, ROWS, Row, Stored, findings
from tests.history.clients import Client
from tests.history.fleet import Fleet
from tests.history.provider import SlowProvider
from tests.history.record import Record
from tests.support.sql import run_sql

IDLE_SECONDS = 25
"""Seconds for the last turns to end: a lease, a recovery round and a reply."""


class Plan(NamedTuple):
    """The parameters of a history."""

    seed: int
    seconds: float
    processes: int
    clients: int
    seconds_between_faults: float


async def run_history(plan: Plan, directory: Path, database_url: str) -> tuple[Record, list[str]]:
    """Run a history; return its record and a sentence for each violation of an invariant."""
    record = Record()
    async with SlowProvider(record) as provider:
        settings: dict[str, Any] = {
            "database_url": database_url,
            "openai_api_key": "x",
            "openai_base_url": provider.openai_base_url,
            "drain_seconds": 2,
        }
        async with Fleet(directory, plan.processes, settings) as fleet:
            await run_with_faults(plan, fleet, record)
            stored, broken = await read_when_idle(database_url)
    return record, [*findings(record, stored), *broken, *fleet.faults]


async def run_with_faults(plan: Plan, fleet: Fleet, record: Record) -> None:
    """Run clients while processes are killed, drained and replaced."""
    chance, until = random.Random(plan.seed), time.monotonic() + plan.seconds
    clients = [
        asyncio.create_task(Client(f"user{n}", fleet, record, random.Random(chance.random())).run(until))
        for n in range(plan.clients)
    ]
    while time.monotonic() + plan.seconds_between_faults < until:
        await asyncio.sleep(plan.seconds_between_faults * chance.uniform(0.5, 1))
        await chance.choice([fleet.crash, fleet.crash, fleet.drain])(chance)
    await asyncio.gather(*clients)


async def read_when_idle(database_url: str) -> tuple[Stored, list[str]]:
    """Read the rows once all turns have ended, or after `IDLE_SECONDS`; return them with the findings of a check."""
    database = connect(database_url, pool_size=1)
    try:
        deadline = time.monotonic() + IDLE_SECONDS
        while True:
            stored = await database.read(read)
            busy = any(row.status in {"queued", "in_progress"} for row in stored.rows)
            if not busy or time.monotonic() > deadline:
                return stored, await database.read(conversations.findings, database.kind)
            await asyncio.sleep(0.2)
    finally:
        await database.close()


def read() -> Transaction[Stored]:
    """Read all messages."""
    rows = [Row(str(row[0]), str(row[1]), *row[2:]) for row in (yield from run_sql(ROWS))]
    last = {str(conversation_id): number for conversation_id, number in (yield from run_sql(LAST))}
    return Stored(rows, last)
