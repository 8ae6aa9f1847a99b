"""A process that cannot reach the database keeps its turns until its lease expires."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import update

from app.db import process_leases
from app.db.models import ProcessRow
from app.errors import DatabaseUnavailable
from tests.support.background import (
    end_lease,
    lease_of,
    pollers_of,
    recover,
    start_half_reply,
)
from tests.support.faults import Outage
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.service import HASTY, Service, provider_settings, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@contextlib.asynccontextmanager
async def pair_of(database_url: str, provider: FakeProvider) -> AsyncIterator[tuple[Service, Service]]:
    """Start two services on one database."""
    configured = provider_settings(provider, database_url=database_url)
    async with serving(configured, HASTY) as one, serving(configured, HASTY) as other:
        yield one, other


async def test_short_outage_keeps_turns(database_url: str, provider: FakeProvider) -> None:
    """While its lease lasts, a process that cannot write keeps its turns."""
    gate = asyncio.Event()
    async with pair_of(database_url, provider) as (one, other):
        conversation, post = await start_half_reply(one, provider, gate)
        with Outage(one.database, DatabaseUnavailable()) as outage:
            await outage.failed.wait()
            gate.set()
            await provider.calls[-1].finished.wait()
            await recover(other)
        assert (await post).json()["assistant_reply"] == "Half and half"
        assert (await other.client.get_messages(conversation))[1]["status"] == "completed"


async def test_long_outage_hands_turns_over(database_url: str, provider: FakeProvider) -> None:
    """After its lease expired its running turn is interrupted and its queued one adopted; clients see both."""
    gate = asyncio.Event()
    async with pair_of(database_url, provider) as (one, other):
        conversation, post = await start_half_reply(one, provider, gate)
        waiting = asyncio.create_task(one.client.post_message(conversation, "Second"))
        await other.client.wait_for_count(conversation, 4)
        with Outage(one.database, DatabaseUnavailable()):
            await lease_of(one).release()
            async with other.database.write_session() as session:
                mine = ProcessRow.process_id == one.services.process.id
                await session.execute(update(ProcessRow).where(mine).values(expires_at=1))
            await recover(other)
        gate.set()
        expect_problem(await post, 502, "turn-interrupted")
        assert (await waiting).json()["assistant_reply"] == "Echo: Second"
        assert [each["status"] for each in (await one.client.get_messages(conversation))[1::2]] == [
            "interrupted",
            "completed",
        ]


async def test_start_in_outage_interrupts_nothing(database_url: str, provider: FakeProvider) -> None:
    """A new process gives others the time to renew leases that expired in the outage."""
    gate = asyncio.Event()
    configured = provider_settings(provider, database_url=database_url)
    async with serving(configured, HASTY) as one:
        conversation, post = await start_half_reply(one, provider, gate)
        with Outage(one.database, DatabaseUnavailable(), process_leases.heartbeat):
            await end_lease(one)
            async with serving(configured, HASTY) as other:
                await pollers_of(other)["turn recovery"].poll()
                assert (await other.client.get_messages(conversation))[1]["status"] == "in_progress"
        gate.set()
        assert (await post).json()["assistant_reply"] == "Half and half"
