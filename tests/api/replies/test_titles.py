"""Titles that a model writes after the first turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.parley_client import ParleyClient, conversation_path
from tests.support.provider import Call, FakeProvider, echo
from tests.support.replies import Answer, Reply, Thought, server_error
from tests.support.service import Service, provider_settings, serving, wait_for_writers

pytestmark = pytest.mark.asyncio(loop_scope="module")


def is_title(call: Call) -> bool:
    """Return whether a call requests a title."""
    return "Write a title" in call.body["messages"][0]["content"]


async def create_titled_conversation(service: Service, **body: Any) -> dict[str, Any]:
    """Create a conversation, and return it after its title was written."""
    conversation = await service.client.create_conversation(user_id="eve", message="What is **so** special?", **body)
    await wait_for_writers(service)
    found: dict[str, Any] = await service.client.get_conversation(conversation)
    return found


def answer_titles(answer: Answer) -> Callable[[Call], Answer]:
    """Return a provider's answers: this one for titles, an echo otherwise."""
    return lambda call: answer if is_title(call) else echo(call)


async def test_model_titles_conversation(shared_database_url: str, provider: FakeProvider) -> None:
    """With TITLE_MODEL a model's title replaces the first one, without its thinking, marks and quotes."""
    provider.default = answer_titles(Reply([Thought("Hm."), '<think>So?</think>\n**Title:** "Something special".\n']))
    configured = provider_settings(provider, database_url=shared_database_url, title_model="groq:tiny")
    async with serving(configured) as service:
        conversation = await create_titled_conversation(service)
        assert (conversation["title"], conversation["title_source"]) == ("Something special", "model")
        [call] = [call for call in provider.calls if is_title(call)]
        assert (call.dialect is not None, call.body["model"]) == (True, "tiny")
        await service.client.send(conversation, "More")
        await wait_for_writers(service)
        assert sum(map(is_title, provider.calls)) == 1


async def test_user_title_not_overwritten(shared_database_url: str, provider: FakeProvider) -> None:
    """A title that the user has set stays, also when it was set while the model wrote another."""
    gate = asyncio.Event()
    provider.default = answer_titles(Reply([gate, "A model's"]))
    async with serving(provider_settings(provider, database_url=shared_database_url, title_model="tiny")) as service:
        given = await service.client.create_conversation(user_id="eve", message="Already titled", title="Mine")
        later, without = [await service.client.create_conversation(user_id="eve", message="Hello") for _ in range(2)]
        await service.client.patch(conversation_path(later), json={"title": "Mine too"})
        await service.client.patch(conversation_path(without), json={"title": None})
        gate.set()
        await wait_for_writers(service)
        assert [(await service.client.get_conversation(each))["title"] for each in (given, later, without)] == [
            "Mine",
            "Mine too",
            None,
        ]
        assert not any(
            "Already titled" in call.body["messages"][1]["content"] for call in filter(is_title, provider.calls)
        )


@pytest.mark.parametrize(
    "answer",
    [
        server_error(),
        Reply([]),
        Reply(["<think>for ever"]),
        Reply(['"" ']),
        Reply(["x"], finish="content_filter"),
        Reply(["I'm sorry, but I can't help with that."]),
        Reply(['```json\n{"title": null}\n```']),
    ],
)
async def test_failed_title_keeps_first(shared_database_url: str, provider: FakeProvider, answer: Answer) -> None:
    """A model that fails, or returns nothing usable, leaves the title of the first message."""
    provider.default = answer_titles(answer)
    async with serving(provider_settings(provider, database_url=shared_database_url, title_model="tiny")) as service:
        conversation = await create_titled_conversation(service)
        assert (conversation["title"], conversation["title_source"]) == ("What is so special?", "message")


async def test_titles_off_by_default(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Without TITLE_MODEL no model is called for a title."""
    conversation = await openai_client.create_conversation(message="Hello")
    assert (conversation["title"], len(provider.calls)) == ("Hello", 1)
