"""Turns with `background: true`, which are accepted at once and fetched later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.parley_client import ParleyClient, message_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.rows import row_counts
from tests.support.service import Service
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_turn_accepted_at_once(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A background turn is answered 202 with both messages and the reply's location before the model begins."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    conversation = await openai_client.create_conversation()
    response = await openai_client.post_message(conversation, "Hello", background=True)
    answer = response.json()
    question, reply = answer["messages"]
    assert (response.status_code, answer["assistant_reply"], answer["title"]) == (202, None, "Hello")
    assert (question["content"], reply["content"], reply["status"]) == ("Hello", "", "in_progress")
    assert response.headers["location"] == message_path(reply)
    gate.set()
    assert (await openai_client.wait_until_ended(conversation))["content"] == "Done"
    assert (await openai_client.get_json(response.headers["location"]))["status"] == "completed"


async def test_background_turn_streamed(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """The events of a background turn can be read live, from the first one on."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    response = await openai_client.post_message(await openai_client.create_conversation(), "Hello", background=True)
    follow = asyncio.create_task(openai_client.get(f"{response.headers['location']}/events"))
    gate.set()
    events = parse_events((await follow).text)
    assert events[0].data["user_message"]["content"] == "Hello"
    assert "".join(event.data.get("delta", "") for event in events) == "Half whole"
    assert events[-1].name == "message.completed"


async def test_first_turn_in_background(client: ParleyClient) -> None:
    """POST /conversations with `background` answers 202 with the conversation, both messages and the location."""
    body = {"user_id": "ada", "message": "Hello", "background": True}
    response = await client.post("/conversations", json=body)
    made = response.json()
    assert (response.status_code, made["assistant_reply"], made["title"]) == (202, None, "Hello")
    assert [message["role"] for message in made["messages"]] == ["user", "assistant"]
    assert response.headers["location"] == message_path(made["messages"][1])
    assert (await client.wait_until_ended(made))["content"] == "Hello"
    assert (await client.get_conversation(made))["message_count"] == 2


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
async def test_background_with_stream_refused(service: Service, body: dict[str, Any], headers: dict[str, str]) -> None:
    """`background` with a stream, or without a message, is a 422 and stores nothing."""
    before = await row_counts(service)
    response = await service.client.post("/conversations", json={"user_id": "ada"} | body, headers=headers)
    expect_problem(response, 422, "validation-error")
    assert await row_counts(service) == before
