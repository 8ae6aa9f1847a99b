"""A browser's EventSource, which reconnects after every end: after a cut it gets the rest, after the last event 204."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.parley_client import ParleyClient, document_path, message_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.sse import Event, parse_event, parse_events, wait_for_event

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def event_source(client: ParleyClient, path: str, last_id: str = "") -> AsyncIterator[list[Event]]:
    """Yield the events of each connection of an EventSource (WHATWG HTML, 9.2.3), which stops at any answer but 200."""
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        response = await client.get(path, headers=headers)
        if response.status_code != 200:
            assert (response.status_code, response.content) == (204, b"")
            assert response.headers["cache-control"] == "no-store"
            return
        blocks = [block for block in response.text.split("\n\n") if block]
        last_id = next(line.removeprefix("id: ") for line in blocks[-1].split("\n") if line.startswith("id: "))
        yield [parse_event(block) for block in blocks]


def events_path(message: dict[str, Any]) -> str:
    """Return the path of a message's events."""
    return f"{message_path(message)}/events"


async def get_status(client: ParleyClient, path: str, last_event_id: str, **query: str) -> int:
    """Return the status of a request with a `Last-Event-ID`."""
    response = await client.get(path, headers={"Last-Event-ID": last_event_id}, params=query)
    return response.status_code


@pytest.mark.parametrize("model", ["echo", "fail", "fail-midway"])
async def test_stops_after_last_event(client: ParleyClient, model: str) -> None:
    """However a reply ended, an EventSource gets its events once."""
    conversation = await client.create_conversation()
    last = parse_events((await client.post_message(conversation, "one two", stream=True, model=model)).text)[-1]
    path = events_path(last.data["message"])
    [events] = [each async for each in event_source(client, path)]
    assert events[-1] == last
    assert last.id == f"{len(last.data['message']['content'])}-end"


async def test_stops_for_user_message(client: ParleyClient) -> None:
    """The events of a user's message end too, also after an edit that changes its length."""
    question = (await client.create_conversation(message="Hello"))["messages"][0]
    path = events_path(question)
    [events] = [each async for each in event_source(client, path)]
    assert events[-1].id == "5-end"
    await client.put(path.removesuffix("/events"), json={"content": "Hi"})
    assert await get_status(client, path, "5-end") == 204


async def test_last_event_sent_after_cut(client: ParleyClient) -> None:
    """A reader that has all text but not the last event gets that event."""
    reply = (await client.create_conversation(message="Hello"))["messages"][1]
    [[end]] = [each async for each in event_source(client, events_path(reply), "5")]
    assert (end.name, end.id) == ("message.completed", "5-end")


async def test_continues_after_cut(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A reader that was cut off in a running reply gets the rest and the end."""
    provider.reply("Half ", gate := asyncio.Event(), "whole")
    location = (
        await openai_client.post_message(await openai_client.create_conversation(), "Hello", background=True)
    ).headers["location"]
    async with openai_client.stream_events(f"{location}/events") as events:
        event = await wait_for_event(events, "message.delta")
    assert (await openai_client.get(f"{location}/events", headers={"Last-Event-ID": "5-end"})).status_code == 422
    gate.set()
    [rest] = [each async for each in event_source(openai_client, f"{location}/events", str(event.id))]
    assert [(each.name, each.id) for each in rest] == [("message.delta", 10), ("message.completed", "10-end")]


@pytest.mark.parametrize("last_event_id", ["5-end", "0-end", "007-end", "9" * 18 + "-end"])
async def test_any_end_id_is_204(client: ParleyClient, last_event_id: str) -> None:
    """A `Last-Event-ID` that ends with `-end` is a 204 for any number, by GET and HEAD."""
    conversation = await client.create_conversation(message="Hello")
    path = events_path(conversation["messages"][1])
    assert await get_status(client, path, last_event_id) == 204
    assert await get_status(client, path, last_event_id, starting_after="1", user_id="ada") == 204
    assert (await client.head(path, headers={"Last-Event-ID": last_event_id})).status_code == 204
    assert await get_status(client, path, last_event_id, user_id="eve") == 404
    await client.delete(path.removesuffix("/events"))
    assert await get_status(client, path, last_event_id) == 404


@pytest.mark.parametrize(
    "bad", ["end", "-end", "5-END", "5-end-end", "5 -end", "5-end,6-end", "-5-end", "\u0665-end", "9" * 19 + "-end"]
)
async def test_invalid_event_id_refused(client: ParleyClient, bad: str) -> None:
    """A `Last-Event-ID` that is neither a number nor an end is a 422; a query has no ends."""
    path = events_path((await client.create_conversation(message="Hello"))["messages"][1])
    problem = expect_problem(await client.get(path, headers={b"Last-Event-ID": bad.encode()}), 422, "validation-error")
    assert problem["errors"][0]["pointer"] == "header/last-event-id"
    response = await client.get(path, params={"starting_after": "5-end"})
    assert expect_problem(response, 422, "validation-error")["errors"][0]["pointer"] == "?starting_after"


async def test_empty_event_id_ignored(client: ParleyClient) -> None:
    """With an empty `Last-Event-ID` the query decides where the events begin."""
    path = events_path((await client.create_conversation(message="Hello"))["messages"][1])
    for query, first in (({}, "turn.started"), ({"starting_after": "4"}, "message.delta")):
        response = await client.get(path, headers={"Last-Event-ID": ""}, params=query)
        assert parse_events(response.text)[0].name == first


async def test_replay_has_same_ids(client: ParleyClient) -> None:
    """A replayed stream has the same events with the same ids."""
    conversation = await client.create_conversation()
    streams = [
        await client.post(
            messages_path(conversation), json={"message": "Hello", "stream": True}, headers={"Idempotency-Key": "once"}
        )
        for _ in range(2)
    ]
    first, again = [parse_events(each.text) for each in streams]
    assert first[-1] == again[-1]
    assert first[-1].id == "5-end"


async def test_document_events_stop(client: ParleyClient) -> None:
    """A document's last event has the id `end`, after which there are none, until it is read again."""
    document = await client.upload(b"%PDF-1.7\nnothing")
    path = f"{document_path(document)}/events"
    [events] = [each async for each in event_source(client, path)]
    assert [each.id for each in events] == [0] * (len(events) - 1) + ["end"]
    assert events[-1].name == "document.failed"
    assert await get_status(client, path, "end", user_id="eve") == 404
    for other in ("", "0", "5-end", "END", "nonsense"):
        assert await get_status(client, path, other) == 200
    await client.post_document(b"%PDF-1.7\nnothing")
    [*_, again] = [each async for each in event_source(client, path)]
    assert again[-1].id == "end"
    ready = await client.ingest(b"Some text.")
    assert await get_status(client, f"{document_path(ready)}/events", "end") == 204


async def test_each_reply_has_its_own_end(client: ParleyClient) -> None:
    """The ends of two replies are different events."""
    conversation = await client.create_conversation(message="Hello")
    await client.send(conversation, "Again")
    replies = (await client.get(messages_path(conversation))).json()[1::2]
    ends = [[each async for each in event_source(client, events_path(reply))][-1][-1] for reply in replies]
    assert [end.data["message"] for end in ends] == replies
