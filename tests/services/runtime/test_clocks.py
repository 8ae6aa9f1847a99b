"""Clocks that are set while processes serve: leases, and what they cover, are none the wiser."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update

from app.db import process_leases
from app.db.checks import conversations
from app.db.models import MessageRow, ProcessRow
from app.domain.ids import new_id
from tests.support.background import pollers_of, recover
from tests.support.clock import WallClock
from tests.support.databases import SqliteTemplate
from tests.support.parley_client import messages_path
from tests.support.provider import FakeProvider
from tests.support.service import Service, asking, serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR = 3600.0


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    return WallClock(monkeypatch)


@pytest_asyncio.fixture(loop_scope="module")
async def sqlite_pair(
    sqlite_template: SqliteTemplate, provider: FakeProvider, wall_clock: WallClock
) -> AsyncIterator[tuple[Service, Service]]:
    """Two services on one file."""
    with sqlite_template.copy() as url:
        async with pair_of(url, provider) as pair:
            yield pair


@contextlib.asynccontextmanager
async def pair_of(database_url: str, provider: FakeProvider) -> AsyncIterator[tuple[Service, Service]]:
    configured = asking(provider, database_url=database_url)
    async with serving(configured) as one, serving(configured) as other:
        yield one, other


async def at_work(service: Service, provider: FakeProvider, gate: asyncio.Event) -> tuple[str, asyncio.Task[Any]]:
    """The path of a conversation's messages, and the post of a turn whose provider waits for the gate."""
    provider.reply("Half ", gate, "and half")
    made = await service.client.create_conversation()
    post = asyncio.create_task(service.client.post_message(made, "Hello"))
    await provider.wait_calls(1)
    return messages_path(made), post


async def left_by(service: Service, process_id: str) -> str:
    """The path of a conversation whose reply a process is at work on."""
    path = messages_path(await service.client.create_conversation(message="Hello"))
    values: dict[str, Any] = {"status": "in_progress", "completed_at": None, "process_id": process_id}
    async with service.database.write_session() as session:
        await session.execute(update(MessageRow).where(MessageRow.role == "assistant").values(values))
    return path


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
async def test_a_wall_clock_that_is_set_interrupts_nothing(
    sqlite_pair: tuple[Service, Service], provider: FakeProvider, wall_clock: WallClock, seconds: float
) -> None:
    """On SQLite neither the process itself nor another one takes a turn for a dead process's when the clock is set."""
    gate = asyncio.Event()
    one, other = sqlite_pair
    path, post = await at_work(one, provider, gate)
    wall_clock.seconds = seconds
    for service in sqlite_pair:
        await recover(service)
    await recover(one)
    assert await other.database.read(conversations.findings, "sqlite") == []
    gate.set()
    assert (await post).json()["assistant_reply"] == "Half and half"
    assert (await other.client.get_json(path))[1]["status"] == "completed"


async def test_a_wall_clock_that_is_set_back_keeps_no_dead_lease(
    sqlite_pair: tuple[Service, Service], wall_clock: WallClock
) -> None:
    """On SQLite a dead process's turn is ended when its lease is over, also when the clock was set back meanwhile."""
    one, _ = sqlite_pair
    process_id = new_id()
    await one.database.write(process_leases.heartbeat, process_id, 60_000)
    path = await left_by(one, process_id)
    await recover(one)
    assert (await one.client.get_json(path))[1]["status"] == "in_progress"
    await one.database.write(process_leases.heartbeat, process_id, 0)
    wall_clock.seconds = -HOUR
    await recover(one)
    assert (await one.client.get_json(path))[1]["status"] == "interrupted"


async def test_a_lease_from_before_the_host_s_start_is_none(sqlite_template: SqliteTemplate) -> None:
    """SQLite's clock starts again with its host: what was left before that is recovered by the next start."""
    with sqlite_template.copy() as url:
        async with serving(settings(database_url=url)) as service:
            process_id = new_id()
            await service.database.write(process_leases.heartbeat, process_id, 10**12)
            path = await left_by(service, process_id)
            await recover(service)
            assert (await service.client.get_json(path))[1]["status"] == "in_progress"
        async with serving(settings(database_url=url)) as service:
            await recover(service)
            assert (await service.client.get_json(path))[1]["status"] == "interrupted"


async def test_leases_that_all_end_at_once_interrupt_nothing(database_url: str, provider: FakeProvider) -> None:
    """When the database's clock jumps, or all hosts stood still, whoever renews first does not judge the others."""
    gate = asyncio.Event()
    async with pair_of(database_url, provider) as (one, other):
        path, post = await at_work(one, provider, gate)
        async with other.database.write_session() as session:
            await session.execute(update(ProcessRow).values(expires_at=ProcessRow.expires_at - int(HOUR * 1000)))
        for service in (one, other):
            await recover(service)
        await other.services.process.lease.renew()
        await pollers_of(other)["turn recovery"].poll()
        gate.set()
        assert (await post).json()["assistant_reply"] == "Half and half"
        assert (await other.client.get_json(path))[1]["status"] == "completed"
