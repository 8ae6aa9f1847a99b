"""The tests' fake provider, seen by the real SDKs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import groq
import httpx
import openai
import pytest

from tests.support.provider import FakeProvider
from tests.support.replies import (
    NO_CHOICES,
    Answer,
    Chunk,
    Cut,
    Data,
    Reply,
    Thought,
    byte_by_byte,
    context_too_long,
    rate_limited,
    redirect,
    server_error,
    stream_error,
    unauthorized,
)

SDK = openai.AsyncOpenAI | groq.AsyncGroq
BROKEN = (openai.APIConnectionError, httpx.RemoteProtocolError, httpx.ReadError)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture(params=["openai", "groq"])
async def sdk(request: pytest.FixtureRequest, provider: FakeProvider) -> AsyncIterator[SDK]:
    if request.param == "openai":
        client: SDK = openai.AsyncOpenAI(api_key="x", base_url=provider.openai_base_url, max_retries=0)
    else:
        client = groq.AsyncGroq(api_key="x", base_url=provider.groq_base_url, max_retries=0)
    async with client:
        yield client


async def ask(sdk: SDK, question: str = "Hello there", **options: Any) -> Any:
    messages: Any = [{"role": "user", "content": question}]
    return await sdk.chat.completions.create(model="m", messages=messages, **options)


async def chunks(sdk: SDK, question: str = "Hello there", **options: Any) -> list[Any]:
    stream = await ask(sdk, question, stream=True, **options)
    return [chunk async for chunk in stream]


def deltas(received: list[Any]) -> list[str]:
    contents = [choice.delta.content for chunk in received for choice in chunk.choices]
    return [content for content in contents if content]


async def test_default_reply_echoes(provider: FakeProvider, sdk: SDK) -> None:
    """A streamed reply repeats the last user message; the call has the request."""
    received = await chunks(sdk)
    assert deltas(received) == ["Echo: ", "Hello ", "there"]
    assert received[-1].choices[0].finish_reason == "stop"
    [call] = provider.calls
    assert call.body["messages"] == [{"role": "user", "content": "Hello there"}]
    assert call.headers["authorization"] == "Bearer x"
    assert call.finished.is_set()
    assert not call.closed.is_set()


async def test_reply_as_document(provider: FakeProvider, sdk: SDK) -> None:
    """Without `stream` the reply is one JSON document."""
    gate = asyncio.Event()
    gate.set()
    provider.reply("Good ", gate, "day", usage=(3, 2))
    completion = await ask(sdk)
    assert completion.choices[0].message.content == "Good day"
    assert completion.usage.total_tokens == 5


async def test_queued_replies_precede_default(provider: FakeProvider, sdk: SDK) -> None:
    """Each call takes the next queued answer, then `default`, over one connection."""
    provider.reply("first")
    provider.reply("second")
    provider.default = Reply(["else"])
    assert [deltas(await chunks(sdk)) for _ in range(3)] == [["first"], ["second"], ["else"]]
    assert provider.connections == 1


async def test_openai_usage(provider: FakeProvider) -> None:
    """The usage is in a last chunk without choices, and only on request."""
    client = openai.AsyncOpenAI(api_key="x", base_url=provider.openai_base_url, max_retries=0)
    async with client:
        silent = await chunks(client)
        with_usage = await chunks(client, stream_options={"include_usage": True})
    assert not any(chunk.usage for chunk in silent)
    assert with_usage[-1].choices == []
    assert with_usage[-1].usage.completion_tokens == 3


async def test_groq_usage(provider: FakeProvider) -> None:
    """The usage is in `x_groq` of the chunk with the finish reason."""
    async with groq.AsyncGroq(api_key="x", base_url=provider.groq_base_url, max_retries=0) as client:
        last = (await chunks(client))[-1]
    assert last.choices[0].finish_reason == "stop"
    assert last.x_groq.usage.prompt_tokens == 2


async def test_gate_holds_reply(provider: FakeProvider, sdk: SDK) -> None:
    """Nothing after a gate is sent before it is set."""
    head, first, second = asyncio.Event(), asyncio.Event(), asyncio.Event()
    provider.reply(first, "a", second, "b", before_headers=head)
    opening = asyncio.create_task(ask(sdk, stream=True))
    await provider.wait_calls(1)
    assert not opening.done()
    head.set()
    stream = await opening
    following = asyncio.create_task(anext(stream))
    first.set()
    assert (await following).choices[0].delta.role == "assistant"
    assert deltas([await anext(stream)]) == ["a"]
    assert provider.active == 1
    second.set()
    assert deltas([chunk async for chunk in stream]) == ["b"]
    assert provider.active == 0


async def test_disconnected_client_closes_call(provider: FakeProvider, sdk: SDK) -> None:
    """A stalled call is closed as soon as its client closes the stream."""
    provider.reply("a", asyncio.Event())
    stream = await ask(sdk, stream=True)
    assert deltas([await anext(stream), await anext(stream)]) == ["a"]
    await stream.close()
    call = await provider.wait_calls(1)
    await asyncio.wait_for(call.closed.wait(), 5)
    assert not call.finished.is_set()
    assert provider.active == 0


@pytest.mark.parametrize("cut", Cut)
async def test_cut_breaks_stream(provider: FakeProvider, sdk: SDK, cut: Cut) -> None:
    """What was sent before the cut arrives, and then an error."""
    seen = asyncio.Event()
    provider.reply("a", seen, cut)
    stream = await ask(sdk, stream=True)
    assert deltas([await anext(stream), await anext(stream)]) == ["a"]
    seen.set()
    with pytest.raises(BROKEN):
        await anext(stream)
    assert not provider.calls[0].finished.is_set()


@pytest.mark.parametrize("cut", Cut)
async def test_cut_before_headers(provider: FakeProvider, sdk: SDK, cut: Cut) -> None:
    """The connection may end without an answer."""
    provider.reply("never", before_headers=cut)
    with pytest.raises((openai.APIConnectionError, groq.APIConnectionError)):
        await ask(sdk)


async def test_reply_without_finish_reason(provider: FakeProvider, sdk: SDK) -> None:
    """The HTTP response is complete, the reply is not."""
    provider.reply("a", finish=None)
    received = await chunks(sdk)
    assert deltas(received) == ["a"]
    assert received[-1].choices[0].finish_reason is None


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (unauthorized(), 401, "invalid_api_key"),
        (rate_limited(retry_after=9), 429, "rate_limit_exceeded"),
        (context_too_long(), 400, "context_length_exceeded"),
        (server_error(503), 503, None),
    ],
    ids=["401", "429", "400", "503"],
)
async def test_refusals(provider: FakeProvider, sdk: SDK, answer: Answer, status: int, code: str | None) -> None:
    """The SDKs raise their own errors, with the provider's body."""
    provider.answer(answer)
    with pytest.raises((openai.APIStatusError, groq.APIStatusError)) as raised:
        await ask(sdk, stream=True)
    error: Any = raised.value
    assert error.status_code == status
    assert error.body.get("error", error.body).get("code") == code
    assert error.response.headers.get("retry-after") == ("9" if status == 429 else None)


async def test_redirect(provider: FakeProvider, sdk: SDK) -> None:
    """The SDKs follow it by default, and another path is not found."""
    provider.answer(redirect("/elsewhere"))
    with pytest.raises((openai.NotFoundError, groq.NotFoundError)):
        await ask(sdk)
    assert [call.path for call in provider.calls][1:] == ["/elsewhere"]


async def test_error_in_stream(provider: FakeProvider, sdk: SDK) -> None:
    """The SDKs raise an error object after the first token."""
    provider.reply("a", stream_error("Overloaded", code="overloaded"))
    with pytest.raises((openai.APIError, groq.APIError), match="Overloaded"):
        await chunks(sdk)


async def test_invalid_json_in_stream(provider: FakeProvider, sdk: SDK) -> None:
    """A payload is sent unchanged; the SDKs cannot parse it."""
    provider.reply("a", Data('{"choices": ['))
    with pytest.raises(ValueError, match="Expecting"):
        await chunks(sdk)


async def test_chunks_of_every_kind(provider: FakeProvider, sdk: SDK) -> None:
    """Reasoning, chunks without choices and further members reach the client."""
    provider.reply(NO_CHOICES, Thought("Hm"), "a", Chunk({"choices": [], "service_tier": "flex"}))
    received = await chunks(sdk)
    assert received[0].choices == []
    thought = received[2].choices[0].delta
    assert (getattr(thought, "reasoning", None) or thought.reasoning_content) == "Hm"
    assert "flex" in {getattr(chunk, "service_tier", None) for chunk in received}


async def test_reply_byte_by_byte(provider: FakeProvider, sdk: SDK) -> None:
    """Characters split between reads and CRLF line ends change nothing."""
    provider.reply("Grüße ", "🙂", slices=byte_by_byte, newline="\r\n")
    assert deltas(await chunks(sdk)) == ["Grüße ", "🙂"]


async def test_surrogate_pair_in_two_deltas(provider: FakeProvider, sdk: SDK) -> None:
    """Each half is sent as a JSON escape."""
    provider.reply("\ud83d", "\ude42")
    assert deltas(await chunks(sdk)) == ["\ud83d", "\ude42"]


async def test_raw_bytes(provider: FakeProvider, sdk: SDK) -> None:
    """The body may be given as bytes."""
    provider.reply(b": ping\n", b'data: {"choices":[{"index":0,"delta":{"con', b'tent":"a"}}]}\n\n', finish=None)
    assert deltas(await chunks(sdk)) == ["a"]


async def test_error_in_answer_is_raised() -> None:
    """An exception of an answer ends its call, and then the test."""

    def fail(_: object) -> Answer:
        raise LookupError("no such answer")

    with pytest.raises(LookupError, match="no such answer"):
        async with FakeProvider() as provider, httpx.AsyncClient() as client:
            provider.default = fail
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post(f"{provider.openai_base_url}/chat/completions", json={})
