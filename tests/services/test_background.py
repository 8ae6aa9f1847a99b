"""Background work and turns under trouble of every kind: nothing ends for good, and no reply is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from app.db import leases, turns
from app.db.engine import LEASE_MS
from app.db.models import MessageRow, ProcessRow
from app.errors import DatabaseUnavailable
from app.services import backoff, delays, polling
from app.services.leases import Lease
from app.services.polling import Poller, Supervisor
from app.services.recovery import Recovery
from tests.api.talk import got, live_events, make, messages_of, problem_of, say, told, until_accepted
from tests.support.faults import Outage
from tests.support.provider import FakeProvider
from tests.support.service import Service, asking, serving

ERRORS = [RuntimeError("a bug"), KeyError("name"), DatabaseUnavailable()]
WAIT_SECONDS = 30
"""Far more than anything here takes, since whatever else runs on the machine runs too."""

named = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come sooner than they would."""
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(backoff, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(polling, "RETRY_SECONDS", 0.05)


def supervisor_of(service: Service) -> Supervisor:
    return service.services.health._supervisor


def pollers_of(service: Service) -> dict[str, Poller]:
    """The pollers of a service, by name."""
    return {poller.name: poller for poller in supervisor_of(service)._tasks}


def wake(service: Service) -> None:
    """Lets all pollers begin a round now."""
    for poller in pollers_of(service).values():
        poller.wakeup.set()


def lease_of(service: Service) -> Lease:
    return service.services.health._lease


async def recover(service: Service) -> None:
    """Has a service end or adopt the turns of dead processes now."""
    await Recovery(service.database, service.services.turns.running, lease_of(service)).sweep()


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
    made = await make(service)
    calls = len(provider.calls)
    post = asyncio.create_task(say(service, made, "Hello"))
    await provider.wait_calls(calls + 1)
    running = service.services.turns.running.replies
    await until(lambda: any(reply.length for reply in running.values() if reply.message.conversation_id in str(made)))
    return messages_of(made), post


@named
async def test_every_poller_survives_a_round_that_fails(openai_service: Service, error: Exception) -> None:
    """Whatever a round of any poller raises, that poller is alive afterwards and finishes a round."""
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
        poller.poll = failing_once(name, poller.poll)
        poller.wakeup.set()
    await until(lambda: all("finished" in seen for seen in rounds.values()))
    assert all(seen[:2] == ["begun", "begun"] for seen in rounds.values())
    await until(lambda: not supervisor._unfinished_since.keys() & {*pollers.values()})
    assert not any(task.done() for task in supervisor._tasks.values())
    assert (await openai_service.client.get("/readyz")).status_code == 200


@named
async def test_turns_and_background_work_go_on_after_trouble(
    openai_service: Service, provider: FakeProvider, error: Exception
) -> None:
    """A database that fails at everything, in any way: what was running and waiting ends well, and all work goes on."""
    supervisor, gate = supervisor_of(openai_service), asyncio.Event()
    path, post = await half(openai_service, provider, gate)
    waiting = asyncio.create_task(openai_service.client.post(path, json={"message": "Second"}))
    await until_accepted(openai_service, {"conversation_id": path.split("/")[2]}, 4)
    with Outage(openai_service.database, error):
        wake(openai_service)
        idle = {"following of turns", "following of documents"}  # which have nothing to look at
        if openai_service.database.kind == "sqlite":
            idle.add("indexing")
        await until(
            lambda: {each.name for each in supervisor._unfinished_since} >= {*pollers_of(openai_service)} - idle
        )
        gate.set()
        await provider.calls[-1].finished.wait()
        assert not post.done()
    assert (await post).json()["assistant_reply"] == "Half and half"
    assert (await waiting).json()["assistant_reply"] == "Echo: Second"
    assert [each["status"] for each in await got(openai_service, path)] == ["completed"] * 4
    await until(lambda: not supervisor._unfinished_since)
    assert (await openai_service.client.get("/readyz")).status_code == 200
    await stopping_and_saving_go_on(openai_service, provider)


async def stopping_and_saving_go_on(service: Service, provider: FakeProvider) -> None:
    """Has a reply saved by the checkpoints, and stopped by a flag that is set behind the service's back."""
    path, post = await half(service, provider, asyncio.Event())

    async def stored() -> MessageRow:
        async with service.database.read() as session:
            found: MessageRow = await session.scalar(select(MessageRow).where(MessageRow.status == "in_progress"))
        return found

    async with asyncio.timeout(WAIT_SECONDS):
        while (await stored()).content != "Half ":  # noqa: ASYNC110  see above
            await asyncio.sleep(0.01)
    async with service.database.write() as session:
        await session.execute(update(MessageRow).where(MessageRow.content == "Half ").values(cancel_requested_at=1))
    assert (await post).json()["assistant_reply"] == "Half "
    assert (await got(service, path))[1]["status"] == "cancelled"


@named
async def test_a_reply_that_was_made_in_an_outage_longer_than_the_lease_is_stored(
    openai_service: Service, provider: FakeProvider, error: Exception
) -> None:
    """Where nobody else has ended the turn meanwhile, its process stores what was paid for, with its status."""
    gate = asyncio.Event()
    path, post = await half(openai_service, provider, gate)
    with Outage(openai_service.database, error, leases.heartbeat, turns.settle, turns.checkpoint) as outage:
        await lease_over(openai_service)
        wake(openai_service)
        gate.set()
        await provider.calls[-1].finished.wait()
        await outage.failed.wait()
        await recover(openai_service)
        problem_of(await until_ready(openai_service, 503), 503, "database-unavailable")
        assert not post.done()
    assert (await post).json()["assistant_reply"] == "Half and half"
    assert (await got(openai_service, path))[1]["status"] == "completed"
    await until_ready(openai_service)
    assert not lease_of(openai_service).may_judge


async def lease_over(service: Service) -> None:
    """Lets a service's lease run out, by its own clock and in its row."""
    lease_of(service)._renewed_at -= LEASE_MS / 1000
    async with service.database.write() as session:
        await session.execute(
            update(ProcessRow)
            .where(ProcessRow.process_id == service.services.turns._process_id)
            .values(expires_at=ProcessRow.expires_at - LEASE_MS)
        )


async def test_the_lease_is_not_held_for_ready(openai_service: Service) -> None:
    """`/readyz` is 503 while the process's lease is over, although the database can be read, and 200 once renewed."""
    with Outage(openai_service.database, DatabaseUnavailable(), leases.heartbeat):
        await lease_over(openai_service)
        problem_of(await until_ready(openai_service, 503), 503, "database-unavailable")
    wake(openai_service)
    await until_ready(openai_service)


async def test_a_process_without_a_lease_takes_no_turn(openai_service: Service) -> None:
    """A turn is refused, and not stored, while others would end it at once; it is taken when the lease is renewed."""
    made = await make(openai_service)
    with Outage(openai_service.database, DatabaseUnavailable(), leases.heartbeat):
        await lease_over(openai_service)
        problem_of(await say(openai_service, made, "Hello"), 503, "database-unavailable")
        assert await got(openai_service, messages_of(made)) == []
    wake(openai_service)
    await until_ready(openai_service)
    assert (await say(openai_service, made, "Hello")).status_code == 201


async def test_a_poller_that_does_not_run_is_seen(openai_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/readyz` is 503 and names it while a poller's task has ended, or a round hangs; then it is well again."""
    pollers, tasks = pollers_of(openai_service), supervisor_of(openai_service)._tasks
    tasks[pollers["checkpoints"]].cancel()
    answer = problem_of(await until_ready(openai_service, 503), 503, "unavailable")
    assert "checkpoints" in answer["detail"]
    await until_ready(openai_service)
    hanging, poll = asyncio.Event(), pollers["checkpoints"].poll

    async def hang() -> None:
        hanging.set()
        await asyncio.Event().wait()

    pollers["checkpoints"].poll = hang
    await hanging.wait()
    monkeypatch.setattr(polling, "ROUND_SECONDS", 0)
    answer = problem_of(await until_ready(openai_service, 503), 503, "unavailable")
    assert "checkpoints" in answer["detail"]
    pollers["checkpoints"].poll = poll
    monkeypatch.setattr(polling, "ROUND_SECONDS", 30)
    tasks[pollers["checkpoints"]].cancel()
    await until_ready(openai_service)


CODES = {DatabaseUnavailable: (503, "database-unavailable"), RuntimeError: (500, "internal-error")}


@pytest.mark.parametrize("error", [ERRORS[0], ERRORS[2]], ids=lambda error: type(error).__name__)
async def test_a_post_whose_reply_cannot_be_stored_is_answered(
    openai_service: Service, provider: FakeProvider, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a time, and is told which reply to read later; a stream waits on, and sees the end."""
    monkeypatch.setattr(delays, "CLIENT_WAIT_SECONDS", 0)
    gate = asyncio.Event()
    path, post = await half(openai_service, provider, gate)
    reply = (await got(openai_service, path))[1]
    where = f"{path}/{reply['message_id']}"
    async with openai_service.client.stream("GET", f"{where}/events") as response:
        events = live_events(response)
        assert (await anext(events)).name == "turn.started"
        with Outage(openai_service.database, error, turns.settle):
            gate.set()
            answer = problem_of(await post, *CODES[type(error)])
            assert answer["message_id"] == reply["message_id"]
        seen = [event async for event in events]
    assert "".join(event.data.get("delta", "") for event in seen) == "Half and half"
    assert seen[-1].name == "message.completed"
    assert (await got(openai_service, where))["content"] == "Half and half"


@pytest.mark.parametrize("failing", ["start", "history"])
async def test_a_post_whose_turn_cannot_start_is_answered(
    openai_service: Service, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A post that waits in line is told which reply to read later, and the turn is run when that is possible."""
    monkeypatch.setattr(delays, "CLIENT_WAIT_SECONDS", 0)
    gate = asyncio.Event()
    path, post = await half(openai_service, provider, gate)
    waiting = asyncio.create_task(openai_service.client.post(path, json={"message": "Second"}))
    await until_accepted(openai_service, {"conversation_id": path.split("/")[2]}, 4)
    with Outage(openai_service.database, DatabaseUnavailable(), getattr(turns, failing)):
        gate.set()
        assert (await post).status_code == 201
        answer = problem_of(await waiting, 503, "database-unavailable")
    where = f"{path}/{answer['message_id']}"
    async with openai_service.client.stream("GET", f"{where}/events") as response:
        assert [event async for event in live_events(response)][-1].name == "message.completed"
    assert (await got(openai_service, where))["content"] == "Echo: Second"


async def test_a_reply_that_cannot_be_followed_is_answered(
    database_url: str, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry that attaches to another process's turn is told which reply to read later."""
    monkeypatch.setattr(delays, "CLIENT_WAIT_SECONDS", 0)
    gate, headers = asyncio.Event(), {"Idempotency-Key": "k"}
    configured = asking(provider, database_url=database_url)
    async with serving(configured) as one, serving(configured) as other:
        provider.reply("Half ", gate, "and half")
        path = messages_of(await make(one))
        post = asyncio.create_task(one.client.post(path, json={"message": "Hello"}, headers=headers))
        await provider.wait_calls(1)
        with Outage(other.database, DatabaseUnavailable(), turns.progress):
            retried = await other.client.post(path, json={"message": "Hello"}, headers=headers)
            problem_of(retried, 503, "database-unavailable")
        gate.set()
        assert (await post).status_code == 201
        again = await other.client.post(path, json={"message": "Hello"}, headers=headers)
        assert again.json()["assistant_reply"] == "Half and half"


async def test_nobody_is_told_draining_by_a_process_that_is_not(
    openai_service: Service, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """A reply that a fault of ours keeps from being stored is retried with the fault in the log, and is not lost."""
    gate = asyncio.Event()
    path, post = await half(openai_service, provider, gate)
    with Outage(openai_service.database, ZeroDivisionError(), turns.settle):
        gate.set()
        await until(lambda: sum(record.exc_info is not None for record in caplog.records) >= 3)
    answer = await post
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Half and half")
    assert (await got(openai_service, path))[1]["usage"] is not None


async def test_what_readers_have_seen_is_stored_with_a_turn_that_breaks(openai_service: Service) -> None:
    """A fault of ours after some text ends the turn as failed, with that text."""
    running = openai_service.services.turns.running

    def broken(_call: object, reply: Any, _history: object) -> Any:
        async def generate() -> None:
            reply.append("Half ")
            raise RuntimeError("a bug")

        return generate()

    running._answer = broken  # type: ignore[method-assign, assignment]
    made = await make(openai_service)
    problem_of(await say(openai_service, made, "Hello"), 500, "internal-error")
    reply = (await got(openai_service, messages_of(made)))[1]
    assert (reply["status"], reply["content"]) == ("failed", "Half ")


async def test_a_follow_up_that_breaks_leaves_the_turn_as_it_ended(
    openai_service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """What is done behind turns may fail: the post is answered, and the next follow-up is done."""
    running, called = openai_service.services.turns.running, []

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    before = list(running.on_ended)
    running.on_ended[:] = [broken, lambda reply, _: called.append(reply.message.status)]
    assert (await told(openai_service, await make(openai_service), "Hello"))["assistant_reply"] == "Echo: Hello"
    running.on_ended[:] = before
    assert called == ["completed"]
    assert "what follows a turn broke" in caplog.text


@contextlib.asynccontextmanager
async def pair_of(database_url: str, provider: FakeProvider) -> AsyncIterator[tuple[Service, Service]]:
    """Two services on one database."""
    configured = asking(provider, database_url=database_url)
    async with serving(configured) as one, serving(configured) as other:
        yield one, other


async def test_short_trouble_of_one_process_costs_it_no_turn(database_url: str, provider: FakeProvider) -> None:
    """While its lease runs, a process that cannot write keeps its turns: another one that is well ends none of them."""
    gate = asyncio.Event()
    async with pair_of(database_url, provider) as (one, other):
        path, post = await half(one, provider, gate)
        with Outage(one.database, DatabaseUnavailable()) as outage:
            await outage.failed.wait()
            gate.set()
            await provider.calls[-1].finished.wait()
            await recover(other)
        assert (await post).json()["assistant_reply"] == "Half and half"
        assert (await got(other, path))[1]["status"] == "completed"


async def test_long_trouble_of_one_process_hands_its_turns_over(database_url: str, provider: FakeProvider) -> None:
    """Once its lease is over its turn at work is interrupted, its waiting one run elsewhere; its clients see both."""
    gate = asyncio.Event()
    async with pair_of(database_url, provider) as (one, other):
        path, post = await half(one, provider, gate)
        waiting = asyncio.create_task(one.client.post(path, json={"message": "Second"}))
        await until_accepted(other, {"conversation_id": path.split("/")[2]}, 4)
        with Outage(one.database, DatabaseUnavailable()):
            lease_of(one)._renewed_at -= LEASE_MS / 1000
            async with other.database.write() as session:
                mine = ProcessRow.process_id == one.services.turns._process_id
                await session.execute(update(ProcessRow).where(mine).values(expires_at=1))
            await recover(other)
        gate.set()
        problem_of(await post, 502, "turn-interrupted")
        assert (await waiting).json()["assistant_reply"] == "Echo: Second"
        assert [each["status"] for each in (await got(one, path))[1::2]] == ["interrupted", "completed"]


async def test_a_turn_that_cannot_be_read_holds_up_no_other(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """A dead process's turn with a context of another release is ended like the others, without its cost."""
    paths = [messages_of(await make(service, message="Hello")) for _ in range(2)]
    strange = {"provider": "scripted", "model": "echo", "context": {"sent": [], "unheard_of": 1}}
    values: dict[str, Any] = {"status": "in_progress", "completed_at": None, "process_id": None, "content": "Half "}
    async with service.database.write() as session:
        replies = update(MessageRow).where(MessageRow.role == "assistant")
        await session.execute(replies.values(values))
        first = MessageRow.conversation_id == paths[0].split("/")[2]
        await session.execute(replies.where(first).values(context=strange))
    await recover(service)
    for path in paths:
        assert (await got(service, path))[1]["status"] == "interrupted"
    assert "cannot be read" in caplog.text
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


async def test_an_adoption_that_breaks_takes_no_place(service: Service) -> None:
    """A waiting turn that could not be adopted is adopted by a later look, and no slot or place is lost."""
    path = messages_of(await make(service, message="Hello"))
    values: dict[str, Any] = {"status": "queued", "completed_at": None, "process_id": None, "content": ""}
    async with service.database.write() as session:
        await session.execute(update(MessageRow).where(MessageRow.role == "assistant").values(values))
    with Outage(service.database, RuntimeError("a bug"), turns.adopt):
        await recover(service)
    slots = service.services.turns.running._slots
    assert (slots._at_work.total(), slots._waiting, slots._undecided) == (0, 0, 0)
    await recover(service)
    async with service.client.stream("GET", f"{path}/{(await got(service, path))[1]['message_id']}/events") as response:
        assert [event async for event in live_events(response)][-1].name == "message.completed"
