"""What tests of background work look at and bring about, behind a service's back."""

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
from tests.support.parley_client import messages_path
from tests.support.provider import FakeProvider
from tests.support.service import Service

WAIT_SECONDS = 30
"""Far more than anything here takes, since whatever else runs on the machine runs too."""

ERRORS = (RuntimeError("a bug"), KeyError("name"), DatabaseUnavailable())
"""What a round or a transaction may fail with: faults of ours, and an outage."""


def supervisor_of(service: Service) -> Supervisor:
    return service.services.supervisor


def pollers_of(service: Service) -> dict[str, Poller]:
    """The pollers of a service, by name."""
    return {poller.name: poller for poller in service.services.pollers}


def wake(service: Service) -> None:
    """Lets all pollers begin a round now."""
    for poller in pollers_of(service).values():
        poller.wakeup.set()


def lease_of(service: Service) -> ProcessLease:
    return service.services.process.lease


async def recover(service: Service) -> None:
    """Has a service take up now what dead processes have left of turns and documents, however new it is itself."""
    lease_of(service).begin_grace_period(0)
    await TurnRecovery(service.database, service.services.turns.executor, lease_of(service), Timings()).recover()
    await service.database.write(ingestion.requeue_stalled, service.services.process.id)


async def until(is_so: Callable[[], Any]) -> None:
    """Waits until something is as wanted; nothing tells but looking."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so():  # noqa: ASYNC110  see above
            await asyncio.sleep(0.005)


async def until_ready(service: Service, status: int = 200) -> httpx2.Response:
    """What `/readyz` answers, once it has a status."""
    async with asyncio.timeout(WAIT_SECONDS):
        while (answer := await service.client.get("/readyz")).status_code != status:  # noqa: ASYNC110  see above
            await asyncio.sleep(0.005)
        return answer


async def half(service: Service, provider: FakeProvider, gate: asyncio.Event) -> tuple[str, asyncio.Task[Any]]:
    """The path of a conversation's messages, and the post of a turn whose reply is half made before the gate."""
    provider.reply("Half ", gate, "and half")
    made = await service.client.create_conversation()
    calls = len(provider.calls)
    post = asyncio.create_task(service.client.post_message(made, "Hello"))
    await provider.wait_calls(calls + 1)
    runs = service.services.turns.executor.runs
    await until(lambda: any(run.stream.length for run in runs.values() if run.reply.conversation_id in str(made)))
    return messages_path(made), post


async def lease_over(service: Service) -> None:
    """Ends a service's lease, which its next heartbeat takes again."""
    await lease_of(service).release()
