"""`on_busy`: what becomes of a turn while an earlier one of its conversation is unfinished."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.talk import (
    events_of,
    got,
    make,
    messages_of,
    problem_of,
    row_counts,
    say,
    told,
    until_accepted,
    until_ended,
)
from tests.support.provider import FakeProvider
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def busy(service: Service, provider: FakeProvider, gate: asyncio.Event) -> dict[str, Any]:
    """A conversation with a turn at work until the gate opens, and one that waits behind it."""
    provider.reply("Half ", gate, "whole")
    conversation = await make(service)
    for message in ("First", "Second"):
        assert (await say(service, conversation, message, background=True)).status_code == 202
    await provider.wait_calls(1)
    [run] = [each for each in service.services.turns.executor.runs.values() if each.reply.sequence_number == 2]
    await run.stream.wait_beyond(0)
    return conversation


async def test_turns_run_in_sequence_order(openai_service: Service, provider: FakeProvider) -> None:
    """By default a turn waits for those before it, and is told what they have said."""
    gate = asyncio.Event()
    conversation = await busy(openai_service, provider, gate)
    third = asyncio.create_task(say(openai_service, conversation, "Third", on_busy="queue", stream=True))
    await until_accepted(openai_service, conversation, 6)
    gate.set()
    events = events_of((await third).text)
    assert events[0].data["assistant_message"]["status"] == "queued"
    asked = [message["content"] for message in provider.calls[2].body["messages"]]
    assert asked == ["First", "Half whole", "Second", "Echo: Second", "Third"]
    assert [message["content"] for message in await got(openai_service, messages_of(conversation))][:5] == asked


async def test_a_client_may_leave_a_waiting_turn(openai_service: Service, provider: FakeProvider) -> None:
    """A queued turn whose client has gone runs all the same."""
    gate = asyncio.Event()
    conversation = await busy(openai_service, provider, gate)
    body = {"message": "Third", "stream": True}
    async with openai_service.client.http.stream("POST", messages_of(conversation), json=body) as response:
        await anext(response.aiter_lines())
    gate.set()
    assert (await until_ended(openai_service, conversation))["content"] == "Echo: Third"


async def test_a_turn_may_refuse_to_wait(openai_service: Service, provider: FakeProvider) -> None:
    """With `reject` a busy conversation answers 409 with the reply at work, and nothing is stored."""
    gate = asyncio.Event()
    conversation = await busy(openai_service, provider, gate)
    before = await row_counts(openai_service)
    problem = problem_of(await say(openai_service, conversation, "No", on_busy="reject"), 409, "conversation-busy")
    assert problem["message_id"] == (await got(openai_service, messages_of(conversation)))[1]["message_id"]
    assert await row_counts(openai_service) == before
    gate.set()
    await until_ended(openai_service, conversation)
    answer = await told(openai_service, conversation, "Now", on_busy="reject")
    assert answer["messages"][-1]["sequence_number"] == 6


async def test_a_turn_may_interrupt(openai_service: Service, provider: FakeProvider) -> None:
    """With `interrupt` the reply at work is cancelled with its text, those that wait too, and the new turn runs."""
    conversation = await busy(openai_service, provider, asyncio.Event())
    answer = await told(openai_service, conversation, "Third", on_busy="interrupt")
    assert answer["assistant_reply"] == "Echo: Third"
    replies = [message for message in answer["messages"] if message["role"] == "assistant"]
    assert [(reply["status"], reply["content"]) for reply in replies] == [
        ("cancelled", "Half "),
        ("cancelled", ""),
        ("completed", "Echo: Third"),
    ]
    assert provider.calls[0].closed.is_set()
    assert len(provider.calls) == 2


async def test_an_idle_conversation_takes_every_turn(service: Service) -> None:
    """Where nothing is unfinished, `on_busy` makes no difference."""
    conversation = await make(service)
    for word in ("queue", "reject", "interrupt"):
        assert (await told(service, conversation, word, on_busy=word))["assistant_reply"] == word


@pytest.mark.parametrize("value", ["wait", "", None, 1])
async def test_other_words_are_refused(service: Service, value: Any) -> None:
    """`on_busy` is one of three words."""
    problem_of(await say(service, await make(service), "Hello", on_busy=value), 422, "validation-error")
