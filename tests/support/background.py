"""Background work of a running service: its pollers, its lease and its recovery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2

from app.db import ingestion
from app.errors import DatabaseUnavailable
from app.services.runtime.polling import Poller, Supervisor
from app.services.runtime.process_lease import ProcessLease
from app.services.runtime.timings import Timings
from app.services.turns.recovery import TurnRecovery
from tests.support.provider import FakeProvider
from tests.support.service import Service

WAIT_SECONDS = 30
"""Far more than anything here takes on an idle machine."""

ERRORS = (RuntimeError("a bug"), KeyError("name"), DatabaseUnavailable())
"""Errors of rounds and transactions: internal ones, and an outage."""


def supervisor_of(service: Service) -> Supervisor:
    return service.services.supervisor


def pollers_of(service: Service) -> dict[str, Poller]:
    """Return the pollers of a service by name."""
    return {poller.name: poller for poller in service.services.pollers}


def wake(service: Service) -> None:
    """Start a round of all pollers at once."""
    for poller in pollers_of(service).values():
        poller.wakeup.set()


def lease_of(service: Service) -> ProcessLease:
    return service.services.process.lease


async def recover(service: Service) -> None:
    """Recover the turns and documents of dead processes now, without a grace period."""
    lease_of(service).begin_grace_period(0)
    await TurnRecovery(service.database, service.services.turns.executor, lease_of(service), Timings()).recover()
    await service.database.write(ingestion.requeue_stalled, service.services.process.id)


async def wait_for(is_so: Callable[[], Any]) -> None:
    """Poll until a condition holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so():  # noqa: ASYNC110  see above
            await asyncio.sleep(0.005)


async def wait_until_ready(service: Service, status: int = 200) -> httpx2.Response:
    """Poll `/readyz` until it has a status, and return the response."""
    async with asyncio.timeout(WAIT_SECONDS):
        while (answer := await service.client.get("/readyz")).status_code != status:  # noqa: ASYNC110  see above
            await asyncio.sleep(0.005)
        return answer


async def start_half_reply(
    service: Service, provider: FakeProvider, gate: asyncio.Event
) -> tuple[dict[str, Any], asyncio.Task[Any]]:
    """Start a reply that waits for the gate after its first text; return its conversation and the waiting post."""
    provider.reply("Half ", gate, "and half")
    conversation = await service.client.create_conversation()
    calls = len(provider.calls)
    post = asyncio.create_task(service.client.post_message(conversation, "Hello"))
    await provider.wait_calls(calls + 1)
    runs = service.services.turns.executor.runs
    conversation_id = conversation["conversation_id"]
    await wait_for(
        lambda: any(run.stream.length for run in runs.values() if run.reply.conversation_id == conversation_id)
    )
    return conversation, post


async def end_lease(service: Service) -> None:
    """End a service's lease, until its next heartbeat."""
    await lease_of(service).release()
