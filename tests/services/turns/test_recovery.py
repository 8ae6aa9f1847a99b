"""Unfinished turns of dead processes are interrupted or adopted."""

from __future__ import annotations

import asyncio

import pytest

from app.llm.base import Target
from app.services.turns.recovery import BATCH_TURNS
from tests.support.background import recover
from tests.support.parley_client import messages_path
from tests.support.provider import FakeProvider
from tests.support.service import Service
from tests.support.turns import (
    abandoned_turn,
    checkpoint_writer,
    dead_process,
    message_rows,
    start_reply,
    update_replies,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_running_turn_is_interrupted(service: Service) -> None:
    """A running turn of a dead process is interrupted with its saved text, and not run again."""
    conversation = await abandoned_turn(service, status="in_progress", completed_at=None, content="Half ")
    await recover(service)
    reply = (await service.client.get_messages(conversation))[1]
    assert (reply["status"], reply["content"]) == ("interrupted", "Half ")
    assert reply["completed_at"] is not None


async def test_interrupted_turn_has_usage(openai_service: Service, provider: FakeProvider) -> None:
    """It has one attempt with usage, estimated from its checkpoint."""
    gate = asyncio.Event()
    conversation, post = await start_reply(openai_service, provider, "Half of it", gate, "and half")
    await checkpoint_writer(openai_service).save()
    await update_replies(openai_service, process_id=await dead_process(openai_service))
    await recover(openai_service)
    gate.set()
    assert (await post).status_code == 502
    reply = (await openai_service.client.get_messages(conversation))[1]
    attempts = await openai_service.client.get_json(f"{messages_path(conversation)}/{reply['message_id']}/attempts")
    assert [(each["outcome"], each["model"]) for each in attempts] == [("interrupted", "gpt-5-mini")]
    assert attempts[0]["usage"] == reply["usage"] == {"input_tokens": 6, "output_tokens": 3, "estimated": True}
    context = await openai_service.client.get_json(f"{messages_path(conversation)}/{reply['message_id']}/context")
    assert [each["sequence_number"] for each in context["messages"]] == [1]
    [row] = (await openai_service.client.get("/usage", params={"user_id": "ada"})).json()
    assert (row["turns"], row["output_tokens"]) == (1, 3)


async def test_usage_is_estimated_by_script(openai_service: Service, provider: FakeProvider) -> None:
    """Chinese characters of a saved text count as more tokens than Latin ones."""
    conversation, post = await start_reply(openai_service, provider, "\u4e2d" * 30, asyncio.Event())
    await update_replies(openai_service, process_id=await dead_process(openai_service), content="\u4e2d" * 20)
    await recover(openai_service)
    assert (await post).status_code == 502
    reply = (await openai_service.client.get_messages(conversation))[1]
    assert reply["usage"]["output_tokens"] == 20


async def test_usage_is_of_last_fallback(openai_service: Service, provider: FakeProvider) -> None:
    """Attempt and reply have the fallback's model if that was called since the last checkpoint."""
    gate = asyncio.Event()
    conversation, post = await start_reply(openai_service, provider, "Half", gate)
    saving = checkpoint_writer(openai_service)
    await saving.save()
    [run] = openai_service.services.turns.executor.runs.values()
    assert run.call is not None
    run.call.target_used = Target("groq", "other")
    await saving.save()
    await update_replies(openai_service, process_id=await dead_process(openai_service))
    await recover(openai_service)
    gate.set()
    await post
    stored = (await openai_service.client.get_messages(conversation))[1]
    [attempt] = await openai_service.client.get_json(f"{messages_path(conversation)}/{stored['message_id']}/attempts")
    assert (attempt["provider"], attempt["model"]) == ("groq", "other")
    assert (stored["provider"], stored["model"]) == ("groq", "other")


async def test_turn_without_checkpoint_has_usage(openai_service: Service, provider: FakeProvider) -> None:
    """A turn interrupted before its first checkpoint has the usage of its question."""
    gate = asyncio.Event()
    conversation, post = await start_reply(openai_service, provider, "Half", gate)
    await update_replies(openai_service, process_id=await dead_process(openai_service), context=None)
    await recover(openai_service)
    gate.set()
    await post
    reply = (await openai_service.client.get_messages(conversation))[1]
    [attempt] = await openai_service.client.get_json(f"{messages_path(conversation)}/{reply['message_id']}/attempts")
    assert (attempt["outcome"], attempt["model"], attempt["usage"]["input_tokens"]) == ("interrupted", "gpt-5-mini", 2)


async def test_all_turns_are_interrupted_in_one_round(service: Service) -> None:
    """More turns than one batch are interrupted in the same round."""
    for _ in range(BATCH_TURNS + 1):
        conversation = await abandoned_turn(service)
    await update_replies(service, process_id=await dead_process(service), status="in_progress", completed_at=None)
    await recover(service)
    assert {row.status for row in await message_rows(service) if row.role == "assistant"} == {"interrupted"}
    assert (await service.client.get(messages_path(conversation))).status_code == 200


async def test_cancelled_turn_ends_as_cancelled(service: Service) -> None:
    """A turn of a dead process that was cancelled before ends as cancelled."""
    conversation = await abandoned_turn(service, status="in_progress", completed_at=None, cancel_requested_at=1)
    await recover(service)
    assert (await service.client.get_messages(conversation))[1]["status"] == "cancelled"


async def test_queued_turn_is_adopted(service: Service) -> None:
    """A queued turn of a dead process is run by another one."""
    conversation = await abandoned_turn(service, status="queued", completed_at=None, content="", finish_reason=None)
    await recover(service)
    for run in list(service.services.turns.executor.runs.values()):  # it may have ended already
        await run.stream.wait_finished()
    reply = (await service.client.get_messages(conversation))[1]
    assert (reply["status"], reply["content"], reply["model"]) == ("completed", "Hello", "echo")


async def test_turns_of_living_process_are_kept(openai_service: Service, provider: FakeProvider) -> None:
    """Turns of a process with a lease go on."""
    gate = asyncio.Event()
    _, post = await start_reply(openai_service, provider, "Half ", gate, "and half")
    await recover(openai_service)
    gate.set()
    assert (await post).status_code == 201
