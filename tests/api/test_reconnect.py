"""A browser's EventSource, which asks again after every end: for the rest after a cut, not after the last event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.talk import Event, event_of, events_of, live_events, make, messages_of, problem_of, say, told
from tests.support.parley_client import ParleyClient
from tests.support.provider import FakeProvider
from tests.support.service import Service
from tests.support.uploads import read, upload, uploaded

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def event_source(client: ParleyClient, path: str, last_id: str = "") -> AsyncIterator[list[Event]]:
    """What each connection of an EventSource brings (WHATWG HTML, section 9.2.3); it stops at any answer but 200."""
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        response = await client.get(path, headers=headers)
        if response.status_code != 200:
            assert (response.status_code, response.content) == (204, b"")
            assert response.headers["cache-control"] == "no-store"
            return
        blocks = [block for block in response.text.split("\n\n") if block]
        last_id = next(line.removeprefix("id: ") for line in blocks[-1].split("\n") if line.startswith("id: "))
        yield [event_of(block) for block in blocks]


def events_path(message: dict[str, Any]) -> str:
    """Where a message's events are."""
    return f"{messages_of(message)}/{message['message_id']}/events"


async def status_of(service: Service, path: str, last_event_id: str, **query: str) -> int:
    """What a reader's place is answered with."""
    response = await service.client.get(path, headers={"Last-Event-ID": last_event_id}, params=query)
    return response.status_code


@pytest.mark.parametrize("model", ["echo", "fail", "fail-midway"])
async def test_an_event_source_stops_after_the_last_event(service: Service, model: str) -> None:
    """However a reply ended, the events are brought once."""
    made = await make(service)
    last = events_of((await say(service, made, "one two", stream=True, model=model)).text)[-1]
    path = events_path(last.data["message"])
    [events] = [each async for each in event_source(service.client, path)]
    assert events[-1] == last
    assert last.id == f"{len(last.data['message']['content'])}-end"


async def test_an_event_source_of_a_user_s_message_stops(service: Service) -> None:
    """A user's message has ended too, also when it is edited into another length."""
    question = (await make(service, message="Hello"))["messages"][0]
    path = events_path(question)
    [events] = [each async for each in event_source(service.client, path)]
    assert events[-1].id == "5-end"
    await service.client.put(path.removesuffix("/events"), json={"content": "Hi"})
    assert await status_of(service, path, "5-end") == 204


async def test_a_reader_cut_before_the_last_event_still_gets_it(service: Service) -> None:
    """One who has all of the text but not the end, by its number, is not taken for one who has the end."""
    reply = (await make(service, message="Hello"))["messages"][1]
    [[end]] = [each async for each in event_source(service.client, events_path(reply), "5")]
    assert (end.name, end.id) == ("message.completed", "5-end")


async def test_an_event_source_goes_on_after_a_cut(openai_service: Service, provider: FakeProvider) -> None:
    """Cut amid a reply that goes on, it has the rest and the end, and then stops."""
    provider.reply("Half ", gate := asyncio.Event(), "whole")
    location = (await say(openai_service, await make(openai_service), "Hello", background=True)).headers["location"]
    async with openai_service.client.http.stream("GET", f"{location}/events") as response:
        async for event in live_events(response):
            if event.name == "message.delta":
                break
    assert (
        await openai_service.client.get(f"{location}/events", headers={"Last-Event-ID": "5-end"})
    ).status_code == 422
    gate.set()
    [rest] = [each async for each in event_source(openai_service.client, f"{location}/events", str(event.id))]
    assert [(each.name, each.id) for each in rest] == [("message.delta", 10), ("message.completed", "10-end")]


@pytest.mark.parametrize("last_event_id", ["5-end", "0-end", "007-end", "9" * 18 + "-end"])
async def test_any_end_is_an_end(service: Service, last_event_id: str) -> None:
    """The form says that a reader has the last event, whatever the number, whoever asks, by GET or HEAD."""
    made = await make(service, message="Hello")
    path = events_path(made["messages"][1])
    assert await status_of(service, path, last_event_id) == 204
    assert await status_of(service, path, last_event_id, starting_after="1", user_id="ada") == 204
    assert (await service.client.head(path, headers={"Last-Event-ID": last_event_id})).status_code == 204
    assert await status_of(service, path, last_event_id, user_id="eve") == 404
    await service.client.delete(path.removesuffix("/events"))
    assert await status_of(service, path, last_event_id) == 404


@pytest.mark.parametrize(
    "bad", ["end", "-end", "5-END", "5-end-end", "5 -end", "5-end,6-end", "-5-end", "\u0665-end", "9" * 19 + "-end"]
)
async def test_another_form_is_refused(service: Service, bad: str) -> None:
    """What is neither a number of characters nor an end is a 422, as ever; in the query no end is one."""
    path = events_path((await make(service, message="Hello"))["messages"][1])
    problem = problem_of(
        await service.client.get(path, headers={b"Last-Event-ID": bad.encode()}), 422, "validation-error"
    )
    assert problem["errors"][0]["pointer"] == "header/last-event-id"
    response = await service.client.get(path, params={"starting_after": "5-end"})
    assert problem_of(response, 422, "validation-error")["errors"][0]["pointer"] == "?starting_after"


async def test_an_empty_last_event_id_is_none(service: Service) -> None:
    """A reader without an event reads from the beginning, or from where the query says."""
    path = events_path((await make(service, message="Hello"))["messages"][1])
    for query, first in (({}, "turn.started"), ({"starting_after": "4"}, "message.delta")):
        response = await service.client.get(path, headers={"Last-Event-ID": ""}, params=query)
        assert events_of(response.text)[0].name == first


async def test_a_replayed_stream_has_the_same_ids(service: Service) -> None:
    """A retry under the same key is sent the events of the turn, the last one's id too."""
    made = await make(service)
    streams = [
        await service.client.post(
            messages_of(made), json={"message": "Hello", "stream": True}, headers={"Idempotency-Key": "once"}
        )
        for _ in range(2)
    ]
    first, again = [events_of(each.text) for each in streams]
    assert first[-1] == again[-1]
    assert first[-1].id == "5-end"


async def test_an_event_source_of_a_document_stops(service: Service) -> None:
    """A document's last event is `end`: with it there is nothing more, unless the document is read once more."""
    document = await uploaded(service.client, b"%PDF-1.7\nnothing")
    path = f"/documents/{document['document_id']}/events"
    [events] = [each async for each in event_source(service.client, path)]
    assert [each.id for each in events] == [0] * (len(events) - 1) + ["end"]
    assert events[-1].name == "document.failed"
    assert await status_of(service, path, "end", user_id="eve") == 404
    for other in ("", "0", "5-end", "END", "nonsense"):
        assert await status_of(service, path, other) == 200
    await upload(service.client, b"%PDF-1.7\nnothing")
    [*_, again] = [each async for each in event_source(service.client, path)]
    assert again[-1].id == "end"
    ready = await read(service.client, await uploaded(service.client, b"Some text."))
    assert await status_of(service, f"/documents/{ready['document_id']}/events", "end") == 204


async def test_the_next_turn_is_not_mistaken_for_the_last(service: Service) -> None:
    """Each reply has an end of its own."""
    made = await make(service, message="Hello")
    await told(service, made, "Again")
    replies = (await service.client.get(messages_of(made))).json()[1::2]
    ends = [[each async for each in event_source(service.client, events_path(reply))][-1][-1] for reply in replies]
    assert [end.data["message"] for end in ends] == replies
