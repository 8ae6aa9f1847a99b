"""Pollers and turns go on after errors of any kind."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from app.db import process_leases
from app.db.models import MessageRow
from app.errors import DatabaseUnavailable
from app.services.runtime.timings import Timings
from app.services.turns.executor import adopt
from tests.support.background import (
    ERRORS,
    WAIT_SECONDS,
    end_lease,
    pollers_of,
    recover,
    start_half_reply,
    supervisor_of,
    wait_for,
    wait_until_ready,
    wake,
)
from tests.support.faults import Outage
from tests.support.parley_client import messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.service import HASTY, Service, serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
HANGING_SECONDS = 2.0
"""After which a round is called hanging: others that are delayed by whatever else runs are not."""
named = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


@pytest.fixture(scope="module")
def timings() -> Timings:
    """Retries that come soon."""
    return HASTY


@named
async def test_poller_survives_failed_round(
    openai_service: Service, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any error in a round each poller runs on and finishes the next round."""
    supervisor, pollers = supervisor_of(openai_service), pollers_of(openai_service)
    assert len(pollers) == 12
    rounds: dict[str, list[str]] = {name: [] for name in pollers}

    def failing_once(name: str, poll: Callable[[], Any]) -> Callable[[], Any]:
        async def polled() -> None:
            rounds[name].append("begun")
            if len(rounds[name]) == 1:
                raise error
            await poll()
            rounds[name].append("finished")

        return polled

    for name, poller in pollers.items():
        monkeypatch.setattr(poller, "poll", failing_once(name, poller.poll))
        poller.wakeup.set()
    await wait_for(lambda: all("finished" in seen for seen in rounds.values()))
    assert all(seen[:2] == ["begun", "begun"] for seen in rounds.values())
    await wait_for(lambda: not supervisor.unfinished())
    assert supervisor.not_running() == []
    assert (await openai_service.client.get("/readyz")).status_code == 200


@named
async def test_work_resumes_after_outage(openai_service: Service, provider: FakeProvider, error: Exception) -> None:
    """After a database that failed at everything, running and queued turns end well and all pollers run."""
    supervisor, gate = supervisor_of(openai_service), asyncio.Event()
    conversation, post = await start_half_reply(openai_service, provider, gate)
    waiting = asyncio.create_task(openai_service.client.post_message(conversation, "Second"))
    await openai_service.client.wait_for_count(conversation, 4)
    with Outage(openai_service.database, error):
        wake(openai_service)
        idle = {"remote replies", "document feed", "checkpoints"}  # which may have nothing to do
        if openai_service.database.kind == "sqlite":
            idle.add("vector indexes")
        await wait_for(lambda: {*supervisor.unfinished()} >= {*pollers_of(openai_service)} - idle)
        gate.set()
        await provider.calls[-1].finished.wait()
        assert not post.done()
    assert (await post).json()["assistant_reply"] == "Half and half"
    assert (await waiting).json()["assistant_reply"] == "Echo: Second"
    assert [each["status"] for each in await openai_service.client.get_messages(conversation)] == ["completed"] * 4
    await wait_for(lambda: not supervisor.unfinished())
    assert (await openai_service.client.get("/readyz")).status_code == 200
    await check_checkpoints_and_cancellation(openai_service, provider)


async def check_checkpoints_and_cancellation(service: Service, provider: FakeProvider) -> None:
    """Check that a running reply is saved, and cancelled by a flag in its row."""
    conversation, post = await start_half_reply(service, provider, asyncio.Event())

    async def stored() -> MessageRow:
        async with service.database.read_session() as session:
            found: MessageRow = await session.scalar(select(MessageRow).where(MessageRow.status == "in_progress"))
        return found

    async with asyncio.timeout(WAIT_SECONDS):
        while (await stored()).content != "Half ":  # noqa: ASYNC110  see above
            await asyncio.sleep(0.01)
    async with service.database.write_session() as session:
        await session.execute(update(MessageRow).where(MessageRow.content == "Half ").values(cancel_requested_at=1))
    assert (await post).json()["assistant_reply"] == "Half "
    assert (await service.client.get_messages(conversation))[1]["status"] == "cancelled"


async def test_expired_lease_is_not_ready(openai_service: Service) -> None:
    """`/readyz` is 503 while the process has no lease, although the database can be read."""
    with Outage(openai_service.database, DatabaseUnavailable(), process_leases.heartbeat):
        await end_lease(openai_service)
        expect_problem(await wait_until_ready(openai_service, 503), 503, "database-unavailable")
    wake(openai_service)
    await wait_until_ready(openai_service)


async def test_process_without_lease_refuses_turns(openai_service: Service) -> None:
    """A turn is refused and not stored until the lease is renewed."""
    conversation = await openai_service.client.create_conversation()
    with Outage(openai_service.database, DatabaseUnavailable(), process_leases.heartbeat):
        await end_lease(openai_service)
        expect_problem(await openai_service.client.post_message(conversation, "Hello"), 503, "database-unavailable")
        assert await openai_service.client.get_json(messages_path(conversation)) == []
    wake(openai_service)
    await wait_until_ready(openai_service)
    assert (await openai_service.client.post_message(conversation, "Hello")).status_code == 201


async def test_ended_poller_is_not_ready(openai_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/readyz` is 503 and names a poller whose task has ended, until it is restarted."""

    async def cancel_own_task() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    checkpoints = pollers_of(openai_service)["checkpoints"]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "poll", cancel_own_task)
        checkpoints.wakeup.set()
        answer = expect_problem(await wait_until_ready(openai_service, 503), 503, "unavailable")
        assert "checkpoints" in answer["detail"]
    await wait_until_ready(openai_service)


async def test_hanging_poller_is_not_ready(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/readyz` is 503 and names a poller whose rounds do not end, until one does."""
    timings = dataclasses.replace(HASTY, longest_round=HANGING_SECONDS)
    async with serving(settings(database_url=database_url), timings) as service:
        checkpoints = pollers_of(service)["checkpoints"]
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "poll", asyncio.Event().wait)
            async with asyncio.timeout(WAIT_SECONDS):
                while "checkpoints" not in (await service.client.get("/readyz")).text:  # noqa: ASYNC110  see above
                    await asyncio.sleep(0.01)
            expect_problem(await service.client.get("/readyz"), 503, "unavailable")
        checkpoints.wakeup.set()
        await wait_until_ready(service)


async def test_unreadable_turn_blocks_no_other(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """A dead process's turn with a record of another release is interrupted like others, without usage."""
    paths = [messages_path(await service.client.create_conversation(message="Hello")) for _ in range(2)]
    strange = {"provider": "scripted", "model": "echo", "context": {"sent": [], "unheard_of": 1}}
    values: dict[str, Any] = {"status": "in_progress", "completed_at": None, "process_id": None, "content": "Half "}
    async with service.database.write_session() as session:
        replies = update(MessageRow).where(MessageRow.role == "assistant")
        await session.execute(replies.values(values))
        first = MessageRow.conversation_id == paths[0].split("/")[2]
        await session.execute(replies.where(first).values(context=strange))
    await recover(service)
    for path in paths:
        assert (await service.client.get_json(path))[1]["status"] == "interrupted"
    assert "cannot be read" in caplog.text
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


async def test_failed_adoption_takes_no_capacity(service: Service) -> None:
    """A queued turn that could not be adopted is adopted in a later round, and no capacity is lost."""
    path = messages_path(await service.client.create_conversation(message="Hello"))
    values: dict[str, Any] = {"status": "queued", "completed_at": None, "process_id": None, "content": ""}
    async with service.database.write_session() as session:
        await session.execute(update(MessageRow).where(MessageRow.role == "assistant").values(values))
    with Outage(service.database, RuntimeError("a bug"), adopt):
        await recover(service)
    assert service.services.turns.executor.capacity.is_idle
    await recover(service)
    reply = (await service.client.get_json(path))[1]
    assert (await service.client.get_events(f"{path}/{reply['message_id']}/events"))[-1].name == "message.completed"
