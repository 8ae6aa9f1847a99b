from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.api.sse import HEARTBEAT
from tests.api.talk import (
    Event,
    events_of,
    got,
    live_events,
    make,
    messages_of,
    path_of,
    problem_of,
    row_counts,
    say,
    streamed,
    told,
    until_accepted,
    until_ended,
)
from tests.support.provider import FakeProvider
from tests.support.replies import Answer, Cut, Reply, byte_by_byte, stream_error, unauthorized
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_stream_tells_a_turn_from_start_to_end(service: Service) -> None:
    """A stream is `turn.started`, deltas and the terminal event, whose messages are those that are stored."""
    made = await make(service)
    started, *deltas, ended = await streamed(service, made, "One two three")
    question, reply = await got(service, messages_of(made))
    assert (started.name, started.id) == ("turn.started", 0)
    assert {each.name for each in deltas} == {"message.delta"}
    assert ended == Event("message.completed", "13-end", {"message": reply})
    assert text_of(deltas) == reply["content"] == "One two three"
    assert started.data["user_message"] == question


async def test_a_stream_starts_with_the_empty_reply(service: Service) -> None:
    """`turn.started` has the title, and the reply as it is at acceptance: in progress, with its model and number."""
    made = await make(service)
    started = (await streamed(service, made, "Hello"))[0]
    assert started.data.keys() == {"conversation_id", "title", "user_message", "assistant_message"}
    assert (started.data["conversation_id"], started.data["title"]) == (made["conversation_id"], "Hello")
    reply = started.data["assistant_message"]
    shown = {name: reply[name] for name in ("status", "content", "sequence_number", "model", "completed_at")}
    empty = {"status": "in_progress", "content": "", "sequence_number": 2, "model": "echo", "completed_at": None}
    assert shown == empty


async def test_a_new_conversations_first_turn_streams(service: Service) -> None:
    """POST /conversations streams as well, says where the conversation is, and has its title at once."""
    body = {"user_id": "ada", "message": "Hello you", "stream": True}
    response = await service.client.post("/conversations", json=body)
    started, *_, ended = events_of(response.text)
    read = await got(service, response.headers["location"])
    assert (response.status_code, read["conversation_id"]) == (200, started.data["conversation_id"])
    assert (started.data["title"], ended.data["message"]) == ("Hello you", read["messages"][1])


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json;q=0.5, Text/Event-Stream"])
async def test_accept_alone_asks_for_a_stream(service: Service, accept: str) -> None:
    """A client that accepts an event stream gets one without saying `stream` in the body."""
    made = await make(service)
    for path, more in ((messages_of(made), {}), ("/conversations", {"user_id": "ada"})):
        response = await service.client.post(path, json={"message": "Hello"} | more, headers={"Accept": accept})
        assert events_of(response.text)[-1].name == "message.completed"


async def test_the_body_wins_over_accept(service: Service) -> None:
    """`stream` in the body decides, either way; without it the weights in `Accept` do, over all of its lines."""
    made = await make(service)
    for path, more in ((messages_of(made), {}), ("/conversations", {"user_id": "ada"})):
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
            response = await service.client.post(path, json={"message": "Hello"} | more | body, headers=headers)
            assert response.is_success, response.text
            assert response.headers["content-type"].startswith("text/event-stream") == streams
    unsaid = {"user_id": "ada", "stream": False}
    response = await service.client.post("/conversations", json=unsaid, headers={"Accept": "text/event-stream"})
    assert response.status_code == 201
    await until_ended(service, made)


async def test_nothing_on_the_way_may_hold_a_stream_back(service: Service) -> None:
    """A stream's headers forbid caching, transforming and buffering, and no length is promised."""
    made = await make(service)
    response = await say(service, made, "Hello", stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-request-id"]
    assert not {"content-length", "content-encoding"} & response.headers.keys()


async def test_a_stream_needs_a_message(service: Service) -> None:
    """A stream without a message is refused, however it was asked for, and makes neither conversation nor user."""
    for body, headers in (({"stream": True}, {}), ({}, {"Accept": "text/event-stream"})):
        response = await service.client.post("/conversations", json={"user_id": "eve"} | body, headers=headers)
        problem_of(response, 422, "validation-error")
    assert set((await row_counts(service)).values()) == {0}


async def test_a_stream_that_cannot_begin_is_a_problem(service: Service) -> None:
    """What is refused before a turn is accepted is problem+json, also for who asked for a stream."""
    made = await make(service)
    response = await say(service, made, " ", stream=True)
    problem_of(response, 422, "validation-error")
    response = await say(service, made, "Hello", stream=True, model="unheard-of")
    problem_of(response, 422, "unknown-model")


async def test_text_is_sent_while_the_model_writes(openai_service: Service, provider: FakeProvider) -> None:
    """Each piece of text arrives before the next is written, under the number of code points sent so far."""
    made = await make(openai_service)
    pieces = ["Hi ", "😀", "你好", "e\u0301", "👨‍👩‍👧"]
    gates = [asyncio.Event() for _ in pieces]
    provider.reply(*(step for pair in zip(gates, pieces, strict=True) for step in pair))
    async with posted_stream(openai_service, made, "Hello") as response:
        events = live_events(response)
        await anext(events)
        sent = ""
        for gate, piece in zip(gates, pieces, strict=True):
            gate.set()
            sent += piece
            assert await anext(events) == Event("message.delta", len(sent), {"delta": piece})
        ended = await anext(events)
    assert (ended.name, ended.id, ended.data["message"]["content"]) == ("message.completed", f"{len(sent)}-end", sent)


async def test_text_cannot_break_out_of_its_event(openai_service: Service, provider: FakeProvider) -> None:
    """Line ends of every kind, and text that looks like an event, arrive as the text they are."""
    made = await make(openai_service)
    text = "a\nb\r\nc\rd\u2028e\u0085f\n\nevent: message.completed\ndata: {}\n\n"
    provider.reply(text)
    *_, delta, ended = await streamed(openai_service, made, "Hello")
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
async def test_what_cannot_be_stored_is_not_streamed(
    openai_service: Service, provider: FakeProvider, steps: list[str], text: str
) -> None:
    """Halves of a surrogate pair are joined or replaced and NUL is dropped before the text is sent and stored."""
    made = await make(openai_service)
    provider.default = Reply(steps)
    _, *deltas, ended = await streamed(openai_service, made, "Hello")
    assert text_of(deltas) == ended.data["message"]["content"] == text
    assert await got(openai_service, messages_of(made), after=1) == [ended.data["message"]]


async def test_characters_cut_by_the_network_arrive_whole(openai_service: Service, provider: FakeProvider) -> None:
    """A reply that arrives byte by byte is streamed in whole characters."""
    made = await make(openai_service)
    provider.reply("é", "你好", "😀", slices=byte_by_byte)
    _, *deltas, ended = await streamed(openai_service, made, "Hello")
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
async def test_a_failed_stream_ends_with_its_error(
    openai_service: Service, provider: FakeProvider, answer: Answer, text: str, code: str
) -> None:
    """A turn that fails ends its stream with `message.failed`: the error, and the stored message with its text."""
    made = await make(openai_service)
    provider.default = answer
    _, *deltas, ended = await streamed(openai_service, made, "Hello")
    assert (ended.name, ended.id, text_of(deltas)) == ("message.failed", f"{len(text)}-end", text)
    message = ended.data["message"]
    assert ended.data["error"] == message["error"]
    assert (message["status"], message["content"], message["error"]["code"]) == ("failed", text, code)
    assert [message] == await got(openai_service, messages_of(made), after=1)


@pytest.mark.parametrize(
    ("model", "text", "code"),
    [("fail", "", "provider-error"), ("fail-midway", "one ", "provider-error"), ("cut", "one ", "provider-truncated")],
)
async def test_a_scripted_failure_is_streamed(service: Service, model: str, text: str, code: str) -> None:
    """The scripted model's failures end a stream as a provider's do."""
    made = await make(service)
    ended = (await streamed(service, made, "one two", model=model))[-1]
    assert (ended.name, ended.id, ended.data["error"]["code"]) == ("message.failed", f"{len(text)}-end", code)
    assert ended.data["message"]["content"] == text


async def test_a_heartbeat_is_one_line() -> None:
    """A heartbeat is a comment of one line; an empty line behind it would crash the decoders of two SDKs."""
    assert HEARTBEAT.startswith(b":")
    assert HEARTBEAT.endswith(b"\n")
    assert HEARTBEAT.count(b"\n") == 1


async def test_a_second_turn_waits_for_the_first(openai_service: Service, provider: FakeProvider) -> None:
    """A turn posted while another runs is accepted as `queued`, and asks the model when the first has ended."""
    made = await make(openai_service)
    gate = asyncio.Event()
    provider.reply("one", gate)
    async with (
        posted_stream(openai_service, made, "First") as first,
        posted_stream(openai_service, made, "Second") as second,
    ):
        first_events, second_events = live_events(first), live_events(second)
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


async def test_a_waiting_turn_reads_history_when_it_starts(openai_service: Service, provider: FakeProvider) -> None:
    """A system prompt that is changed while a turn waits is the one that its model is told."""
    made = await make(openai_service, system_prompt="Old")
    gate = asyncio.Event()
    provider.reply("one", gate)
    async with posted_stream(openai_service, made, "First") as response:
        await anext(live_events(response))
        waiting = asyncio.create_task(told(openai_service, made, "Second"))
        await until_accepted(openai_service, made, 4)
        await openai_service.client.patch(path_of(made), json={"system_prompt": "New"})
        gate.set()
        await waiting
    assert [call.body["messages"][0]["content"] for call in provider.calls] == ["Old", "New"]


async def test_a_reader_who_leaves_loses_nothing(openai_service: Service, provider: FakeProvider) -> None:
    """When the client goes amid a stream the turn goes on and its whole reply is stored."""
    made = await make(openai_service)
    gate = asyncio.Event()
    provider.reply("one ", gate, "two")
    async with posted_stream(openai_service, made, "Hello") as response:
        events = live_events(response)
        assert [(await anext(events)).id for _ in range(2)] == [0, 4]
    gate.set()
    stored = await until_ended(openai_service, made)
    assert (stored["status"], stored["content"]) == ("completed", "one two")
    assert not provider.calls[0].closed.is_set()


async def test_a_caller_who_hangs_up_loses_nothing(openai_service: Service, provider: FakeProvider) -> None:
    """When the client of a JSON post goes before the answer the turn goes on and its reply is stored."""
    made = await make(openai_service)
    gate = asyncio.Event()
    provider.reply("one ", gate, "two")
    asked = asyncio.create_task(say(openai_service, made, "Hello"))
    await provider.wait_calls(1)
    asked.cancel()
    await asyncio.wait([asked])
    gate.set()
    stored = await until_ended(openai_service, made)
    assert (stored["status"], stored["content"]) == ("completed", "one two")


def text_of(deltas: list[Event]) -> str:
    """The text of a stream's deltas, each of which has said how long the text is with it."""
    text = ""
    for event in deltas:
        text += event.data["delta"]
        assert event.id == len(text)
    return text


def posted_stream(service: Service, conversation: dict[str, Any], message: str) -> Any:
    """A streamed turn, to be read while it goes on."""
    return service.client.http.stream("POST", messages_of(conversation), json={"message": message, "stream": True})
