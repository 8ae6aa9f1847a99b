"""Two services on one database, in one event loop: a request to one takes effect at the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest
import pytest_asyncio

from app.db import idempotency
from app.domain.idempotency import RETENTION_MS
from app.domain.ids import now_ms
from tests.support.clock import within
from tests.support.parley_client import messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.service import Service, provider_settings, serving
from tests.support.shared import empty
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOP_SECONDS = 1.0


class Pair(NamedTuple):
    """Two services."""

    one: Service
    other: Service


@contextlib.asynccontextmanager
async def pair_of(database_url: str, provider: FakeProvider) -> AsyncIterator[Pair]:
    """Start two services with the same database and provider."""
    configured = provider_settings(provider, database_url=database_url)
    async with serving(configured) as one, serving(configured) as other:
        yield Pair(one, other)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_pair(shared_database_url: str, shared_provider: FakeProvider) -> AsyncIterator[Pair]:
    """Two services for all tests of a module."""
    async with pair_of(shared_database_url, shared_provider) as pair:
        yield pair


@pytest_asyncio.fixture(loop_scope="module")
async def pair(shared_pair: Pair) -> Pair:
    """The two services with an empty database."""
    await empty(shared_pair.one)
    return shared_pair


async def start_reply(pair: Pair, provider: FakeProvider, *steps: Any) -> dict[str, Any]:
    """Start a reply at the first service, and return it with its first text generated."""
    provider.reply("Hälfte 😀 ", *steps)
    accepted = await pair.one.client.post_message(await pair.one.client.create_conversation(), "Hello", background=True)
    await provider.wait_calls(1)
    [run] = pair.one.services.turns.executor.runs.values()
    await run.stream.wait_beyond(0)
    reply: dict[str, Any] = accepted.json()["messages"][1]
    return reply


def message_path(reply: dict[str, Any]) -> str:
    """Return the path of a message."""
    return f"{messages_path(reply)}/{reply['message_id']}"


async def test_reply_is_followed_at_another_process(pair: Pair, provider: FakeProvider) -> None:
    """Readers that resume anywhere in the text get exactly the rest, and the end."""
    gate = asyncio.Event()
    reply = await start_reply(pair, provider, gate, "und Ganzes")
    text = "Hälfte 😀 und Ganzes"
    requests = [
        asyncio.create_task(pair.other.client.get(f"{message_path(reply)}/events", params={"starting_after": k}))
        for k in range(len(text) + 1)
    ]
    async with pair.other.client.stream_events(f"{message_path(reply)}/events") as events:
        async for event in events:
            if event.name == "message.delta":
                assert event.data["delta"] == "Hälfte 😀 "
                break
    gate.set()
    for k, response in enumerate(await asyncio.gather(*requests)):
        rest = parse_events(response.text)
        assert "".join(event.data.get("delta", "") for event in rest) == text[k:]
        assert (rest[-1].name, rest[-1].id) == ("message.completed", f"{len(text)}-end")
        assert (rest[0].name == "turn.started") == (k == 0)


async def test_turn_is_cancelled_from_another_process(pair: Pair, provider: FakeProvider) -> None:
    """Within a second the provider's connection is closed and the text is stored."""
    reply = await start_reply(pair, provider, asyncio.Event())
    events = asyncio.create_task(pair.one.client.get(f"{message_path(reply)}/events"))
    assert (await pair.other.client.post(f"{message_path(reply)}/cancel")).status_code == 202
    async with within(STOP_SECONDS):
        await provider.calls[0].closed.wait()
    assert parse_events((await events).text)[-1].name == "message.cancelled"
    stored = await pair.other.client.get_json(message_path(reply))
    assert (stored["status"], stored["content"]) == ("cancelled", "Hälfte 😀 ")
    expect_problem(await pair.one.client.post(f"{message_path(reply)}/cancel"), 409, "already-finished")


async def test_interrupt_from_another_process(pair: Pair, provider: FakeProvider) -> None:
    """`interrupt` cancels the running and queued turns of another process, whose clients are answered."""
    reply = await start_reply(pair, provider, asyncio.Event())
    waiting = asyncio.create_task(pair.one.client.post_message(reply, "Second"))
    await pair.one.client.wait_for_count(reply, 4)
    answer = await pair.other.client.send(reply, "Third", on_busy="interrupt")
    assert answer["assistant_reply"] == "Echo: Third"
    assert [message["status"] for message in answer["messages"][1::2]] == ["cancelled", "cancelled", "completed"]
    assert (await waiting).json()["assistant_reply"] == ""
    assert len(provider.calls) == 2


async def test_turns_of_both_processes_run_in_order(pair: Pair, provider: FakeProvider) -> None:
    """A turn waits for an earlier one of another process, and its prompt has that one's reply."""
    gate = asyncio.Event()
    reply = await start_reply(pair, provider, gate, "und Ganzes")
    later = asyncio.create_task(pair.other.client.post_message(reply, "Second"))
    await pair.one.client.wait_for_count(reply, 4)
    gate.set()
    assert (await later).json()["assistant_reply"] == "Echo: Second"
    told_it = [message["content"] for message in provider.calls[1].body["messages"]]
    assert told_it == ["Hello", "Hälfte 😀 und Ganzes", "Second"]


@pytest_asyncio.fixture(loop_scope="module")
async def draining_pair(database_url: str, provider: FakeProvider) -> AsyncIterator[Pair]:
    """Two services for a test that drains one of them."""
    async with pair_of(database_url, provider) as pair:
        yield pair


async def test_queued_regenerate_is_adopted(draining_pair: Pair, provider: FakeProvider) -> None:
    """Another process takes it from a draining one; superseded replies are not in its prompt."""
    pair = draining_pair
    old = (await pair.one.client.create_conversation(message="Hello"))["messages"][1]
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    path = f"{message_path(old)}/regenerate"
    first, second = [
        (await pair.one.client.post(path, json={"background": True})).json()["messages"][1]["message_id"]
        for _ in range(2)
    ]
    await provider.wait_calls(2)
    executor = pair.one.services.turns.executor
    drained = asyncio.create_task(executor.drain(30))
    while second in executor.runs:  # noqa: ASYNC110  it sets no event
        await asyncio.sleep(0)
    gate.set()
    await drained
    ended = (await pair.other.client.get_events(f"{messages_path(old)}/{second}/events"))[-1]
    assert (ended.name, ended.data["message"]["content"]) == ("message.completed", "Echo: Hello")
    messages = await pair.other.client.get_json(messages_path(old))
    assert [each["superseded_by"] for each in messages] == [None, first, second, None]
    assert [[message["content"] for message in call.body["messages"]] for call in provider.calls] == [["Hello"]] * 3


async def test_regenerate_interrupts_another_process(pair: Pair, provider: FakeProvider) -> None:
    """The reply that another process generates to the question is cancelled with its text, and superseded."""
    old = (await pair.one.client.create_conversation(message="Hello"))["messages"][1]
    provider.reply("Half ", asyncio.Event())
    path = f"{message_path(old)}/regenerate"
    running = (await pair.one.client.post(path, json={"background": True})).json()["messages"][1]["message_id"]
    await pair.one.services.turns.executor.runs[running].stream.wait_beyond(0)
    expect_problem(await pair.other.client.post(path, json={"on_busy": "reject"}), 409, "conversation-busy")
    answer = await pair.other.client.post(path, json={"on_busy": "interrupt"})
    replies = answer.json()["messages"][1:]
    assert [each["content"] for each in replies] == ["Echo: Hello", "Half ", "Echo: Hello"]
    assert [each["superseded_by"] for each in replies] == [running, replies[2]["message_id"], None]


async def test_one_key_is_one_turn(pair: Pair, provider: FakeProvider) -> None:
    """Twenty posts under one key at both processes are one turn with one model call."""
    path = messages_path(await pair.one.client.create_conversation())

    async def post(service: Service) -> httpx2.Response:
        return await service.client.post(path, json={"message": "Hello"}, headers={"Idempotency-Key": "k"})

    answers = await asyncio.gather(*(post(pair[n % 2]) for n in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert (len(await pair.one.client.get_json(path)), len(provider.calls)) == (2, 1)


async def test_deletion_ends_readers_of_both(pair: Pair, provider: FakeProvider) -> None:
    """A deleted conversation ends the streams of readers at both processes, and the model call."""
    reply = await start_reply(pair, provider, asyncio.Event())
    readers = [asyncio.create_task(each.client.get(f"{message_path(reply)}/events")) for each in pair]
    while not pair.other.services.turns.remote_replies.followed:  # noqa: ASYNC110  it sets no event
        await asyncio.sleep(0)
    assert (await pair.other.client.delete(f"/conversations/{reply['conversation_id']}")).status_code == 200
    for reader in readers:
        assert parse_events((await reader).text)[-1].name == "message.cancelled"
    await provider.calls[0].closed.wait()


async def test_unread_reply_is_not_polled(pair: Pair, provider: FakeProvider) -> None:
    """A process stops polling another one's reply when its last reader has disconnected."""
    gate = asyncio.Event()
    reply = await start_reply(pair, provider, gate)
    remote_replies = pair.other.services.turns.remote_replies
    async with pair.other.client.stream_events(f"{message_path(reply)}/events") as events:
        await anext(events)
        assert remote_replies.followed == [reply["message_id"]]
    async with within(5):
        while remote_replies.followed:  # noqa: ASYNC110  garbage sets no event
            await asyncio.sleep(0)
    gate.set()
    await pair.one.client.get(f"{message_path(reply)}/events")


async def test_keys_are_kept_for_a_day(pair: Pair, provider: FakeProvider) -> None:
    """A key is kept for 24 hours after the end of its turn, then free again."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    conversation = await pair.one.client.create_conversation()
    path, database = messages_path(conversation), pair.one.database
    headers = {"Idempotency-Key": "k"}
    post = asyncio.create_task(pair.one.client.post(path, json={"message": "Hello"}, headers=headers))
    await provider.wait_calls(1)
    later = now_ms() + 2 * RETENTION_MS
    await database.write(idempotency.expire, later)  # unfinished: its day has not begun
    gate.set()
    await post
    await database.write(idempotency.expire, later)  # seen ended
    await database.write(idempotency.expire, later + RETENTION_MS)
    again = await pair.other.client.post(path, json={"message": "Hello"}, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    await database.write(idempotency.expire, later + RETENTION_MS + 1)
    third = await pair.other.client.post(path, json={"message": "Hello"}, headers=headers)
    assert "idempotency-replayed" not in third.headers
