"""GET …/messages/{id}/events: a reader from any character, at any time, sees what one who never left sees."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.turn_responses import MAX_DELTA
from tests.api.talk import (
    UNKNOWN_ID,
    Event,
    events_of,
    live_events,
    make,
    messages_of,
    problem_of,
    say,
    told,
    without_request_id,
)
from tests.support.provider import FakeProvider
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Ωμέγα 😀 é 漢字 \r\n\n data: x"
"""Characters of one to four bytes, a combining one, and what looks like the wire's own."""

STORABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def text_of(events: list[Event]) -> str:
    """What the deltas of events add up to."""
    return "".join(event.data["delta"] for event in events if event.name == "message.delta")


async def resumed(service: Service, path: str, **options: Any) -> list[Event]:
    """The events of a reply, read to their end."""
    response = await service.client.get(path, **options)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache, no-transform"
    return events_of(response.text)


async def answered(service: Service, provider: FakeProvider, *steps: Any) -> tuple[str, list[Event]]:
    """Where a reply's events are, and what one saw who never left."""
    provider.reply(*steps)
    response = await say(service, await make(service), "Hello", stream=True)
    events = events_of(response.text)
    reply = events[0].data["assistant_message"]
    return f"{messages_of(reply)}/{reply['message_id']}/events", events


async def test_a_finished_reply_is_resumed_from_every_character(
    openai_service: Service, provider: FakeProvider
) -> None:
    """From each k the rest of the text comes, whichever way k is given, then the one last event; from 0 all events."""
    path, whole = await answered(openai_service, provider, *TEXT)
    assert text_of(whole) == TEXT
    for k in range(len(TEXT) + 1):
        ways: list[dict[str, Any]] = [{"headers": {"Last-Event-ID": str(k)}}, {"params": {"starting_after": k}}]
        for options in ways:
            events = await resumed(openai_service, path, **options)
            assert text_of(events) == TEXT[k:]
            assert events[-1] == whole[-1]
            assert [event.id for event in events if event.name == "message.delta"] == [len(TEXT)] * (k < len(TEXT))
            assert (events[0] == whole[0]) == (k == 0)


async def test_a_live_reply_is_resumed_from_every_character(openai_service: Service, provider: FakeProvider) -> None:
    """Readers that left at any point of a reply, its very first event too, see all of it once they are back."""
    gates = [asyncio.Event() for _ in TEXT]
    provider.reply(*[step for gate, character in zip(gates, TEXT, strict=True) for step in (gate, character)])
    accepted = await say(openai_service, await make(openai_service), "Hello", background=True)
    path = f"{accepted.headers['location']}/events"
    readers = []
    for k, gate in enumerate(gates):
        seen = await read_until(openai_service, path, k)
        readers.append(asyncio.create_task(resumed(openai_service, path, headers={"Last-Event-ID": str(k)})))
        assert seen == TEXT[:k]
        gate.set()
    for k, events in enumerate(await asyncio.gather(*readers)):
        assert text_of(events) == TEXT[k:]
        assert (events[-1].name, events[-1].id) == ("message.completed", f"{len(TEXT)}-end")


async def read_until(service: Service, path: str, length: int) -> str:
    """The text as far as so many characters; the reader leaves then, amid the stream."""
    text = ""
    async with service.client.http.stream("GET", path) as response:
        async for event in live_events(response):
            text += event.data.get("delta", "")
            if event.id >= length:
                break
    return text


@given(
    pieces=st.lists(st.text(STORABLE, min_size=1), min_size=1, max_size=8),
    places=st.lists(st.integers(0, 40), max_size=4),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_reading_in_parts_is_reading_the_whole(
    openai_service: Service, provider: FakeProvider, pieces: list[str], places: list[int]
) -> None:
    """Whatever the text and wherever a reader was cut, the parts add up to what is stored."""
    path, whole = await answered(openai_service, provider, *pieces)
    text = text_of(whole)
    assert whole[-1].data["message"]["content"] == text == "".join(pieces)
    cuts = sorted({min(place, len(text)) for place in places} | {0})
    parts = [text_of(await resumed(openai_service, path, params={"starting_after": cut})) for cut in cuts]
    assert all(part == text[cut:] for part, cut in zip(parts, cuts, strict=True))


async def test_the_header_wins(service: Service) -> None:
    """With both, Last-Event-ID says where to go on."""
    reply = (await make(service, message="Hello"))["messages"][1]
    path = f"{messages_of(reply)}/{reply['message_id']}/events"
    events = await resumed(service, path, headers={"Last-Event-ID": "3"}, params={"starting_after": 1})
    assert text_of(events) == "lo"


@pytest.mark.parametrize("k", [6, 10**17])
async def test_a_reader_ahead_of_the_text_gets_the_last_event_alone(service: Service, k: int) -> None:
    """Who has more than is stored, or exactly as much, is told the authoritative message and nothing else."""
    reply = (await make(service, message="Hello!"))["messages"][1]
    path = f"{messages_of(reply)}/{reply['message_id']}/events"
    [event] = await resumed(service, path, headers={"Last-Event-ID": str(k)})
    assert (event.name, event.id, event.data["message"]) == ("message.completed", "6-end", reply)


@pytest.mark.parametrize(
    "k", ["-1", "1.0", "x", "+1", "1e3", "0x1", "1_0", "9" * 19, "-end", "end", "5-End", "5-end-end"]
)
@pytest.mark.parametrize("where", ["headers", "params"])
async def test_what_is_no_number_of_characters_is_refused(service: Service, where: str, k: str) -> None:
    """A malformed or negative k is a 422, in the header and in the query."""
    reply = (await make(service, message="Hello"))["messages"][1]
    name = "Last-Event-ID" if where == "headers" else "starting_after"
    path = f"{messages_of(reply)}/{reply['message_id']}/events"
    options: dict[str, Any] = {where: {name: k}}
    problem_of(await service.client.get(path, **options), 422, "validation-error")


async def test_a_user_s_message_is_its_text_and_its_end(service: Service) -> None:
    """A user's message has events too: no turn, its text, completed."""
    question = (await make(service, message="Hello"))["messages"][0]
    events = await resumed(service, f"{messages_of(question)}/{question['message_id']}/events")
    assert [event.name for event in events] == ["message.delta", "message.completed"]
    assert (text_of(events), events[-1].data["message"]) == ("Hello", question)


async def test_another_user_s_reply_is_as_one_that_never_was(service: Service) -> None:
    """Events of a message that is not the user's are a 404, with the body of an unknown id's."""
    reply = (await make(service, message="Hello"))["messages"][1]
    path = messages_of(reply)
    for method, action in (("GET", "events"), ("POST", "cancel"), ("POST", "regenerate")):
        body: dict[str, Any] = {"json": {}} if action == "regenerate" else {}
        asked = [
            service.client.request(method, f"{path}/{message_id}/{action}", params={"user_id": user}, **body)
            for message_id, user in ((reply["message_id"], "eve"), (UNKNOWN_ID, "eve"))
        ]
        theirs, nobodys = await asyncio.gather(*asked)
        problem_of(theirs, 404, "conversation-not-found")
        assert without_request_id(theirs) == without_request_id(nobodys)
    unknown = await service.client.get(f"{path}/{UNKNOWN_ID}/events")
    problem_of(unknown, 404, "message-not-found")


async def test_a_long_reply_comes_in_pieces(openai_service: Service, provider: FakeProvider) -> None:
    """No event holds more than a bounded number of characters, however much has gathered."""
    path, _ = await answered(openai_service, provider, "x" * (2 * MAX_DELTA + 1))
    deltas = [event for event in await resumed(openai_service, path) if event.name == "message.delta"]
    assert [len(event.data["delta"]) for event in deltas] == [MAX_DELTA, MAX_DELTA, 1]
    assert [event.id for event in deltas] == [MAX_DELTA, 2 * MAX_DELTA, 2 * MAX_DELTA + 1]


async def test_the_first_event_has_the_reply_before_its_first_character(service: Service) -> None:
    """`turn.started` of a reply that has long ended is what it was at the start, so that deltas may be added to it."""
    made = await make(service, message="Hello")
    reply = (await told(service, made, "Again"))["messages"][3]
    started = (await resumed(service, f"{messages_of(made)}/{reply['message_id']}/events"))[0]
    assert started.data["user_message"]["content"] == "Again"
    assert (started.data["assistant_message"]["content"], started.data["assistant_message"]["status"]) == (
        "",
        "in_progress",
    )


async def test_a_deleted_conversation_ends_its_readers(openai_service: Service, provider: FakeProvider) -> None:
    """Readers of a reply whose conversation is deleted are told that it was cancelled."""
    provider.reply("Half ", asyncio.Event())
    conversation = await make(openai_service)
    accepted = await say(openai_service, conversation, "Hello", background=True)
    async with openai_service.client.http.stream("GET", f"{accepted.headers['location']}/events") as response:
        names = []
        async for event in live_events(response):
            names.append(event.name)
            if event.name == "message.delta":
                await openai_service.client.delete(f"/conversations/{conversation['conversation_id']}")
    assert names == ["turn.started", "message.delta", "message.cancelled"]
