"""POST …/regenerate."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.api.talk import events_of, got, make, messages_of, path_of, problem_of, row_counts, say, told
from tests.support.provider import FakeProvider
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def regenerated(service: Service, reply: dict[str, Any], **body: Any) -> httpx2.Response:
    """The answer to the wish for another reply."""
    return await service.client.post(f"{messages_of(reply)}/{reply['message_id']}/regenerate", json=body)


async def test_another_reply_supersedes_the_last(openai_service: Service, provider: FakeProvider) -> None:
    """The same question is answered under one new number; the old reply stays readable, and models are not told it."""
    conversation = await make(openai_service, message="One")
    before = (await told(openai_service, conversation, "Two"))["messages"][3]
    provider.reply("Better")
    response = await regenerated(openai_service, before)
    assert response.status_code == 201
    answer = response.json()
    after = answer["messages"][-1]
    assert (answer["assistant_reply"], after["sequence_number"], after["superseded_by"]) == ("Better", 5, None)
    old = await got(openai_service, f"{messages_of(conversation)}/{before['message_id']}")
    assert old == before | {"superseded_by": after["message_id"]}
    assert (await got(openai_service, path_of(conversation)))["message_count"] == 5
    asked = [message["content"] for message in provider.calls[-1].body["messages"]]
    assert asked == ["One", "Echo: One", "Two"]
    await told(openai_service, conversation, "Three")
    asked = [message["content"] for message in provider.calls[-1].body["messages"]]
    assert asked == ["One", "Echo: One", "Two", "Better", "Three"]


async def test_it_may_be_asked_of_another_model(service: Service) -> None:
    """Provider, model, temperature and max_tokens may be others for the new reply."""
    failed = await say(service, conversation := await make(service), "Hello", model="fail-midway")
    assert failed.status_code == 502
    reply = (await got(service, messages_of(conversation)))[1]
    answer = (await regenerated(service, reply, model="echo", temperature=0.5, max_tokens=100)).json()
    assert (answer["messages"][-1]["model"], answer["assistant_reply"]) == ("echo", "Hello")


async def test_it_may_be_asked_again_and_again(service: Service) -> None:
    """Each new reply is the last one and may be superseded in turn; a superseded one may not."""
    first = (await make(service, message="Hello"))["messages"][1]
    second = (await regenerated(service, first)).json()["messages"][-1]
    third = (await regenerated(service, second)).json()["messages"][-1]
    assert third["sequence_number"] == 4
    problem_of(await regenerated(service, first), 409, "cannot-regenerate")


async def test_it_streams_and_runs_in_the_background(service: Service) -> None:
    """A new reply is answered in each of the three ways."""
    reply = (await make(service, message="Hello"))["messages"][1]
    events = events_of((await regenerated(service, reply, stream=True)).text)
    assert [event.name for event in events] == ["turn.started", "message.delta", "message.completed"]
    assert events[0].data["user_message"]["content"] == "Hello"
    accepted = await regenerated(service, events[-1].data["message"], background=True)
    assert accepted.status_code == 202
    assert [message["role"] for message in accepted.json()["messages"]] == ["user", "assistant"]
    ended = events_of((await service.client.get(f"{accepted.headers['location']}/events")).text)[-1]
    assert ended.data["message"]["content"] == "Hello"


async def test_only_the_last_reply_can_be_regenerated(service: Service) -> None:
    """An earlier reply is 409, a user's message 422, and neither takes a number."""
    conversation = await make(service, message="One")
    await told(service, conversation, "Two")
    question, first = conversation["messages"]
    before = await row_counts(service)
    problem_of(await regenerated(service, first), 409, "cannot-regenerate")
    problem_of(await regenerated(service, question), 422, "validation-error")
    assert await row_counts(service) == before
    assert (await told(service, conversation, "Three"))["messages"][-1]["sequence_number"] == 6


async def test_an_unfinished_reply_cannot_be_regenerated(openai_service: Service, provider: FakeProvider) -> None:
    """While a reply is made it is 409 `turn-unfinished`."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    reply = (await say(openai_service, await make(openai_service), "Hello", background=True)).json()["messages"][1]
    problem_of(await regenerated(openai_service, reply), 409, "turn-unfinished")
    gate.set()
    await openai_service.client.get(f"{messages_of(reply)}/{reply['message_id']}/events")
    assert (await regenerated(openai_service, reply)).status_code == 201


async def test_a_reply_without_its_question_cannot_be_regenerated(service: Service) -> None:
    """Where the user's message was deleted there is nothing to answer."""
    question, reply = (await make(service, message="Hello"))["messages"]
    await service.client.delete(f"{messages_of(reply)}/{question['message_id']}")
    problem_of(await regenerated(service, reply), 409, "cannot-regenerate")
