"""Daily usage of a user, summed by provider and model."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.parley_client import ParleyClient, conversation_path, message_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import Cut, Reply, Thought
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

HAN = "\u4e2d"

TODAY = datetime.now(UTC).date().isoformat()


async def test_usage_summed_by_day_and_model(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """The usage of a user is summed by day, provider and model, without those of other users."""
    provider.default = Reply(["Hi"], usage=(10, 5))
    conversation = await openai_client.create_conversation(message="One")
    await openai_client.send(conversation, "Two")
    await openai_client.send(conversation, "Three", provider="groq")
    await openai_client.create_conversation(user_id="bob", message="Mine")
    common = {"day": TODAY, "estimated": False}
    assert await openai_client.get_usage() == [
        common
        | {"provider": "groq", "model": "openai/gpt-oss-120b", "turns": 1, "input_tokens": 10, "output_tokens": 5},
        common | {"provider": "openai", "model": "gpt-5-mini", "turns": 2, "input_tokens": 20, "output_tokens": 10},
    ]
    assert [row["turns"] for row in await openai_client.get_usage(user_id="bob")] == [1]
    assert await openai_client.get_usage(user_id="nobody") == []


async def test_usage_outlives_messages(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Usage stays when messages and conversations are deleted, and is deleted with its user."""
    conversation = await openai_client.create_conversation(message="Hello")
    before = await openai_client.get_usage()
    await openai_client.delete(message_path(conversation["messages"][1]))
    await openai_client.delete(conversation_path(conversation))
    assert await openai_client.get_usage() == before != []
    await openai_client.delete("/users/ada")
    assert await openai_client.get_usage() == []
    await openai_client.post("/users", json={"user_id": "ada"})
    assert await openai_client.get_usage() == []


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
    [attempt] = await openai_service.client.get_attempts(ended)
    assert (attempt["outcome"], attempt["usage"]) == ("cancelled", ended["usage"])
    [row] = await openai_service.client.get_usage()
    assert (row["turns"], row["output_tokens"], row["estimated"]) == (1, 10, True)


async def test_estimate_follows_the_script(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Estimated usage counts more tokens for Chinese characters than for Latin ones."""
    provider.reply(Thought(HAN * 10), HAN * 20, HAN * 20, Cut.RST)
    conversation = await openai_client.create_conversation()
    problem = expect_problem(await openai_client.post_message(conversation, HAN * 60), 502, "provider-truncated")
    reply = await openai_client.get_message(problem)
    assert reply["usage"] == {"input_tokens": 64, "output_tokens": 50, "estimated": True}


async def test_turn_without_client_counted(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """The usage of a turn counts although its client has disconnected."""
    gate = asyncio.Event()
    provider.reply("Hi", gate, usage=(12, 34))
    conversation = await openai_client.create_conversation()
    async with openai_client.stream(conversation, "Hello") as events:
        await anext(events)
    gate.set()
    await openai_client.wait_until_ended(conversation)
    [row] = await openai_client.get_usage()
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
    [row] = await openai_service.client.get_usage()
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
    assert len(await openai_client.get_usage(**{"from": TODAY, "to": TODAY})) == 1
    assert len(await openai_client.get_usage(**{"from": before})) == 1
    assert await openai_client.get_usage(**{"from": after}) == []
    assert await openai_client.get_usage(to=before) == []
