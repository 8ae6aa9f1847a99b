"""Turns that are streamed as Server-Sent Events."""

from __future__ import annotations

import asyncio

import pytest

from app.api.sse import HEARTBEAT
from tests.support.parley_client import ParleyClient, conversation_path, messages_path
from tests.support.problems import expect_problem
from tests.support.provider import FakeProvider
from tests.support.replies import Answer, Cut, Reply, byte_by_byte, stream_error, unauthorized
from tests.support.rows import row_counts
from tests.support.service import Service
from tests.support.sse import Event, parse_events

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_stream_from_start_to_end(client: ParleyClient) -> None:
    """A stream has `turn.started`, deltas and the final event, with the messages as stored."""
    conversation = await client.create_conversation()
    started, *deltas, ended = await client.stream_all(conversation, "One two three")
    question, reply = await client.get_messages(conversation)
    assert (started.name, started.id) == ("turn.started", 0)
    assert {each.name for each in deltas} == {"message.delta"}
    assert ended == Event("message.completed", "13-end", {"message": reply})
    assert text_of(deltas) == reply["content"] == "One two three"
    assert started.data["user_message"] == question


async def test_stream_starts_with_empty_reply(client: ParleyClient) -> None:
    """`turn.started` has the title and the empty reply, in progress, with model and number."""
    conversation = await client.create_conversation()
    started = (await client.stream_all(conversation, "Hello"))[0]
    assert started.data.keys() == {"conversation_id", "title", "user_message", "assistant_message"}
    assert (started.data["conversation_id"], started.data["title"]) == (conversation["conversation_id"], "Hello")
    reply = started.data["assistant_message"]
    shown = {name: reply[name] for name in ("status", "content", "sequence_number", "model", "completed_at")}
    empty = {"status": "in_progress", "content": "", "sequence_number": 2, "model": "echo", "completed_at": None}
    assert shown == empty


async def test_first_turn_streamed(client: ParleyClient) -> None:
    """POST /conversations streams too, with the `Location` and the title."""
    body = {"user_id": "ada", "message": "Hello you", "stream": True}
    response = await client.post("/conversations", json=body)
    started, *_, ended = parse_events(response.text)
    read = await client.get_json(response.headers["location"])
    assert (response.status_code, read["conversation_id"]) == (200, started.data["conversation_id"])
    assert (started.data["title"], ended.data["message"]) == ("Hello you", read["messages"][1])


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json;q=0.5, Text/Event-Stream"])
async def test_accept_header_streams(client: ParleyClient, accept: str) -> None:
    """`Accept: text/event-stream` streams without `stream` in the body."""
    conversation = await client.create_conversation()
    for path, more in ((messages_path(conversation), {}), ("/conversations", {"user_id": "ada"})):
        response = await client.post(path, json={"message": "Hello"} | more, headers={"Accept": accept})
        assert parse_events(response.text)[-1].name == "message.completed"


async def test_body_wins_over_accept(client: ParleyClient) -> None:
    """`stream` in the body decides; without it the weights of all `Accept` lines do."""
    conversation = await client.create_conversation()
    for path, more in ((messages_path(conversation), {}), ("/conversations", {"user_id": "ada"})):
        for body, accept, streams in (
            ({"stream": False}, ["text/event-stream"], False),
            ({"stream": True}, ["application/json"], True),
            ({"stream": True}, ["text/event-stream;q=0"], True),
            ({}, ["text/event-stream;q=0"], False),
            ({}, ["application/json, text/event-stream;q=0.5"], False),
            ({}, ["application/json;q=0.5", "text/event-stream"], True),
            ({}, ["*/*"], False),
            ({"background": True, "stream": False}, ["text/event-stream"], False),
        ):
            headers = [("Accept", each) for each in accept]
            response = await client.post(path, json={"message": "Hello"} | more | body, headers=headers)
            assert response.is_success, response.text
            assert response.headers["content-type"].startswith("text/event-stream") == streams
    unsaid = {"user_id": "ada", "stream": False}
    response = await client.post("/conversations", json=unsaid, headers={"Accept": "text/event-stream"})
    assert response.status_code == 201
    await client.wait_until_ended(conversation)


async def test_headers_forbid_buffering(client: ParleyClient) -> None:
    """The headers of a stream forbid caching, transforming and buffering, and give no length."""
    conversation = await client.create_conversation()
    response = await client.post_message(conversation, "Hello", stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-request-id"]
    assert not {"content-length", "content-encoding"} & response.headers.keys()


async def test_stream_requires_message(service: Service) -> None:
    """A stream without a message is refused, and creates neither conversation nor user."""
    for body, headers in (({"stream": True}, {}), ({}, {"Accept": "text/event-stream"})):
        response = await service.client.post("/conversations", json={"user_id": "eve"} | body, headers=headers)
        expect_problem(response, 422, "validation-error")
    assert set((await row_counts(service)).values()) == {0}


async def test_refused_stream_is_a_problem(client: ParleyClient) -> None:
    """A request that is refused before acceptance gets problem+json instead of a stream."""
    conversation = await client.create_conversation()
    response = await client.post_message(conversation, " ", stream=True)
    expect_problem(response, 422, "validation-error")
    response = await client.post_message(conversation, "Hello", stream=True, model="unheard-of")
    expect_problem(response, 422, "unknown-model")


async def test_text_sent_as_it_comes(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Each piece of text is sent at once, with the number of code points so far as its id."""
    conversation = await openai_client.create_conversation()
    pieces = ["Hi ", "😀", "你好", "e\u0301", "👨‍👩‍👧"]
    gates = [asyncio.Event() for _ in pieces]
    provider.reply(*(step for pair in zip(gates, pieces, strict=True) for step in pair))
    async with openai_client.stream(conversation, "Hello") as events:
        await anext(events)
        sent = ""
        for gate, piece in zip(gates, pieces, strict=True):
            gate.set()
            sent += piece
            assert await anext(events) == Event("message.delta", len(sent), {"delta": piece})
        ended = await anext(events)
    assert (ended.name, ended.id, ended.data["message"]["content"]) == ("message.completed", f"{len(sent)}-end", sent)


async def test_text_cannot_forge_events(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """Line ends of every kind, and text like an event, arrive as text."""
    conversation = await openai_client.create_conversation()
    text = "a\nb\r\nc\rd\u2028e\u0085f\n\nevent: message.completed\ndata: {}\n\n"
    provider.reply(text)
    *_, delta, ended = await openai_client.stream_all(conversation, "Hello")
    assert (delta.data["delta"], ended.data["message"]["content"]) == (text, text)


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (["a\ud83d", "\ude00b"], "a😀b"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a\ud83d"], "a\ufffd"),
        (["\ude00a"], "\ufffda"),
        (["a\x00", "\x00b", "\x00"], "ab"),
    ],
)
async def test_unstorable_text_not_streamed(
    openai_client: ParleyClient, provider: FakeProvider, steps: list[str], text: str
) -> None:
    """Surrogate pairs are joined, lone ones replaced, and NUL is dropped in stream and row."""
    conversation = await openai_client.create_conversation()
    provider.default = Reply(steps)
    _, *deltas, ended = await openai_client.stream_all(conversation, "Hello")
    assert text_of(deltas) == ended.data["message"]["content"] == text
    assert await openai_client.get_messages(conversation, after=1) == [ended.data["message"]]


async def test_split_characters_joined(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A reply that arrives byte by byte is streamed in whole characters."""
    conversation = await openai_client.create_conversation()
    provider.reply("é", "你好", "😀", slices=byte_by_byte)
    _, *deltas, ended = await openai_client.stream_all(conversation, "Hello")
    assert text_of(deltas) == ended.data["message"]["content"] == "é你好😀"


@pytest.mark.parametrize(
    ("answer", "text", "code"),
    [
        pytest.param(unauthorized(), "", "provider-auth", id="refused"),
        pytest.param(Reply(["Half ", stream_error("no more")]), "Half ", "provider-error", id="error"),
        pytest.param(Reply(["Half "], finish=None), "Half ", "provider-truncated", id="unfinished"),
        pytest.param(Reply(["Half ", Cut.FIN]), "Half ", "provider-truncated", id="cut"),
    ],
)
async def test_failed_stream_ends_with_error(
    openai_client: ParleyClient, provider: FakeProvider, answer: Answer, text: str, code: str
) -> None:
    """A failed turn ends its stream with `message.failed`: the error and the stored message."""
    conversation = await openai_client.create_conversation()
    provider.default = answer
    _, *deltas, ended = await openai_client.stream_all(conversation, "Hello")
    assert (ended.name, ended.id, text_of(deltas)) == ("message.failed", f"{len(text)}-end", text)
    message = ended.data["message"]
    assert ended.data["error"] == message["error"]
    assert (message["status"], message["content"], message["error"]["code"]) == ("failed", text, code)
    assert [message] == await openai_client.get_messages(conversation, after=1)


@pytest.mark.parametrize(
    ("model", "text", "code"),
    [("fail", "", "provider-error"), ("fail-midway", "one ", "provider-error"), ("cut", "one ", "provider-truncated")],
)
async def test_scripted_failure_streamed(client: ParleyClient, model: str, text: str, code: str) -> None:
    """The failures of the scripted model end a stream like a provider's."""
    conversation = await client.create_conversation()
    ended = (await client.stream_all(conversation, "one two", model=model))[-1]
    assert (ended.name, ended.id, ended.data["error"]["code"]) == ("message.failed", f"{len(text)}-end", code)
    assert ended.data["message"]["content"] == text


async def test_heartbeat_is_one_line() -> None:
    """A heartbeat is a comment of one line; an empty line would crash the decoders of two SDKs."""
    assert HEARTBEAT.startswith(b":")
    assert HEARTBEAT.endswith(b"\n")
    assert HEARTBEAT.count(b"\n") == 1


async def test_second_turn_waits(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A turn posted while another runs is `queued`, and calls the model after it."""
    conversation = await openai_client.create_conversation()
    gate = asyncio.Event()
    provider.reply("one", gate)
    async with (
        openai_client.stream(conversation, "First") as first_events,
        openai_client.stream(conversation, "Second") as second_events,
    ):
        started = [await anext(events) for events in (first_events, second_events)]
        assert [each.data["assistant_message"]["status"] for each in started] == ["in_progress", "queued"]
        await provider.wait_calls(1)
        assert len(provider.calls) == 1
        gate.set()
        ended = [[event async for event in events][-1] for events in (first_events, second_events)]
    assert [each.name for each in ended] == ["message.completed"] * 2
    first_reply, second_reply = (each.data["message"] for each in ended)
    assert first_reply["completed_at"] <= second_reply["completed_at"]
    assert [each["content"] for each in provider.calls[1].body["messages"]] == ["First", "one", "Second"]


async def test_queued_turn_reads_history_at_start(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A system prompt changed while a turn waits is in that turn's prompt."""
    conversation = await openai_client.create_conversation(system_prompt="Old")
    gate = asyncio.Event()
    provider.reply("one", gate)
    async with openai_client.stream(conversation, "First") as events:
        await anext(events)
        waiting = asyncio.create_task(openai_client.send(conversation, "Second"))
        await openai_client.wait_for_count(conversation, 4)
        await openai_client.patch(conversation_path(conversation), json={"system_prompt": "New"})
        gate.set()
        await waiting
    assert [call.body["messages"][0]["content"] for call in provider.calls] == ["Old", "New"]


async def test_reader_leaves_stream(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A turn whose streaming client disconnects goes on and its reply is stored."""
    conversation = await openai_client.create_conversation()
    gate = asyncio.Event()
    provider.reply("one ", gate, "two")
    async with openai_client.stream(conversation, "Hello") as events:
        assert [(await anext(events)).id for _ in range(2)] == [0, 4]
    gate.set()
    stored = await openai_client.wait_until_ended(conversation)
    assert (stored["status"], stored["content"]) == ("completed", "one two")
    assert not provider.calls[0].closed.is_set()


async def test_caller_hangs_up(openai_client: ParleyClient, provider: FakeProvider) -> None:
    """A turn whose JSON client disconnects goes on and its reply is stored."""
    conversation = await openai_client.create_conversation()
    gate = asyncio.Event()
    provider.reply("one ", gate, "two")
    post = asyncio.create_task(openai_client.post_message(conversation, "Hello"))
    await provider.wait_calls(1)
    post.cancel()
    await asyncio.wait([post])
    gate.set()
    stored = await openai_client.wait_until_ended(conversation)
    assert (stored["status"], stored["content"]) == ("completed", "one two")


def text_of(deltas: list[Event]) -> str:
    """Join the deltas of a stream, having checked that each id is the length so far."""
    text = ""
    for event in deltas:
        text += event.data["delta"]
        assert event.id == len(text)
    return text
