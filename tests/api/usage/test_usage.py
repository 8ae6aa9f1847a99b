"""Daily usage of a user, summed by provider and model."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.parley_client import ParleyClient, conversation_path, message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import Cut, Reply, Thought
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

HAN = "\u4e2d"

TODAY = datetime.now(UTC).date().isoformat()


async def attempts_of(client: ParleyClient, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """The attempts at a reply."""
    found: list[dict[str, Any]] = await client.get_json(f"{message_path(reply)}/attempts")
    return found


async def usage_of(client: ParleyClient, user_id: str = "ada", **between: str) -> list[dict[str, Any]]:
    """What a user has used."""
    found: list[dict[str, Any]] = await client.get_json("/usage", user_id=user_id, **between)
    return found


async def test_usage_summed_by_day_and_model(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Turns and tokens of a user are summed by day, provider and model, without those of other users."""
    provider.default = Reply(["Hi"], usage=(10, 5))
    conversation = await openai_client.create_conversation(message="One")
    await openai_client.send(conversation, "Two")
    await openai_client.send(conversation, "Three", provider="groq")
    await openai_client.create_conversation(user_id="bob", message="Mine")
    common = {"day": TODAY, "estimated": False}
    assert await usage_of(openai_client) == [
        common
        | {"provider": "groq", "model": "openai/gpt-oss-120b", "turns": 1, "input_tokens": 10, "output_tokens": 5},
        common | {"provider": "openai", "model": "gpt-5-mini", "turns": 2, "input_tokens": 20, "output_tokens": 10},
    ]
    assert [row["turns"] for row in await usage_of(openai_client, "bob")] == [1]
    assert await usage_of(openai_client, "nobody") == []


async def test_usage_outlives_messages(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Usage stays when messages and conversations are deleted, and is deleted with its user."""
    conversation = await openai_client.create_conversation(message="Hello")
    before = await usage_of(openai_client)
    await openai_client.delete(message_path(conversation["messages"][1]))
    await openai_client.delete(conversation_path(conversation))
    assert await usage_of(openai_client) == before != []
    await openai_client.delete("/users/ada")
    assert await usage_of(openai_client) == []
    await openai_client.post("/users", json={"user_id": "ada"})
    assert await usage_of(openai_client) == []


async def test_cancelled_turn_counted(openai_service: Service, provider: FakeProvider) -> None:
    """A cancelled turn has an estimated usage for the text until then."""
    provider.reply("x" * 40, asyncio.Event())
    conversation = await openai_service.client.create_conversation()
    accepted = await openai_service.client.post_message(conversation, "Hello", background=True)
    await provider.wait_calls(1)
    [run] = openai_service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    await openai_service.client.post(f"{accepted.headers['location']}/cancel")
    ended = await openai_service.client.wait_until_ended(conversation)
    assert ended["usage"] == {"input_tokens": 6, "output_tokens": 10, "estimated": True}
    [attempt] = await attempts_of(openai_service.client, ended)
    assert (attempt["outcome"], attempt["usage"]) == ("cancelled", ended["usage"])
    [row] = await usage_of(openai_service.client)
    assert (row["turns"], row["output_tokens"], row["estimated"]) == (1, 10, True)


async def test_estimate_follows_the_script(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Estimated usage counts more tokens for Chinese characters than for Latin ones."""
    provider.reply(Thought(HAN * 10), HAN * 20, HAN * 20, Cut.RST)
    conversation = await openai_client.create_conversation()
    problem = expect_problem(await openai_client.post_message(conversation, HAN * 60), 502, "provider-truncated")
    reply = await openai_client.get_json(message_path(problem))
    assert reply["usage"] == {"input_tokens": 64, "output_tokens": 50, "estimated": True}


async def test_turn_without_client_counted(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """The usage of a turn counts although its client has disconnected."""
    gate = asyncio.Event()
    provider.reply("Hi", gate, usage=(12, 34))
    conversation = await openai_client.create_conversation()
    path = messages_path(conversation)
    async with openai_client.http.stream("POST", path, json={"message": "Hello", "stream": True}) as stream:
        await anext(stream.aiter_lines())
    gate.set()
    await openai_client.wait_until_ended(conversation)
    [row] = await usage_of(openai_client)
    assert (row["input_tokens"], row["output_tokens"]) == (12, 34)


async def test_turn_of_deleted_conversation_counted(openai_service: Service, provider: FakeProvider) -> None:
    """The usage of a turn counts although its conversation was deleted while it ran."""
    provider.reply("Half", asyncio.Event())
    conversation = await openai_service.client.create_conversation()
    await openai_service.client.post_message(conversation, "Hello", background=True)
    await provider.wait_calls(1)
    [run] = openai_service.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    await openai_service.client.delete(conversation_path(conversation))
    await run.stream.wait_finished()
    [row] = await usage_of(openai_service.client)
    assert (row["turns"], row["output_tokens"], row["estimated"]) == (1, 1, True)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"user_id": "ada", "from": "yesterday"},
        {"user_id": "ada", "from": "2026-02-30"},
        {"user_id": "ada", "from": "2026-11-02", "to": "2026-11-01"},
        {"user_id": "ada", "from": "2024-01-01", "to": "2026-01-01"},
        {"user_id": "ada", "since": "2026-01-01"},
    ],
)
async def test_invalid_days_refused(openai_client: ParleyClient, query: dict[str, str]) -> None:
    """Usage needs a user, and a period of valid days in order, of at most a year."""
    expect_problem(await openai_client.get("/usage", params=query), 422, "validation-error")


async def test_period_includes_both_days(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """`from` and `to` are both included in the period, and either may be left out."""
    await openai_client.create_conversation(message="Hello")
    day = datetime.now(UTC).date()
    before, after = (day - timedelta(1)).isoformat(), (day + timedelta(1)).isoformat()
    assert len(await usage_of(openai_client, **{"from": TODAY, "to": TODAY})) == 1
    assert len(await usage_of(openai_client, **{"from": before})) == 1
    assert await usage_of(openai_client, **{"from": after}) == []
    assert await usage_of(openai_client, to=before) == []
