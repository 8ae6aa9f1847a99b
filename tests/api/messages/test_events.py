"""GET …/messages/{id}/events: a reader from any character, at any time, gets the same text."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.turn_responses import MAX_DELTA
from tests.support.parley_client import UNKNOWN_ID, ParleyClient, message_path, messages_path
from tests.support.problems import expect_problem, without_request_id
from tests.support.provider import FakeProvider
from tests.support.sse import Event, parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Ωμέγα 😀 é 漢字 \r\n\n data: x"
"""Characters of one to four bytes, a combining one, and text that looks like an event."""

STORABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def text_of(events: list[Event]) -> str:
    """Join the deltas of events."""
    return "".join(event.data["delta"] for event in events if event.name == "message.delta")


async def resume(client: ParleyClient, path: str, **options: Any) -> list[Event]:
    """Read the events of a reply to their end, having checked the headers."""
    response = await client.get(path, **options)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache, no-transform"
    return parse_events(response.text)


async def stream_reply(client: ParleyClient, provider: FakeProvider, *steps: Any) -> tuple[str, list[Event]]:
    """Stream a reply; return the path of its events, and all of them."""
    provider.reply(*steps)
    response = await client.post_message(await client.create_conversation(), "Hello", stream=True)
    events = parse_events(response.text)
    reply = events[0].data["assistant_message"]
    return f"{message_path(reply)}/events", events


async def test_resume_finished_reply(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """From each character the rest of the text comes, by header and by query, then the last event."""
    path, whole = await stream_reply(openai_client, provider, *TEXT)
    assert text_of(whole) == TEXT
    for k in range(len(TEXT) + 1):
        ways: list[dict[str, Any]] = [{"headers": {"Last-Event-ID": str(k)}}, {"params": {"starting_after": k}}]
        for options in ways:
            events = await resume(openai_client, path, **options)
            assert text_of(events) == TEXT[k:]
            assert events[-1] == whole[-1]
            assert [event.id for event in events if event.name == "message.delta"] == [len(TEXT)] * (k < len(TEXT))
            assert (events[0] == whole[0]) == (k == 0)


async def test_resume_running_reply(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Readers that left at any point of a running reply get all of it after they reconnect."""
    gates = [asyncio.Event() for _ in TEXT]
    provider.reply(*[step for gate, character in zip(gates, TEXT, strict=True) for step in (gate, character)])
    accepted = await openai_client.post_message(await openai_client.create_conversation(), "Hello", background=True)
    path = f"{accepted.headers['location']}/events"
    readers = []
    for k, gate in enumerate(gates):
        seen = await read_until(openai_client, path, k)
        readers.append(asyncio.create_task(resume(openai_client, path, headers={"Last-Event-ID": str(k)})))
        assert seen == TEXT[:k]
        gate.set()
    for k, events in enumerate(await asyncio.gather(*readers)):
        assert text_of(events) == TEXT[k:]
        assert (events[-1].name, events[-1].id) == ("message.completed", f"{len(TEXT)}-end")


async def read_until(client: ParleyClient, path: str, length: int) -> str:
    """Read a stream up to so many characters, and disconnect."""
    text = ""
    async with client.stream_events(path) as events:
        async for event in events:
            text += event.data.get("delta", "")
            if event.id >= length:
                break
    return text


@given(
    pieces=st.lists(st.text(STORABLE, min_size=1), min_size=1, max_size=8),
    places=st.lists(st.integers(0, 40), max_size=4),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_parts_equal_whole(
    openai_client: ParleyClient, provider: FakeProvider, pieces: list[str], places: list[int]
) -> None:
    """The parts of any text with any cuts add up to the stored text."""
    path, whole = await stream_reply(openai_client, provider, *pieces)
    text = text_of(whole)
    assert whole[-1].data["message"]["content"] == text == "".join(pieces)
    cuts = sorted({min(place, len(text)) for place in places} | {0})
    parts = [text_of(await resume(openai_client, path, params={"starting_after": cut})) for cut in cuts]
    assert all(part == text[cut:] for part, cut in zip(parts, cuts, strict=True))


async def test_header_wins_over_query(client: ParleyClient) -> None:
    """`Last-Event-ID` decides when both header and query are given."""
    reply = (await client.create_conversation(message="Hello"))["messages"][1]
    path = f"{message_path(reply)}/events"
    events = await resume(client, path, headers={"Last-Event-ID": "3"}, params={"starting_after": 1})
    assert text_of(events) == "lo"


@pytest.mark.parametrize("k", [6, 10**17])
async def test_reader_ahead_gets_last_event(client: ParleyClient, k: int) -> None:
    """A reader that has all of the text, or more, gets the last event only."""
    reply = (await client.create_conversation(message="Hello!"))["messages"][1]
    path = f"{message_path(reply)}/events"
    [event] = await resume(client, path, headers={"Last-Event-ID": str(k)})
    assert (event.name, event.id, event.data["message"]) == ("message.completed", "6-end", reply)


@pytest.mark.parametrize(
    "k", ["-1", "1.0", "x", "+1", "1e3", "0x1", "1_0", "9" * 19, "-end", "end", "5-End", "5-end-end"]
)
@pytest.mark.parametrize("where", ["headers", "params"])
async def test_invalid_position_refused(client: ParleyClient, where: str, k: str) -> None:
    """A malformed or negative position is a 422, in header and query."""
    reply = (await client.create_conversation(message="Hello"))["messages"][1]
    name = "Last-Event-ID" if where == "headers" else "starting_after"
    path = f"{message_path(reply)}/events"
    options: dict[str, Any] = {where: {name: k}}
    expect_problem(await client.get(path, **options), 422, "validation-error")


async def test_user_message_events(client: ParleyClient) -> None:
    """The events of a user's message are its text and `message.completed`."""
    question = (await client.create_conversation(message="Hello"))["messages"][0]
    events = await resume(client, f"{message_path(question)}/events")
    assert [event.name for event in events] == ["message.delta", "message.completed"]
    assert (text_of(events), events[-1].data["message"]) == ("Hello", question)


async def test_foreign_reply_not_found(client: ParleyClient) -> None:
    """Events, cancel and regenerate of another user's reply give the same 404 as an unknown id."""
    reply = (await client.create_conversation(message="Hello"))["messages"][1]
    path = messages_path(reply)
    for method, action in (("GET", "events"), ("POST", "cancel"), ("POST", "regenerate")):
        body: dict[str, Any] = {"json": {}} if action == "regenerate" else {}
        requests = [
            client.request(method, f"{path}/{message_id}/{action}", params={"user_id": user}, **body)
            for message_id, user in ((reply["message_id"], "eve"), (UNKNOWN_ID, "eve"))
        ]
        theirs, nobodys = await asyncio.gather(*requests)
        expect_problem(theirs, 404, "conversation-not-found")
        assert without_request_id(theirs) == without_request_id(nobodys)
    unknown = await client.get(f"{path}/{UNKNOWN_ID}/events")
    expect_problem(unknown, 404, "message-not-found")


async def test_delta_size_limited(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A long text comes in events of bounded length."""
    path, _ = await stream_reply(openai_client, provider, "x" * (2 * MAX_DELTA + 1))
    deltas = [event for event in await resume(openai_client, path) if event.name == "message.delta"]
    assert [len(event.data["delta"]) for event in deltas] == [MAX_DELTA, MAX_DELTA, 1]
    assert [event.id for event in deltas] == [MAX_DELTA, 2 * MAX_DELTA, 2 * MAX_DELTA + 1]


async def test_first_event_shows_empty_reply(client: ParleyClient) -> None:
    """`turn.started` of a finished reply shows it as it was at the start, so that deltas can be added."""
    conversation = await client.create_conversation(message="Hello")
    reply = (await client.send(conversation, "Again"))["messages"][3]
    started = (await resume(client, f"{message_path(reply)}/events"))[0]
    assert started.data["user_message"]["content"] == "Again"
    assert (started.data["assistant_message"]["content"], started.data["assistant_message"]["status"]) == (
        "",
        "in_progress",
    )


async def test_delete_ends_readers(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Readers of a reply whose conversation is deleted get `message.cancelled`."""
    provider.reply("Half ", asyncio.Event())
    conversation = await openai_client.create_conversation()
    accepted = await openai_client.post_message(conversation, "Hello", background=True)
    async with openai_client.stream_events(f"{accepted.headers['location']}/events") as events:
        names = []
        async for event in events:
            names.append(event.name)
            if event.name == "message.delta":
                await openai_client.delete(f"/conversations/{conversation['conversation_id']}")
    assert names == ["turn.started", "message.delta", "message.cancelled"]
