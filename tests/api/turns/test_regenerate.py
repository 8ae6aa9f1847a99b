"""POST …/regenerate."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from app.db.checks import conversations
from app.db.transaction import Transaction
from tests.support.parley_client import ParleyClient, message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import context_too_long
from tests.support.rows import row_counts
from tests.support.service import Service
from tests.support.sql import run_sql
from tests.support.sse import parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def regenerate(client: ParleyClient, reply: dict[str, Any], **body: Any) -> httpx2.Response:
    """Regenerate a reply, and return the answer."""
    return await client.post(f"{message_path(reply)}/regenerate", json=body)


async def test_new_reply_supersedes_old(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A regeneration answers the same question with a new number; the old reply stays readable but out of prompts."""
    conversation = await openai_client.create_conversation(message="One")
    before = (await openai_client.send(conversation, "Two"))["messages"][3]
    provider.reply("Better")
    response = await regenerate(openai_client, before)
    assert response.status_code == 201
    answer = response.json()
    after = answer["messages"][-1]
    assert (answer["assistant_reply"], after["sequence_number"], after["superseded_by"]) == ("Better", 5, None)
    old = await openai_client.get_message(before)
    assert old == before | {"superseded_by": after["message_id"]}
    assert (await openai_client.get_conversation(conversation))["message_count"] == 5
    prompt = [message["content"] for message in provider.calls[-1].body["messages"]]
    assert prompt == ["One", "Echo: One", "Two"]
    await openai_client.send(conversation, "Three")
    prompt = [message["content"] for message in provider.calls[-1].body["messages"]]
    assert prompt == ["One", "Echo: One", "Two", "Better", "Three"]


async def test_other_model_regenerates(client: ParleyClient) -> None:
    """A regeneration may use another provider, model, temperature and max_tokens."""
    failed = await client.post_message(conversation := await client.create_conversation(), "Hello", model="fail-midway")
    assert failed.status_code == 502
    reply = (await client.get_messages(conversation))[1]
    answer = (await regenerate(client, reply, model="echo", temperature=0.5, max_tokens=100)).json()
    assert (answer["messages"][-1]["model"], answer["assistant_reply"]) == ("echo", "Hello")


async def test_repeated_regeneration(client: ParleyClient) -> None:
    """Each new reply can be regenerated; a superseded one cannot."""
    first = (await client.create_conversation(message="Hello"))["messages"][1]
    second = (await regenerate(client, first)).json()["messages"][-1]
    third = (await regenerate(client, second)).json()["messages"][-1]
    assert third["sequence_number"] == 4
    expect_problem(await regenerate(client, first), 409, "cannot-regenerate")


async def test_superseded_after_new_text(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """The old reply is superseded when the new one has ended with text, not before."""
    old = (await openai_client.create_conversation(message="Hello"))["messages"][1]
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    path = message_path(old)
    running = await regenerate(openai_client, old, background=True)
    waiting = await regenerate(openai_client, old, background=True)
    await provider.wait_calls(2)
    assert await openai_client.get_json(path) == old
    later = asyncio.create_task(openai_client.post_message(old, "And?"))
    await openai_client.wait_for_count(old, 6)
    gate.set()
    assert (await later).status_code == 201
    messages = await openai_client.get_messages(old)
    [first, second] = [response.json()["messages"][1]["message_id"] for response in (running, waiting)]
    assert [each["superseded_by"] for each in messages] == [None, first, second, None, None, None]
    prompt = [[message["content"] for message in call.body["messages"]] for call in provider.calls[1:]]
    assert prompt == [["Hello"], ["Hello"], ["Hello", "Echo: Hello", "And?"]]


@pytest.mark.parametrize("times", [1, 3])
async def test_failed_regeneration_keeps_old(openai_client: ParleyClient, provider: FakeProvider, times: int) -> None:
    """Failed regenerations leave the old reply in prompts; it and the newest can be regenerated."""
    old = (await openai_client.create_conversation(message="Hello"))["messages"][1]
    for _ in range(times):
        provider.answer(context_too_long())
        expect_problem(await regenerate(openai_client, old), 422, "context-too-long")
    await openai_client.send(old, "And?")
    assert [message["content"] for message in provider.calls[-1].body["messages"]] == ["Hello", "Echo: Hello", "And?"]
    messages = await openai_client.get_messages(old)
    assert {each["superseded_by"] for each in messages} == {None}
    for each in messages[-2:]:
        await openai_client.delete(message_path(each))
    provider.answer(context_too_long())
    expect_problem(await regenerate(openai_client, messages[-3]), 422, "context-too-long")
    after = (await regenerate(openai_client, old)).json()["messages"]
    assert {each["superseded_by"] for each in after[1:-1]} == {after[-1]["message_id"]}


async def test_partial_reply_supersedes(openai_service: Service, provider: FakeProvider) -> None:
    """A new reply that failed or was cancelled after some text supersedes the old one."""
    first = (await openai_service.client.create_conversation(message="Hello"))["messages"][1]
    provider.reply("Cut", finish=None)
    expect_problem(await regenerate(openai_service.client, first), 502, "provider-truncated")
    cut = (await openai_service.client.get_messages(first))[-1]
    provider.reply("Stopped", asyncio.Event())
    accepted = await regenerate(openai_service.client, cut, background=True)
    where = accepted.headers["location"]
    await openai_service.services.turns.executor.runs[where.rpartition("/")[2]].stream.wait_beyond(0)
    await openai_service.client.post(f"{where}/cancel")
    stopped = (await openai_service.client.get_events(f"{where}/events"))[-1].data["message"]
    messages = await openai_service.client.get_messages(first)
    assert [each["superseded_by"] for each in messages] == [None, cut["message_id"], stopped["message_id"], None]
    await openai_service.client.send(first, "And?")
    assert [message["content"] for message in provider.calls[-1].body["messages"]] == ["Hello", "Stopped", "And?"]


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("superseded_by = NULL", "is one of several replies to a question of which none is superseded"),
        ("superseded_by = message_id", "is not superseded by a later reply with text to the same question"),
        ("content = ' '", "is not superseded by a later reply with text to the same question"),
    ],
)
async def test_check_finds_wrong_supersession(service: Service, damage: str, finding: str) -> None:
    """`parley check` reports questions with several current replies, or with none."""
    old = (await service.client.create_conversation(message="Hello"))["messages"][1]
    new = (await regenerate(service.client, old)).json()["messages"][-1]
    assert await service.database.read(conversations.findings, service.database.kind) == []
    harmed = new if "content" in damage else old

    def harm() -> Transaction[list[str]]:
        yield from run_sql(f"UPDATE messages SET {damage} WHERE message_id = $1", harmed["message_id"])
        return (yield from conversations.findings(service.database.kind))

    assert finding in str(await service.database.write(harm))


async def test_regeneration_queued(openai_service: Service, provider: FakeProvider) -> None:
    """A regeneration behind a running turn waits, is refused, or interrupts, as `on_busy` says."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    conversation = await openai_service.client.create_conversation()
    await openai_service.client.post_message(conversation, "First", background=True)
    waiting = (await openai_service.client.post_message(conversation, "Second", background=True)).json()["messages"][1]
    path = message_path(waiting)
    assert (await openai_service.client.post(f"{path}/cancel")).json()["status"] == "cancelled"
    before = await row_counts(openai_service)
    busy = expect_problem(await regenerate(openai_service.client, waiting, on_busy="reject"), 409, "conversation-busy")
    assert busy["message_id"] == (await openai_service.client.get_messages(waiting))[1]["message_id"]
    assert await row_counts(openai_service) == before
    queued = asyncio.create_task(regenerate(openai_service.client, waiting, stream=True))
    await openai_service.client.wait_for_count(conversation, 5)
    gate.set()
    events = parse_events((await queued).text)
    assert events[0].data["assistant_message"]["status"] == "queued"
    assert events[-1].data["message"]["content"] == "Echo: Second"
    prompt = [message["content"] for message in provider.calls[1].body["messages"]]
    assert prompt == ["First", "Half whole", "Second"]


async def test_regeneration_interrupts(openai_service: Service, provider: FakeProvider) -> None:
    """With `interrupt` another running regeneration is cancelled with its text and superseded."""
    old = (await openai_service.client.create_conversation(message="Hello"))["messages"][1]
    provider.reply("Half ", asyncio.Event())
    running = (await regenerate(openai_service.client, old, background=True)).json()["messages"][1]
    await openai_service.services.turns.executor.runs[running["message_id"]].stream.wait_beyond(0)
    answer = (await regenerate(openai_service.client, old, on_busy="interrupt")).json()
    replies = answer["messages"][1:]
    assert [(each["status"], each["content"], each["superseded_by"]) for each in replies] == [
        ("completed", "Echo: Hello", running["message_id"]),
        ("cancelled", "Half ", replies[2]["message_id"]),
        ("completed", "Echo: Hello", None),
    ]
    assert provider.calls[1].closed.is_set()


async def test_regeneration_queue_limit(openai_service: Service, provider: FakeProvider) -> None:
    """A conversation's queue limit applies to regenerations, and a refused one takes no number."""
    old = (await openai_service.client.create_conversation(message="Hello"))["messages"][1]
    provider.reply(gate := asyncio.Event(), "Whole")
    for _ in range(64):
        assert (await regenerate(openai_service.client, old, background=True)).status_code == 202
    before = await row_counts(openai_service)
    expect_problem(await regenerate(openai_service.client, old), 409, "queue-full")
    assert await row_counts(openai_service) == before
    waiting = list(openai_service.services.turns.executor.runs.values())
    for run in waiting[1:]:
        await openai_service.client.post(f"{messages_path(old)}/{run.reply.message_id}/cancel")
    gate.set()
    await asyncio.gather(*(run.stream.wait_finished() for run in waiting))
    assert (await openai_service.client.get_messages(old, limit=100))[1]["superseded_by"] == waiting[0].reply.message_id


async def test_regeneration_with_key(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A regeneration with a key is made once, while it waits and afterwards."""
    gate = asyncio.Event()
    provider.reply(gate, "First")
    conversation = await openai_client.create_conversation()
    await openai_client.post_message(conversation, "One", background=True)
    old = (await openai_client.post_message(conversation, "Two", background=True)).json()["messages"][1]
    path, headers = message_path(old), {"Idempotency-Key": "again"}
    await openai_client.post(f"{path}/cancel")
    body = {"background": True, "on_busy": "queue"}
    answers = [await openai_client.post(f"{path}/regenerate", json=body, headers=headers) for _ in range(3)]
    assert {answer.headers["location"] for answer in answers} == {answers[0].headers["location"]}
    other = await openai_client.post(f"{path}/regenerate", json={"on_busy": "interrupt"}, headers=headers)
    expect_problem(other, 422, "idempotency-key-reused")
    gate.set()
    ended = await openai_client.post(f"{path}/regenerate", json=body | {"background": False}, headers=headers)
    assert (ended.status_code, ended.json()["assistant_reply"]) == (201, "Echo: Two")
    assert (len(provider.calls), len(await openai_client.get_messages(old))) == (2, 5)


async def test_regeneration_forms(client: ParleyClient) -> None:
    """A regeneration can be streamed or run in the background."""
    reply = (await client.create_conversation(message="Hello"))["messages"][1]
    events = parse_events((await regenerate(client, reply, stream=True)).text)
    assert [event.name for event in events] == ["turn.started", "message.delta", "message.completed"]
    assert events[0].data["user_message"]["content"] == "Hello"
    accepted = await regenerate(client, events[-1].data["message"], background=True)
    assert accepted.status_code == 202
    assert [message["role"] for message in accepted.json()["messages"]] == ["user", "assistant"]
    ended = (await client.get_events(f"{accepted.headers['location']}/events"))[-1]
    assert ended.data["message"]["content"] == "Hello"


async def test_only_last_reply(service: Service) -> None:
    """Regenerating an earlier reply is a 409, a user's message a 422, and neither takes a number."""
    conversation = await service.client.create_conversation(message="One")
    await service.client.send(conversation, "Two")
    question, first = conversation["messages"]
    before = await row_counts(service)
    expect_problem(await regenerate(service.client, first), 409, "cannot-regenerate")
    expect_problem(await regenerate(service.client, question), 422, "validation-error")
    assert await row_counts(service) == before
    assert (await service.client.send(conversation, "Three"))["messages"][-1]["sequence_number"] == 6


async def test_unfinished_reply_not_regenerated(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Regenerating a reply that is being written is `turn-unfinished`."""
    gate = asyncio.Event()
    provider.reply(gate, "Done")
    reply = (
        await openai_client.post_message(await openai_client.create_conversation(), "Hello", background=True)
    ).json()["messages"][1]
    expect_problem(await regenerate(openai_client, reply), 409, "turn-unfinished")
    gate.set()
    await openai_client.get(f"{message_path(reply)}/events")
    assert (await regenerate(openai_client, reply)).status_code == 201


async def test_orphaned_reply_not_regenerated(client: ParleyClient) -> None:
    """A reply whose question was deleted cannot be regenerated."""
    question, reply = (await client.create_conversation(message="Hello"))["messages"]
    await client.delete(message_path(question))
    expect_problem(await regenerate(client, reply), 409, "cannot-regenerate")
