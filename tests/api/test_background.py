"""`background: true`: accepted at once, looked at later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.talk import events_of, got, make, messages_of, path_of, problem_of, row_counts, say, until_ended
from tests.support.provider import FakeProvider
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_turn_in_the_background_is_accepted_at_once(openai_service: Service, provider: FakeProvider) -> None:
    """202 with both messages and the reply's place, while the model has not begun; later the reply is there."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    conversation = await make(openai_service)
    response = await say(openai_service, conversation, "Hello", background=True)
    answer = response.json()
    question, reply = answer["messages"]
    assert (response.status_code, answer["assistant_reply"], answer["title"]) == (202, None, "Hello")
    assert (question["content"], reply["content"], reply["status"]) == ("Hello", "", "in_progress")
    assert response.headers["location"] == f"{messages_of(conversation)}/{reply['message_id']}"
    gate.set()
    assert (await until_ended(openai_service, conversation))["content"] == "Done"
    assert (await got(openai_service, response.headers["location"]))["status"] == "completed"


async def test_a_turn_in_the_background_can_be_followed(openai_service: Service, provider: FakeProvider) -> None:
    """Its events come live, from the first one on."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    response = await say(openai_service, await make(openai_service), "Hello", background=True)
    follow = asyncio.create_task(openai_service.client.get(f"{response.headers['location']}/events"))
    gate.set()
    events = events_of((await follow).text)
    assert events[0].data["user_message"]["content"] == "Hello"
    assert "".join(event.data.get("delta", "") for event in events) == "Half whole"
    assert events[-1].name == "message.completed"


async def test_a_conversation_s_first_turn_may_be_in_the_background(service: Service) -> None:
    """POST /conversations answers 202 with the conversation, its two messages and the reply's place."""
    body = {"user_id": "ada", "message": "Hello", "background": True}
    response = await service.client.post("/conversations", json=body)
    made = response.json()
    assert (response.status_code, made["assistant_reply"], made["title"]) == (202, None, "Hello")
    assert [message["role"] for message in made["messages"]] == ["user", "assistant"]
    assert response.headers["location"] == f"{messages_of(made)}/{made['messages'][1]['message_id']}"
    assert (await until_ended(service, made))["content"] == "Hello"
    assert (await got(service, path_of(made)))["message_count"] == 2


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"message": "Hello", "background": True, "stream": True}, {}),
        ({"message": "Hello", "background": True}, {"Accept": "text/event-stream"}),
        ({"message": "Hello", "background": 1}, {}),
        ({"background": True}, {}),
        ({"stream": True}, {}),
    ],
)
async def test_what_cannot_be_in_the_background_is_refused(
    service: Service, body: dict[str, Any], headers: dict[str, str]
) -> None:
    """With a stream, or without a message, `background` is a 422 and stores nothing."""
    before = await row_counts(service)
    response = await service.client.post("/conversations", json={"user_id": "ada"} | body, headers=headers)
    problem_of(response, 422, "validation-error")
    assert await row_counts(service) == before
