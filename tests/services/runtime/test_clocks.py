"""Clocks that jump while processes serve end no lease."""

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
from tests.support.service import Service, provider_settings, serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR = 3600.0


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The wall clock of this process and of all SQLite connections."""
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
    """Start two services on one database."""
    configured = provider_settings(provider, database_url=database_url)
    async with serving(configured) as one, serving(configured) as other:
        yield one, other


async def start_reply(service: Service, provider: FakeProvider, gate: asyncio.Event) -> tuple[str, asyncio.Task[Any]]:
    """Start a reply that waits for the gate; return the path of the messages and the waiting post."""
    provider.reply("Half ", gate, "and half")
    conversation = await service.client.create_conversation()
    post = asyncio.create_task(service.client.post_message(conversation, "Hello"))
    await provider.wait_calls(1)
    return messages_path(conversation), post


async def running_turn_of(service: Service, process_id: str) -> str:
    """Create a conversation whose reply another process generates, and return the path of its messages."""
    path = messages_path(await service.client.create_conversation(message="Hello"))
    values: dict[str, Any] = {"status": "in_progress", "completed_at": None, "process_id": process_id}
    async with service.database.write_session() as session:
        await session.execute(update(MessageRow).where(MessageRow.role == "assistant").values(values))
    return path


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
async def test_changed_wall_clock_interrupts_nothing(
    sqlite_pair: tuple[Service, Service], provider: FakeProvider, wall_clock: WallClock, seconds: float
) -> None:
    """On SQLite no process takes a turn for a dead one's when the wall clock is set."""
    gate = asyncio.Event()
    one, other = sqlite_pair
    path, post = await start_reply(one, provider, gate)
    wall_clock.seconds = seconds
    for service in sqlite_pair:
        await recover(service)
    await recover(one)
    assert await other.database.read(conversations.findings, "sqlite") == []
    gate.set()
    assert (await post).json()["assistant_reply"] == "Half and half"
    assert (await other.client.get_json(path))[1]["status"] == "completed"


async def test_wall_clock_set_back_extends_no_lease(
    sqlite_pair: tuple[Service, Service], wall_clock: WallClock
) -> None:
    """On SQLite a dead process's turn is interrupted when its lease expires, wherever the clock is."""
    one, _ = sqlite_pair
    process_id = new_id()
    await one.database.write(process_leases.heartbeat, process_id, 60_000)
    path = await running_turn_of(one, process_id)
    await recover(one)
    assert (await one.client.get_json(path))[1]["status"] == "in_progress"
    await one.database.write(process_leases.heartbeat, process_id, 0)
    wall_clock.seconds = -HOUR
    await recover(one)
    assert (await one.client.get_json(path))[1]["status"] == "interrupted"


async def test_lease_from_before_boot_is_deleted(sqlite_template: SqliteTemplate) -> None:
    """SQLite's clock restarts with its host, so the next start deletes leases from before."""
    with sqlite_template.copy() as url:
        async with serving(settings(database_url=url)) as service:
            process_id = new_id()
            await service.database.write(process_leases.heartbeat, process_id, 10**12)
            path = await running_turn_of(service, process_id)
            await recover(service)
            assert (await service.client.get_json(path))[1]["status"] == "in_progress"
        async with serving(settings(database_url=url)) as service:
            await recover(service)
            assert (await service.client.get_json(path))[1]["status"] == "interrupted"


async def test_leases_expired_together(database_url: str, provider: FakeProvider) -> None:
    """When the database's clock jumps, the first process to renew its lease gives the others time."""
    gate = asyncio.Event()
    async with pair_of(database_url, provider) as (one, other):
        path, post = await start_reply(one, provider, gate)
        async with other.database.write_session() as session:
            await session.execute(update(ProcessRow).values(expires_at=ProcessRow.expires_at - int(HOUR * 1000)))
        for service in (one, other):
            await recover(service)
        await other.services.process.lease.renew()
        await pollers_of(other)["turn recovery"].poll()
        gate.set()
        assert (await post).json()["assistant_reply"] == "Half and half"
        assert (await other.client.get_json(path))[1]["status"] == "completed"
