"""POST …/cancel."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from tests.support.clock import within
from tests.support.parley_client import ParleyClient, message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.service import Service
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOP_SECONDS = 1.0
RACES = 200


async def start_reply(service: Service, provider: FakeProvider, conversation: dict[str, Any]) -> dict[str, Any]:
    """Start a reply whose first half arrives and whose second half never does."""
    calls = len(provider.calls)
    provider.reply("Half ", asyncio.Event())
    accepted = (await service.client.post_message(conversation, "Hello", background=True)).json()
    await provider.wait_calls(calls + 1)
    reply: dict[str, Any] = accepted["messages"][1]
    await service.services.turns.executor.runs[reply["message_id"]].stream.wait_beyond(0)
    return reply


def cancel_path(reply: dict[str, Any]) -> str:
    """Return the path that cancels a reply."""
    return f"{message_path(reply)}/cancel"


async def test_cancel_closes_provider_keeps_text(openai_service: Service, provider: FakeProvider) -> None:
    """A cancel closes the provider's connection within a second and keeps the text so far."""
    conversation = await openai_service.client.create_conversation()
    reply = await start_reply(openai_service, provider, conversation)
    response = await openai_service.client.post(cancel_path(reply))
    assert (response.status_code, response.json()["message_id"]) == (202, reply["message_id"])
    async with within(STOP_SECONDS):
        await provider.calls[-1].closed.wait()
    ended = await openai_service.client.wait_until_ended(conversation)
    assert (ended["status"], ended["content"], ended["finish_reason"]) == ("cancelled", "Half ", None)
    expect_problem(await openai_service.client.post(cancel_path(reply)), 409, "already-finished")


async def test_waiting_clients_get_partial_text(openai_service: Service, provider: FakeProvider) -> None:
    """The JSON post of a cancelled turn is answered 201, and its stream ends with `message.cancelled`."""
    conversation = await openai_service.client.create_conversation()
    provider.reply("Half ", asyncio.Event())
    post = asyncio.create_task(openai_service.client.post_message(conversation, "Hello"))
    await openai_service.client.wait_for_count(conversation, 2)
    reply = (await openai_service.client.get_messages(conversation))[1]
    await openai_service.services.turns.executor.runs[reply["message_id"]].stream.wait_beyond(0)
    stream = asyncio.create_task(openai_service.client.get(cancel_path(reply).replace("cancel", "events")))
    await openai_service.client.post(cancel_path(reply))
    answer = await post
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Half ")
    assert parse_events((await stream).text)[-1].name == "message.cancelled"


async def test_queued_turn_cancelled(openai_service: Service, provider: FakeProvider) -> None:
    """A queued turn that is cancelled never reaches the provider, and the turn after it runs."""
    conversation = await openai_service.client.create_conversation()
    first = await start_reply(openai_service, provider, conversation)
    second = asyncio.create_task(openai_service.client.post_message(conversation, "Second"))
    await openai_service.client.wait_for_count(conversation, 4)
    third = asyncio.create_task(openai_service.client.post_message(conversation, "Third"))
    await openai_service.client.wait_for_count(conversation, 6)
    waiting = (await openai_service.client.get_messages(conversation))[3]
    response = await openai_service.client.post(cancel_path(waiting))
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")
    answer = await second
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "")
    await openai_service.client.post(cancel_path(first))
    assert (await third).json()["assistant_reply"] == "Echo: Third"
    assert len(provider.calls) == 2


async def test_finished_message_not_cancelled(client: ParleyClient) -> None:
    """Cancelling a finished reply or a user's message is a 409 and changes nothing."""
    conversation = await client.create_conversation(message="Hello")
    for message in conversation["messages"]:
        expect_problem(await client.post(cancel_path(message)), 409, "already-finished")
    assert await client.get_messages(conversation) == conversation["messages"]


async def test_cancel_races_with_end(openai_service: Service, provider: FakeProvider) -> None:
    """A cancel at the moment of the end leaves one terminal state, the same in stream and row, 200 times."""
    seed = random.randrange(2**32)
    chance, statuses = random.Random(seed), Counter[str]()
    conversation = await openai_service.client.create_conversation()
    for _ in range(RACES):
        statuses[await race_cancel_with_end(openai_service, provider, conversation, chance)] += 1
    assert statuses.keys() == {"cancelled", "completed"}, f"seed {seed}: {statuses}"


async def race_cancel_with_end(
    service: Service, provider: FakeProvider, conversation: dict[str, Any], chance: random.Random
) -> str:
    """Cancel a turn while its provider finishes, both after a random pause; return the final status."""
    gate, calls = asyncio.Event(), len(provider.calls)
    provider.reply("Half ", gate, "whole")
    stream = asyncio.create_task(service.client.post_message(conversation, "Hello", stream=True))
    await provider.wait_calls(calls + 1)
    [run] = service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    path = f"{messages_path(conversation)}/{run.reply.message_id}"
    asyncio.get_running_loop().call_later(chance.uniform(0, 0.006), gate.set)
    response = await service.client.post(f"{path}/cancel")
    assert response.status_code in {202, 409}
    events = parse_events((await stream).text)
    ends = [event for event in events if event.name not in {"turn.started", "message.delta"}]
    assert [events[-1]] == ends
    stored = await service.client.get_json(path)
    assert stored == ends[0].data["message"]
    assert stored["content"] == "".join(event.data["delta"] for event in events if event.name == "message.delta")
    return str(stored["status"])
