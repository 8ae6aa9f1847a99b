"""`on_busy`: what happens to a turn while an earlier one of its conversation is unfinished."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.parley_client import ParleyClient
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.rows import row_counts
from tests.support.service import Service
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def create_busy_conversation(service: Service, provider: FakeProvider, gate: asyncio.Event) -> dict[str, Any]:
    """Create a conversation with a turn that runs until the gate opens, and a queued one."""
    provider.reply("Half ", gate, "whole")
    conversation = await service.client.create_conversation()
    for message in ("First", "Second"):
        assert (await service.client.post_message(conversation, message, background=True)).status_code == 202
    await provider.wait_calls(1)
    [run] = [each for each in service.services.turns.executor.runs.values() if each.reply.sequence_number == 2]
    await run.stream.wait_beyond(0)
    return conversation


async def test_queued_turns_in_order(openai_service: Service, provider: FakeProvider) -> None:
    """By default a turn waits for the earlier ones, and its prompt has their messages."""
    gate = asyncio.Event()
    conversation = await create_busy_conversation(openai_service, provider, gate)
    third = asyncio.create_task(openai_service.client.post_message(conversation, "Third", on_busy="queue", stream=True))
    await openai_service.client.wait_for_count(conversation, 6)
    gate.set()
    events = parse_events((await third).text)
    assert events[0].data["assistant_message"]["status"] == "queued"
    prompt = [message["content"] for message in provider.calls[2].body["messages"]]
    assert prompt == ["First", "Half whole", "Second", "Echo: Second", "Third"]
    assert [message["content"] for message in await openai_service.client.get_messages(conversation)][:5] == prompt


async def test_client_leaves_queued_turn(openai_service: Service, provider: FakeProvider) -> None:
    """A queued turn runs although its client has disconnected."""
    gate = asyncio.Event()
    conversation = await create_busy_conversation(openai_service, provider, gate)
    async with openai_service.client.stream(conversation, "Third") as events:
        await anext(events)
    gate.set()
    assert (await openai_service.client.wait_until_ended(conversation))["content"] == "Echo: Third"


async def test_reject_while_busy(openai_service: Service, provider: FakeProvider) -> None:
    """With `reject` a busy conversation answers 409 with the id of the running reply, and stores nothing."""
    gate = asyncio.Event()
    conversation = await create_busy_conversation(openai_service, provider, gate)
    before = await row_counts(openai_service)
    problem = expect_problem(
        await openai_service.client.post_message(conversation, "No", on_busy="reject"), 409, "conversation-busy"
    )
    assert problem["message_id"] == (await openai_service.client.get_messages(conversation))[1]["message_id"]
    assert await row_counts(openai_service) == before
    gate.set()
    await openai_service.client.wait_until_ended(conversation)
    answer = await openai_service.client.send(conversation, "Now", on_busy="reject")
    assert answer["messages"][-1]["sequence_number"] == 6


async def test_interrupt_cancels_earlier_turns(openai_service: Service, provider: FakeProvider) -> None:
    """With `interrupt` the running reply is cancelled with its text, queued ones too, and the new turn runs."""
    conversation = await create_busy_conversation(openai_service, provider, asyncio.Event())
    answer = await openai_service.client.send(conversation, "Third", on_busy="interrupt")
    assert answer["assistant_reply"] == "Echo: Third"
    replies = [message for message in answer["messages"] if message["role"] == "assistant"]
    assert [(reply["status"], reply["content"]) for reply in replies] == [
        ("cancelled", "Half "),
        ("cancelled", ""),
        ("completed", "Echo: Third"),
    ]
    assert provider.calls[0].closed.is_set()
    assert len(provider.calls) == 2


async def test_idle_conversation_accepts_turns(client: ParleyClient) -> None:
    """While nothing is unfinished, `on_busy` makes no difference."""
    conversation = await client.create_conversation()
    for word in ("queue", "reject", "interrupt"):
        assert (await client.send(conversation, word, on_busy=word))["assistant_reply"] == word


@pytest.mark.parametrize("value", ["wait", "", None, 1])
async def test_other_on_busy_refused(client: ParleyClient, value: Any) -> None:
    """`on_busy` is one of three words."""
    expect_problem(
        await client.post_message(await client.create_conversation(), "Hello", on_busy=value),
        422,
        "validation-error",
    )
