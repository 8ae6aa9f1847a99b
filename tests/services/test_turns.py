from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from app.db import turns
from app.db.models import MessageRow, ProcessRow
from app.db.transaction import Transaction
from app.domain.ids import new_id, now_ms
from app.errors import DatabaseUnavailable
from app.llm.base import Target
from app.services.runtime.timings import Timings
from app.services.turns.cancellation import CancellationPoller
from app.services.turns.checkpoints import CheckpointWriter
from app.services.turns.recovery import BATCH_TURNS
from app.services.turns.reservation import TurnReservations
from tests.support.background import recover
from tests.support.provider import FakeProvider
from tests.support.replies import Reply
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def started(service: Service, provider: FakeProvider, *steps: Any) -> tuple[str, asyncio.Task[Any]]:
    """A conversation with a turn whose reply is as far as the provider's first gate, and the waiting post."""
    provider.reply(*steps)
    made = (await service.client.post("/conversations", json={"user_id": "ada"})).json()
    path = f"/conversations/{made['conversation_id']}/messages"
    post = asyncio.create_task(service.client.post(path, json={"message": "Hello"}))
    await provider.wait_calls(len(provider.calls) or 1)
    [run] = service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    return path, post


async def change(service: Service, **values: Any) -> None:
    """Writes to all replies behind the service's back."""
    async with service.database.write_session() as session:
        await session.execute(update(MessageRow).where(MessageRow.role == "assistant").values(values))


async def rows(service: Service) -> list[MessageRow]:
    async with service.database.read_session() as session:
        return list((await session.scalars(select(MessageRow).order_by(MessageRow.sequence_number))).all())


def checkpoints(service: Service, database: Any = None) -> CheckpointWriter:
    executor, process_id = service.services.turns.executor, service.services.process.id
    return CheckpointWriter(database or service.database, executor, process_id, Timings())


def cancellations(service: Service) -> CancellationPoller:
    turns = service.services.turns
    return CancellationPoller(service.database, turns.executor, service.services.process.id, Timings())


async def test_the_text_so_far_is_saved(openai_service: Service, provider: FakeProvider) -> None:
    """A checkpoint stores the text of a running turn."""
    gate = asyncio.Event()
    _, post = await started(openai_service, provider, "Half ", gate, "and half")
    await checkpoints(openai_service).save()
    question, reply = await rows(openai_service)
    assert (question.content, reply.content, reply.status) == ("Hello", "Half ", "in_progress")
    gate.set()
    assert (await post).json()["assistant_reply"] == "Half and half"


async def test_all_texts_are_saved_in_one_transaction(openai_service: Service, provider: FakeProvider) -> None:
    """However many turns run, a checkpoint of all of them is one transaction, and of none of them no transaction."""
    gate = asyncio.Event()
    provider.default = lambda _: Reply(["Half ", gate, "and half"])
    asked = {"user_id": "ada", "message": "Hello", "background": True}
    for _ in range(30):
        assert (await openai_service.client.post("/conversations", json=asked)).status_code == 202
    running = list(openai_service.services.turns.executor.runs.values())
    await asyncio.gather(*(run.stream.wait_beyond(0) for run in running))
    transactions = []
    write = openai_service.database.write

    async def counted(transaction: Callable[..., Transaction[Any]], *args: Any) -> Any:
        transactions.append(transaction)
        return await write(transaction, *args)

    saving = checkpoints(openai_service, SimpleNamespace(write=counted))
    await saving.save()
    await saving.save()
    assert transactions == [turns.checkpoint]
    assert [reply.content for reply in (await rows(openai_service)) if reply.role == "assistant"] == ["Half "] * 30
    gate.set()
    await asyncio.gather(*(run.stream.wait_finished() for run in running))


async def test_a_fenced_turn_is_stopped_and_writes_nothing(openai_service: Service, provider: FakeProvider) -> None:
    """A turn that another process owns now is left alone, and its provider's connection closed."""
    _, post = await started(openai_service, provider, "Half ", asyncio.Event())
    await change(openai_service, process_id=await living_process(openai_service))
    await cancellations(openai_service).poll()
    await provider.calls[0].closed.wait()
    reply = (await rows(openai_service))[1]
    assert (reply.content, reply.status) == ("", "in_progress")
    await change(openai_service, status="completed", content="Whole", finish_reason="stop", completed_at=1)
    assert (await post).json()["assistant_reply"] == "Whole"


async def test_a_turn_that_was_ended_elsewhere_is_told_as_it_is_stored(
    openai_service: Service, provider: FakeProvider
) -> None:
    """When somebody else has settled the turn, its readers get what is stored."""
    gate = asyncio.Event()
    _, post = await started(openai_service, provider, "Half ", gate)
    await change(openai_service, status="interrupted", content="Hal", completed_at=1)
    gate.set()
    answer = await post
    assert (answer.status_code, answer.json()["code"]) == (502, "turn-interrupted")
    assert (await rows(openai_service))[1].content == "Hal"


async def dead_process(service: Service) -> str:
    """A process whose lease has run out."""
    process_id = new_id()
    async with service.database.write_session() as session:
        session.add(ProcessRow(process_id=process_id, started_at=1, expires_at=1))
    return process_id


async def living_process(service: Service) -> str:
    """A process that holds its lease."""
    process_id = new_id()
    async with service.database.write_session() as session:
        session.add(ProcessRow(process_id=process_id, started_at=1, expires_at=now_ms() + 60_000))
    return process_id


async def test_a_dead_process_s_turn_is_interrupted_with_its_checkpoint(service: Service) -> None:
    """An in-progress turn whose process has lost its lease ends as interrupted, and is not run again."""
    path = await abandoned_turn(service, status="in_progress", completed_at=None, content="Half ")
    await recover(service)
    reply = (await service.client.get(path)).json()[1]
    assert (reply["status"], reply["content"]) == ("interrupted", "Half ")
    assert reply["completed_at"] is not None


async def test_what_a_dead_process_has_spent_is_entered(openai_service: Service, provider: FakeProvider) -> None:
    """A turn that is interrupted from outside has an attempt and usage, estimated from its checkpoint, once."""
    gate = asyncio.Event()
    path, post = await started(openai_service, provider, "Half of it", gate, "and half")
    await checkpoints(openai_service).save()
    await change(openai_service, process_id=await dead_process(openai_service))
    await recover(openai_service)
    gate.set()
    assert (await post).status_code == 502
    reply = (await openai_service.client.get(path)).json()[1]
    attempts = (await openai_service.client.get(f"{path}/{reply['message_id']}/attempts")).json()
    assert [(each["outcome"], each["model"]) for each in attempts] == [("interrupted", "gpt-5-mini")]
    assert attempts[0]["usage"] == reply["usage"] == {"input_tokens": 6, "output_tokens": 3, "estimated": True}
    context = (await openai_service.client.get(f"{path}/{reply['message_id']}/context")).json()
    assert [each["sequence_number"] for each in context["messages"]] == [1]
    [row] = (await openai_service.client.get("/usage", params={"user_id": "ada"})).json()
    assert (row["turns"], row["output_tokens"]) == (1, 3)


async def test_what_a_dead_process_has_spent_is_estimated_by_script(
    openai_service: Service, provider: FakeProvider
) -> None:
    """The saved text of a dead process's turn counts by its transaction, whatever its length."""
    path, post = await started(openai_service, provider, "\u4e2d" * 30, asyncio.Event())
    await change(openai_service, process_id=await dead_process(openai_service), content="\u4e2d" * 20)
    await recover(openai_service)
    assert (await post).status_code == 502
    reply = (await openai_service.client.get(path)).json()[1]
    assert reply["usage"]["output_tokens"] == 20


async def test_what_a_dead_process_had_asked_another_is_that_one_s(
    openai_service: Service, provider: FakeProvider
) -> None:
    """Where another model was asked since the last checkpoint, the next one says so: ledger and reply name it."""
    gate = asyncio.Event()
    path, post = await started(openai_service, provider, "Half", gate)
    saving = checkpoints(openai_service)
    await saving.save()
    [run] = openai_service.services.turns.executor.runs.values()
    assert run.call is not None
    run.call.target_used = Target("groq", "other")
    await saving.save()
    await change(openai_service, process_id=await dead_process(openai_service))
    await recover(openai_service)
    gate.set()
    await post
    stored = (await openai_service.client.get(path)).json()[1]
    [attempt] = (await openai_service.client.get(f"{path}/{stored['message_id']}/attempts")).json()
    assert (attempt["provider"], attempt["model"]) == ("groq", "other")
    assert (stored["provider"], stored["model"]) == ("groq", "other")


async def test_a_dead_process_that_saved_nothing_has_spent_its_question(
    openai_service: Service, provider: FakeProvider
) -> None:
    """A turn that was interrupted before its first checkpoint is entered with what certainly was sent."""
    gate = asyncio.Event()
    path, post = await started(openai_service, provider, "Half", gate)
    await change(openai_service, process_id=await dead_process(openai_service), context=None)
    await recover(openai_service)
    gate.set()
    await post
    reply = (await openai_service.client.get(path)).json()[1]
    [attempt] = (await openai_service.client.get(f"{path}/{reply['message_id']}/attempts")).json()
    assert (attempt["outcome"], attempt["model"], attempt["usage"]["input_tokens"]) == ("interrupted", "gpt-5-mini", 2)


async def test_all_turns_of_a_dead_process_are_ended_by_one_look(service: Service) -> None:
    """However many there are, none waits for the next look: a process may die with a thousand."""
    for _ in range(BATCH_TURNS + 1):
        path = await abandoned_turn(service)
    await change(service, process_id=await dead_process(service), status="in_progress", completed_at=None)
    await recover(service)
    assert {row.status for row in await rows(service) if row.role == "assistant"} == {"interrupted"}
    assert (await service.client.get(path)).status_code == 200


async def test_a_cancelled_turn_of_a_dead_process_ends_as_cancelled(service: Service) -> None:
    """What was asked of a dead process's turn is done: a cancelled one is not called interrupted."""
    path = await abandoned_turn(service, status="in_progress", completed_at=None, cancel_requested_at=1)
    await recover(service)
    assert (await service.client.get(path)).json()[1]["status"] == "cancelled"


async def test_a_dead_process_s_waiting_turn_is_adopted(service: Service) -> None:
    """A queued turn of a dead process has cost nothing yet: another one runs it."""
    path = await abandoned_turn(service, status="queued", completed_at=None, content="", finish_reason=None)
    await recover(service)
    for run in list(service.services.turns.executor.runs.values()):  # it may have ended already
        await run.stream.wait_finished()
    reply = (await service.client.get(path)).json()[1]
    assert (reply["status"], reply["content"], reply["model"]) == ("completed", "Hello", "echo")


async def abandoned_turn(service: Service, **values: Any) -> str:
    """A conversation whose one reply is as a dead process left it; gives the path of its messages."""
    made = (await service.client.post("/conversations", json={"user_id": "ada", "message": "Hello"})).json()
    await change(service, process_id=await dead_process(service), **values)
    return f"/conversations/{made['conversation_id']}/messages"


async def test_a_living_process_s_turns_are_left_alone(openai_service: Service, provider: FakeProvider) -> None:
    """A sweep touches no turn whose process holds its lease."""
    gate = asyncio.Event()
    _, post = await started(openai_service, provider, "Half ", gate, "and half")
    await recover(openai_service)
    gate.set()
    assert (await post).status_code == 201


class LostAcknowledgement:
    """A database on which the next turn's commit comes through while its answer does not."""

    def __init__(self, service: Service, *, committed: bool) -> None:
        self._database = service.database
        self._committed = committed
        self.write, self._write = self.failing, service.database.write
        service.database.write = self.failing

    async def failing(self, transaction: Callable[..., Transaction[Any]], *args: Any) -> Any:
        if getattr(transaction, "__func__", None) is not TurnReservations.reserve:  # background work goes on meanwhile
            return await self._write(transaction, *args)
        self._database.write = self._write
        if self._committed:
            await self._write(transaction, *args)
        else:
            await self._run_and_roll_back(transaction, *args)
        raise DatabaseUnavailable

    async def _run_and_roll_back(self, transaction: Callable[..., Transaction[Any]], *args: Any) -> None:
        def rolled_back() -> Any:
            yield from transaction(*args)
            raise RuntimeError("the connection is gone")

        with pytest.raises(RuntimeError):
            await self._write(rolled_back)


@pytest.mark.parametrize("committed", [True, False])
async def test_a_lost_acknowledgement_is_looked_up(service: Service, committed: bool) -> None:
    """A turn whose commit was not acknowledged runs when it is stored, and is refused when it is not."""
    made = (await service.client.post("/conversations", json={"user_id": "ada"})).json()
    path = f"/conversations/{made['conversation_id']}/messages"
    LostAcknowledgement(service, committed=committed)
    answer = await service.client.post(path, json={"message": "Hello"})
    messages = (await service.client.get(path)).json()
    assert (answer.status_code, len(messages)) == ((201, 2) if committed else (503, 0))
    assert service.services.turns.executor.runs == {}


async def test_an_ending_that_is_not_acknowledged_is_written_once(service: Service) -> None:
    """Settling is tried again until the database answers, and the turn ends once."""
    made = (await service.client.post("/conversations", json={"user_id": "ada"})).json()
    path = f"/conversations/{made['conversation_id']}/messages"
    write = service.database.write

    async def failing(transaction: Callable[..., Transaction[Any]], *args: Any) -> Any:
        if transaction is not turns.settle:
            return await write(transaction, *args)
        service.database.write = write
        await write(transaction, *args)
        raise DatabaseUnavailable

    service.database.write = failing
    answer = await service.client.post(path, json={"message": "Hello"})
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Hello")


async def test_a_turn_that_breaks_ends_as_failed(openai_service: Service, provider: FakeProvider) -> None:
    """Whatever goes wrong on the way to the model, the turn ends, and its caller hears of it."""
    gate = asyncio.Event()
    path, first = await started(openai_service, provider, "Half ", gate)
    lost = {"message": "Lost", "stream": True}
    async with openai_service.client.http.stream("POST", path, json=lost) as second:
        lines = second.aiter_lines()
        async for line in lines:
            if line == "event: turn.started":
                break
        async with openai_service.database.write_session() as session:
            await session.execute(delete(MessageRow).where(MessageRow.content == "Lost"))
        gate.set()
        rest = [line async for line in lines]
    assert (await first).status_code == 201
    assert "event: message.failed" in rest
    assert (await rows(openai_service))[-1].error_code == "internal-error"
