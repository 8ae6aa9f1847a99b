"""Unfinished turns of dead processes are interrupted or adopted."""

from __future__ import annotations

import asyncio

import pytest

from app.llm.base import Target
from app.services.turns.recovery import BATCH_TURNS
from tests.support.background import recover
from tests.support.provider import FakeProvider
from tests.support.service import Service
from tests.support.turns import abandoned_turn, change, checkpoints, dead_process, rows, started

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


async def test_a_living_process_s_turns_are_left_alone(openai_service: Service, provider: FakeProvider) -> None:
    """A sweep touches no turn whose process holds its lease."""
    gate = asyncio.Event()
    _, post = await started(openai_service, provider, "Half ", gate, "and half")
    await recover(openai_service)
    gate.set()
    assert (await post).status_code == 201
