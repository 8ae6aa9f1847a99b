"""POST …/regenerate."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from app.db.checks import conversations
from app.db.transaction import Statement, Transaction
from tests.api.talk import (
    events_of,
    got,
    make,
    messages_of,
    path_of,
    problem_of,
    row_counts,
    say,
    told,
    until_accepted,
)
from tests.support.provider import FakeProvider
from tests.support.replies import context_too_long
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


async def test_a_reply_is_superseded_when_the_new_one_has_ended_with_text(
    openai_service: Service, provider: FakeProvider
) -> None:
    """While the new one is made the old one is current: it names no successor, and may be regenerated once more."""
    old = (await make(openai_service, message="Hello"))["messages"][1]
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    path = f"{messages_of(old)}/{old['message_id']}"
    running = await regenerated(openai_service, old, background=True)
    waiting = await regenerated(openai_service, old, background=True)
    await provider.wait_calls(2)
    assert await got(openai_service, path) == old
    later = asyncio.create_task(say(openai_service, old, "And?"))
    await until_accepted(openai_service, old, 6)
    gate.set()
    assert (await later).status_code == 201
    messages = await got(openai_service, messages_of(old))
    [first, second] = [response.json()["messages"][1]["message_id"] for response in (running, waiting)]
    assert [each["superseded_by"] for each in messages] == [None, first, second, None, None, None]
    asked = [[message["content"] for message in call.body["messages"]] for call in provider.calls[1:]]
    assert asked == [["Hello"], ["Hello"], ["Hello", "Echo: Hello", "And?"]]


@pytest.mark.parametrize("times", [1, 3])
async def test_a_reply_outlives_those_that_failed_to_supersede_it(
    openai_service: Service, provider: FakeProvider, times: int
) -> None:
    """However often that fails, models are told the old reply; it and the newest one can be regenerated."""
    old = (await make(openai_service, message="Hello"))["messages"][1]
    for _ in range(times):
        provider.answer(context_too_long())
        problem_of(await regenerated(openai_service, old), 422, "context-too-long")
    await told(openai_service, old, "And?")
    assert [message["content"] for message in provider.calls[-1].body["messages"]] == ["Hello", "Echo: Hello", "And?"]
    messages = await got(openai_service, messages_of(old))
    assert {each["superseded_by"] for each in messages} == {None}
    for each in messages[-2:]:
        await openai_service.client.delete(f"{messages_of(old)}/{each['message_id']}")
    provider.answer(context_too_long())
    problem_of(await regenerated(openai_service, messages[-3]), 422, "context-too-long")
    after = (await regenerated(openai_service, old)).json()["messages"]
    assert {each["superseded_by"] for each in after[1:-1]} == {after[-1]["message_id"]}


async def test_a_reply_that_was_cut_short_supersedes_too(openai_service: Service, provider: FakeProvider) -> None:
    """Text is text: a new reply that failed amid it, or was stopped, is the one that models are told."""
    first = (await make(openai_service, message="Hello"))["messages"][1]
    provider.reply("Cut", finish=None)
    problem_of(await regenerated(openai_service, first), 502, "provider-truncated")
    cut = (await got(openai_service, messages_of(first)))[-1]
    provider.reply("Stopped", asyncio.Event())
    accepted = await regenerated(openai_service, cut, background=True)
    where = accepted.headers["location"]
    await openai_service.services.turns.executor.runs[where.rpartition("/")[2]].stream.wait_beyond(0)
    await openai_service.client.post(f"{where}/cancel")
    stopped = events_of((await openai_service.client.get(f"{where}/events")).text)[-1].data["message"]
    messages = await got(openai_service, messages_of(first))
    assert [each["superseded_by"] for each in messages] == [None, cut["message_id"], stopped["message_id"], None]
    await told(openai_service, first, "And?")
    assert [message["content"] for message in provider.calls[-1].body["messages"]] == ["Hello", "Stopped", "And?"]


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("superseded_by = NULL", "is one of several replies to a question of which none is superseded"),
        ("superseded_by = message_id", "is not superseded by a later reply with text to the same question"),
        ("content = ' '", "is not superseded by a later reply with text to the same question"),
    ],
)
async def test_what_is_superseded_wrongly_is_found(service: Service, damage: str, finding: str) -> None:
    """`parley check` finds several current replies to a question, and none where a reply is superseded."""
    old = (await make(service, message="Hello"))["messages"][1]
    new = (await regenerated(service, old)).json()["messages"][-1]
    assert await service.database.read(conversations.findings, service.database.kind) == []
    harmed = new if "content" in damage else old

    def harm() -> Transaction[list[str]]:
        yield Statement(f"UPDATE messages SET {damage} WHERE message_id = $1", (harmed["message_id"],))
        return (yield from conversations.findings(service.database.kind))

    assert finding in str(await service.database.write(harm))


async def test_it_waits_in_sequence_order(openai_service: Service, provider: FakeProvider) -> None:
    """A reply that was cancelled while it waited is regenerated behind the turn at work, is refused, or interrupts."""
    gate = asyncio.Event()
    provider.reply("Half ", gate, "whole")
    conversation = await make(openai_service)
    await say(openai_service, conversation, "First", background=True)
    waiting = (await say(openai_service, conversation, "Second", background=True)).json()["messages"][1]
    path = f"{messages_of(waiting)}/{waiting['message_id']}"
    assert (await openai_service.client.post(f"{path}/cancel")).json()["status"] == "cancelled"
    before = await row_counts(openai_service)
    busy = problem_of(await regenerated(openai_service, waiting, on_busy="reject"), 409, "conversation-busy")
    assert busy["message_id"] == (await got(openai_service, messages_of(waiting)))[1]["message_id"]
    assert await row_counts(openai_service) == before
    queued = asyncio.create_task(regenerated(openai_service, waiting, stream=True))
    await until_accepted(openai_service, conversation, 5)
    gate.set()
    events = events_of((await queued).text)
    assert events[0].data["assistant_message"]["status"] == "queued"
    assert events[-1].data["message"]["content"] == "Echo: Second"
    asked = [message["content"] for message in provider.calls[1].body["messages"]]
    assert asked == ["First", "Half whole", "Second"]


async def test_it_may_interrupt(openai_service: Service, provider: FakeProvider) -> None:
    """With `interrupt` another reply that is made to the same question is cancelled with its text, and gives way."""
    old = (await make(openai_service, message="Hello"))["messages"][1]
    provider.reply("Half ", asyncio.Event())
    running = (await regenerated(openai_service, old, background=True)).json()["messages"][1]
    await openai_service.services.turns.executor.runs[running["message_id"]].stream.wait_beyond(0)
    answer = (await regenerated(openai_service, old, on_busy="interrupt")).json()
    replies = answer["messages"][1:]
    assert [(each["status"], each["content"], each["superseded_by"]) for each in replies] == [
        ("completed", "Echo: Hello", running["message_id"]),
        ("cancelled", "Half ", replies[2]["message_id"]),
        ("completed", "Echo: Hello", None),
    ]
    assert provider.calls[1].closed.is_set()


async def test_it_waits_among_64(openai_service: Service, provider: FakeProvider) -> None:
    """A conversation's bound holds for other replies too, and a refused one takes no number."""
    old = (await make(openai_service, message="Hello"))["messages"][1]
    provider.reply(gate := asyncio.Event(), "Whole")
    for _ in range(64):
        assert (await regenerated(openai_service, old, background=True)).status_code == 202
    before = await row_counts(openai_service)
    problem_of(await regenerated(openai_service, old), 409, "queue-full")
    assert await row_counts(openai_service) == before
    waiting = list(openai_service.services.turns.executor.runs.values())
    for run in waiting[1:]:
        await openai_service.client.post(f"{messages_of(old)}/{run.reply.message_id}/cancel")
    gate.set()
    await asyncio.gather(*(run.stream.wait_finished() for run in waiting))
    assert (await got(openai_service, messages_of(old), limit=100))[1]["superseded_by"] == waiting[0].reply.message_id


async def test_under_a_key_it_is_one_reply(openai_service: Service, provider: FakeProvider) -> None:
    """Sent again under its key, while it waits and after that, it is the same; with another `on_busy` it is not."""
    gate = asyncio.Event()
    provider.reply(gate, "First")
    conversation = await make(openai_service)
    await say(openai_service, conversation, "One", background=True)
    old = (await say(openai_service, conversation, "Two", background=True)).json()["messages"][1]
    path, headers = f"{messages_of(old)}/{old['message_id']}", {"Idempotency-Key": "again"}
    await openai_service.client.post(f"{path}/cancel")
    body = {"background": True, "on_busy": "queue"}
    answers = [await openai_service.client.post(f"{path}/regenerate", json=body, headers=headers) for _ in range(3)]
    assert {answer.headers["location"] for answer in answers} == {answers[0].headers["location"]}
    other = await openai_service.client.post(f"{path}/regenerate", json={"on_busy": "interrupt"}, headers=headers)
    problem_of(other, 422, "idempotency-key-reused")
    gate.set()
    ended = await openai_service.client.post(f"{path}/regenerate", json=body | {"background": False}, headers=headers)
    assert (ended.status_code, ended.json()["assistant_reply"]) == (201, "Echo: Two")
    assert (len(provider.calls), len(await got(openai_service, messages_of(old)))) == (2, 5)


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
