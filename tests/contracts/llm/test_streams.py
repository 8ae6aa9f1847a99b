"""Every adapter with a reply that stalls, breaks off or floods, on a virtual clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.domain.messages import FinishReason
from app.errors import ProviderFailed, ProviderTruncated
from app.llm.stream_consumer import StreamLimits
from tests.support.provider import FakeProvider
from tests.support.replies import (
    Chunk,
    Cut,
    Data,
    Reply,
    Thought,
    stream_error,
)
from tests.support.routing import (
    RouterHarness,
    attempts,
    error_of,
    run_with_adapter,
    seconds,
)


def test_first_token_timeout(name: str) -> None:
    """Nothing for FIRST_TOKEN_SECONDS closes the connection; there are three attempts."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.default = Reply([asyncio.Event()])
        error = await error_of(complete)
        assert error.code == "provider-timeout-first-token"
        assert seconds() == 3 * 60 + 0.75
        await asyncio.gather(*(call.closed.wait() for call in provider.calls))
        assert harness.call is not None
        usage = [attempt.usage for attempt in harness.call.attempts]
        assert all(each is not None and each.estimated and each.output_tokens == 0 for each in usage)

    run_with_adapter(name, scenario)


def test_headers_timeout(name: str) -> None:
    """A request without an answer has the same time limit."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        provider.answer(Reply([], before_headers=asyncio.Event()), Reply(["Hi"]))
        await complete()
        assert 60 <= seconds() < 61

    run_with_adapter(name, scenario)


def test_idle_timeout(name: str) -> None:
    """Nothing for IDLE_SECONDS within a reply ends it with its text, without a retry."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("Half ", asyncio.Event())
        error = await error_of(complete)
        assert (error.code, harness.sink.text, len(provider.calls)) == ("provider-timeout-idle", "Half ", 1)
        assert 30 <= seconds() <= 32
        await provider.calls[0].closed.wait()

    run_with_adapter(name, scenario)


def test_total_timeout(name: str) -> None:
    """A provider that sends a token now and then is stopped after TURN_SECONDS."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        gates = [asyncio.Event() for _ in range(40)]
        for at, gate in enumerate(gates):
            asyncio.get_running_loop().call_at(10.0 * at, gate.set)
        provider.reply(*(step for gate in gates for step in (gate, "x")))
        error = await error_of(complete)
        assert (error.code, seconds()) == ("provider-timeout-total", 300)
        assert len(harness.sink.text) == 30

    run_with_adapter(name, scenario)


@pytest.mark.parametrize("how", [Cut.FIN, Cut.RST])
def test_lost_connection_is_truncation(name: str, how: Cut) -> None:
    """A connection that ends within a reply fails it, with its text."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("Half ", how)
        assert isinstance(await error_of(complete), ProviderTruncated)
        assert (harness.sink.text, len(provider.calls)) == ("Half ", 1)

    run_with_adapter(name, scenario)


def test_missing_finish_reason_is_truncation(name: str) -> None:
    """A well-formed stream without a finish reason is no complete reply."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("Half ", finish=None)
        assert isinstance(await error_of(complete), ProviderTruncated)
        assert harness.sink.text == "Half "

    run_with_adapter(name, scenario)


@pytest.mark.parametrize("how", [Cut.FIN, Cut.RST])
def test_connection_lost_after_finish_reason(name: str, how: Cut) -> None:
    """The reply is complete; its usage is lost, and estimated."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        finish = Chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
        gate = asyncio.Event()
        provider.reply("All of it", finish, gate, how)
        reply = asyncio.create_task(complete())
        await provider.wait_calls(1)
        await asyncio.sleep(1)  # virtual: until all that was sent has come
        gate.set()
        ending = await reply
        assert (harness.sink.text, ending.finish_reason) == ("All of it", FinishReason.LENGTH)
        assert ending.usage.estimated

    run_with_adapter(name, scenario)


def test_stall_after_finish_reason(name: str) -> None:
    """The stream has two seconds to end, then the reply is complete."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        finish = Chunk({"choices": [{"index": 0, "delta": {"content": " it"}, "finish_reason": "stop"}]})
        provider.reply("All of", finish, asyncio.Event())
        ending = await complete()
        assert (harness.sink.text, ending.finish_reason, seconds()) == ("All of it", FinishReason.STOP, 2)
        assert harness.outcomes == [(name, "completed")]
        await provider.calls[0].closed.wait()

    run_with_adapter(name, scenario)


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [("server_error", None, "provider-error"), ("x", "rate_limit_exceeded", "provider-rate-limited")],
)
def test_error_in_stream_is_failure(name: str, kind: str, code: str | None, expected: str) -> None:
    """An error object within a stream fails the reply with its code, and the text before it is kept."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("Half ", stream_error("no more", code, kind))
        assert (await error_of(complete)).code == expected
        assert (harness.sink.text, len(provider.calls)) == ("Half ", 1)

    run_with_adapter(name, scenario)


@pytest.mark.parametrize("reason", ["error", "insufficient_system_resource"])
def test_error_as_finish_reason_is_failure(name: str, reason: str) -> None:
    """A finish reason of a provider that could not go on fails the reply."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("Half ", finish=reason)
        assert (await error_of(complete)).code == "provider-error"
        assert harness.sink.text == "Half "

    run_with_adapter(name, scenario)


def test_groq_error_is_failure(name: str) -> None:
    """An error in `x_groq` fails the reply, in spite of the finish reason after it."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("Half ", Chunk({"choices": [], "x_groq": {"id": "req", "error": "over capacity"}}))
        assert (await error_of(complete)).code == "provider-error"
        assert (harness.sink.text, attempts(harness)[0].status_code) == ("Half ", 200)

    run_with_adapter(name, scenario)


@pytest.mark.parametrize("step", [stream_error("no"), Data('{"choices": 7}')])
def test_failure_in_stream_has_status(name: str, step: Any) -> None:
    """An attempt that fails within a stream has its status, also before the first token."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.default = Reply([step])
        await error_of(complete)
        assert [attempt.status_code for attempt in attempts(harness)] == [200] * 3

    run_with_adapter(name, scenario)


@pytest.mark.parametrize("broken", ['{"choices": 7}', '{"choices": [7]}', '{"choices": [{"delta": {"content": "no end'])
def test_invalid_chunk_is_failure(name: str, broken: str) -> None:
    """An object that is no completion, or whose text cannot be read, fails the reply; earlier text is kept."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("Half ", Data(broken))
        assert (await error_of(complete)).code == "provider-error"
        assert harness.sink.text == "Half "

    run_with_adapter(name, scenario)


@pytest.mark.parametrize("odd", ['{"choices": [{', "[" * 100_000, "null", "[]", "3", '"text"', "ping"])
def test_payload_without_text_is_ignored(name: str, odd: str, caplog: pytest.LogCaptureFixture) -> None:
    """A payload that is no object and has no text does not change the reply; their number is logged."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply("All ", Data(odd), "of it")
        await complete()
        assert harness.sink.text == "All of it"

    run_with_adapter(name, scenario)
    passed_over = [vars(record).get("payloads") for record in caplog.records]
    assert passed_over == ([] if odd == "[]" else [1])


FLOOD = 'Flood 😀 \\ "\n' * 800_000


def test_huge_event_is_cut(name: str) -> None:
    """Ten megabytes in one delta are cut at MAX_OUTPUT_CHARACTERS, with the length as the finish reason."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.reply(FLOOD)
        ending = await complete()
        assert harness.sink.text == FLOOD[:1_000]
        assert ending.finish_reason is FinishReason.LENGTH
        assert len(provider.calls) == 1

    run_with_adapter(name, scenario, StreamLimits(characters=1_000))


@pytest.mark.parametrize("step", ["word ", Thought("hm ")])
def test_endless_stream_is_cut(name: str, step: Any) -> None:
    """Endless text or reasoning is cut at the same length, and the connection closed."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.default = Reply(Endless(step))
        ending = await complete()
        assert len(harness.sink.text) + len(harness.sink.reasoning) == 1_000
        assert ending.finish_reason is FinishReason.LENGTH
        await provider.calls[0].closed.wait()

    run_with_adapter(name, scenario, StreamLimits(characters=1_000))


class Endless(tuple[Any, ...]):
    """A sequence that repeats one step without end."""

    def __new__(cls, step: Any) -> Endless:
        return super().__new__(cls, (step,))

    def __iter__(self) -> Any:
        while True:
            yield self[0]


def test_huge_line_is_failure(name: str) -> None:
    """Megabytes that are no text fail the reply."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        provider.default = Reply([b"x" * 3_000_000])
        assert isinstance(await error_of(complete), ProviderFailed)

    run_with_adapter(name, scenario)
