"""POST …/cancel."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from tests.api.talk import events_of, got, make, messages_of, problem_of, say, until_accepted, until_ended
from tests.support.clock import within
from tests.support.provider import FakeProvider
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOP_SECONDS = 1.0
RACES = 200


async def at_work(service: Service, provider: FakeProvider, conversation: dict[str, Any]) -> dict[str, Any]:
    """A reply whose first half has come, and whose other half never will."""
    calls = len(provider.calls)
    provider.reply("Half ", asyncio.Event())
    accepted = (await say(service, conversation, "Hello", background=True)).json()
    await provider.wait_calls(calls + 1)
    reply: dict[str, Any] = accepted["messages"][1]
    await service.services.turns.executor.runs[reply["message_id"]].stream.wait_beyond(0)
    return reply


def cancel_of(reply: dict[str, Any]) -> str:
    """Where a reply is cancelled."""
    return f"{messages_of(reply)}/{reply['message_id']}/cancel"


async def test_a_cancel_closes_the_provider_and_keeps_the_text(openai_service: Service, provider: FakeProvider) -> None:
    """Within a second the provider sees its connection closed; the text so far is kept as `cancelled`."""
    conversation = await make(openai_service)
    reply = await at_work(openai_service, provider, conversation)
    response = await openai_service.client.post(cancel_of(reply))
    assert (response.status_code, response.json()["message_id"]) == (202, reply["message_id"])
    async with within(STOP_SECONDS):
        await provider.calls[-1].closed.wait()
    ended = await until_ended(openai_service, conversation)
    assert (ended["status"], ended["content"], ended["finish_reason"]) == ("cancelled", "Half ", None)
    problem_of(await openai_service.client.post(cancel_of(reply)), 409, "already-finished")


async def test_whoever_waits_for_a_cancelled_reply_gets_the_text_so_far(
    openai_service: Service, provider: FakeProvider
) -> None:
    """A JSON post of a cancelled turn is answered 201, a stream ends with `message.cancelled`."""
    conversation = await make(openai_service)
    provider.reply("Half ", asyncio.Event())
    post = asyncio.create_task(say(openai_service, conversation, "Hello"))
    await until_accepted(openai_service, conversation, 2)
    reply = (await got(openai_service, messages_of(conversation)))[1]
    await openai_service.services.turns.executor.runs[reply["message_id"]].stream.wait_beyond(0)
    stream = asyncio.create_task(openai_service.client.get(cancel_of(reply).replace("cancel", "events")))
    await openai_service.client.post(cancel_of(reply))
    answer = await post
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "Half ")
    assert events_of((await stream).text)[-1].name == "message.cancelled"


async def test_a_waiting_turn_is_cancelled_before_it_starts(openai_service: Service, provider: FakeProvider) -> None:
    """A queued turn never reaches the provider; its post is answered 201 with no text, and the next one runs."""
    conversation = await make(openai_service)
    first = await at_work(openai_service, provider, conversation)
    second = asyncio.create_task(say(openai_service, conversation, "Second"))
    await until_accepted(openai_service, conversation, 4)
    third = asyncio.create_task(say(openai_service, conversation, "Third"))
    await until_accepted(openai_service, conversation, 6)
    waiting = (await got(openai_service, messages_of(conversation)))[3]
    response = await openai_service.client.post(cancel_of(waiting))
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")
    answer = await second
    assert (answer.status_code, answer.json()["assistant_reply"]) == (201, "")
    await openai_service.client.post(cancel_of(first))
    assert (await third).json()["assistant_reply"] == "Echo: Third"
    assert len(provider.calls) == 2


async def test_what_has_ended_cannot_be_cancelled(service: Service) -> None:
    """A finished reply and a user's message are 409, and stay as they are."""
    made = await make(service, message="Hello")
    for message in made["messages"]:
        problem_of(await service.client.post(cancel_of(message)), 409, "already-finished")
    assert await got(service, messages_of(made)) == made["messages"]


async def test_a_cancel_races_with_the_end(openai_service: Service, provider: FakeProvider) -> None:
    """200 times at the same moment: one terminal state, the same for the stream and the row, and no text after it."""
    seed = random.randrange(2**32)
    chance, statuses = random.Random(seed), Counter[str]()
    conversation = await make(openai_service)
    for _ in range(RACES):
        statuses[await raced(openai_service, provider, conversation, chance)] += 1
    assert statuses.keys() == {"cancelled", "completed"}, f"seed {seed}: {statuses}"


async def raced(service: Service, provider: FakeProvider, conversation: dict[str, Any], chance: random.Random) -> str:
    """How a turn ended whose provider finished while it was cancelled; both happen after a random pause."""
    gate, calls = asyncio.Event(), len(provider.calls)
    provider.reply("Half ", gate, "whole")
    stream = asyncio.create_task(say(service, conversation, "Hello", stream=True))
    await provider.wait_calls(calls + 1)
    [run] = service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    path = f"{messages_of(conversation)}/{run.reply.message_id}"
    asyncio.get_running_loop().call_later(chance.uniform(0, 0.006), gate.set)
    response = await service.client.post(f"{path}/cancel")
    assert response.status_code in {202, 409}
    events = events_of((await stream).text)
    ends = [event for event in events if event.name not in {"turn.started", "message.delta"}]
    assert [events[-1]] == ends
    stored = await got(service, path)
    assert stored == ends[0].data["message"]
    assert stored["content"] == "".join(event.data["delta"] for event in events if event.name == "message.delta")
    return str(stored["status"])
