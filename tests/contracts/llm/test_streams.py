"""What every adapter makes of a reply that stalls, breaks off or floods, by a clock that waits for nothing."""

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
    Asked,
    asked,
    attempts,
    failing,
    seconds,
)


def test_a_stall_before_the_first_token_is_given_up(name: str) -> None:
    """Nothing for FIRST_TOKEN_SECONDS closes the provider's connection; it is asked again, three times in all."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.default = Reply([asyncio.Event()])
        error = await failing(ask)
        assert error.code == "provider-timeout-first-token"
        assert seconds() == 3 * 60 + 0.75
        await asyncio.gather(*(call.closed.wait() for call in provider.calls))
        assert router.call is not None
        usage = [attempt.usage for attempt in router.call.attempts]
        assert all(each is not None and each.estimated and each.output_tokens == 0 for each in usage)

    asked(name, scenario)


def test_headers_that_never_come_are_given_up_too(name: str) -> None:
    """The same clock covers a provider that takes the request and does not answer."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        provider.answer(Reply([], before_headers=asyncio.Event()), Reply(["Hi"]))
        await ask()
        assert 60 <= seconds() < 61

    asked(name, scenario)


def test_a_stall_amid_tokens_is_given_up(name: str) -> None:
    """Nothing for IDLE_SECONDS amid a reply ends it, its text kept; it is not asked for again."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("Half ", asyncio.Event())
        error = await failing(ask)
        assert (error.code, router.heard.text, len(provider.calls)) == ("provider-timeout-idle", "Half ", 1)
        assert 30 <= seconds() <= 32
        await provider.calls[0].closed.wait()

    asked(name, scenario)


def test_a_reply_that_goes_on_for_ever_is_ended(name: str) -> None:
    """A provider that sends a token now and then has TURN_SECONDS for all of them."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        gates = [asyncio.Event() for _ in range(40)]
        for at, gate in enumerate(gates):
            asyncio.get_running_loop().call_at(10.0 * at, gate.set)
        provider.reply(*(step for gate in gates for step in (gate, "x")))
        error = await failing(ask)
        assert (error.code, seconds()) == ("provider-timeout-total", 300)
        assert len(router.heard.text) == 30

    asked(name, scenario)


@pytest.mark.parametrize("how", [Cut.FIN, Cut.RST])
def test_a_cut_without_a_finish_reason_is_truncation(name: str, how: Cut) -> None:
    """A connection that ends amid a reply fails it, however it ends; the text is kept."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("Half ", how)
        assert isinstance(await failing(ask), ProviderTruncated)
        assert (router.heard.text, len(provider.calls)) == ("Half ", 1)

    asked(name, scenario)


def test_an_end_without_a_finish_reason_is_truncation(name: str) -> None:
    """A stream that ends well-formed but unfinished is no reply."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("Half ", finish=None)
        assert isinstance(await failing(ask), ProviderTruncated)
        assert router.heard.text == "Half "

    asked(name, scenario)


@pytest.mark.parametrize("how", [Cut.FIN, Cut.RST])
def test_a_cut_behind_the_finish_reason_is_a_reply(name: str, how: Cut) -> None:
    """A reply with its finish reason is whole; only its usage is lost with the connection, and estimated."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        finish = Chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
        gate = asyncio.Event()
        provider.reply("All of it", finish, gate, how)
        reply = asyncio.create_task(ask())
        await provider.wait_calls(1)
        await asyncio.sleep(1)  # virtual: until all that was sent has come
        gate.set()
        ending = await reply
        assert (router.heard.text, ending.finish_reason) == ("All of it", FinishReason.LENGTH)
        assert ending.usage.estimated

    asked(name, scenario)


def test_a_stall_behind_the_finish_reason_is_a_reply(name: str) -> None:
    """A provider that has said why the model stopped has two seconds to end its stream: then the reply is whole."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        finish = Chunk({"choices": [{"index": 0, "delta": {"content": " it"}, "finish_reason": "stop"}]})
        provider.reply("All of", finish, asyncio.Event())
        ending = await ask()
        assert (router.heard.text, ending.finish_reason, seconds()) == ("All of it", FinishReason.STOP, 2)
        assert router.outcomes == [(name, "completed")]
        await provider.calls[0].closed.wait()

    asked(name, scenario)


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [("server_error", None, "provider-error"), ("x", "rate_limit_exceeded", "provider-rate-limited")],
)
def test_an_error_amid_a_stream_is_a_failure(name: str, kind: str, code: str | None, expected: str) -> None:
    """An error object inside a 200 stream ends the reply with what it says, the text before it kept."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("Half ", stream_error("no more", code, kind))
        assert (await failing(ask)).code == expected
        assert (router.heard.text, len(provider.calls)) == ("Half ", 1)

    asked(name, scenario)


@pytest.mark.parametrize("reason", ["error", "insufficient_system_resource"])
def test_a_reply_that_was_given_up_is_a_failure(name: str, reason: str) -> None:
    """A finish reason that says that the provider could not go on is no end of a reply."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("Half ", finish=reason)
        assert (await failing(ask)).code == "provider-error"
        assert router.heard.text == "Half "

    asked(name, scenario)


def test_an_error_in_groq_s_own_member_is_a_failure(name: str) -> None:
    """Groq says why it stops a stream early in `x_groq`; the finish reason behind that does not make it whole."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("Half ", Chunk({"choices": [], "x_groq": {"id": "req", "error": "over capacity"}}))
        assert (await failing(ask)).code == "provider-error"
        assert (router.heard.text, attempts(router)[0].status_code) == ("Half ", 200)

    asked(name, scenario)


@pytest.mark.parametrize("step", [stream_error("no"), Data('{"choices": 7}')])
def test_a_stream_that_fails_at_once_was_answered(name: str, step: Any) -> None:
    """An attempt that failed within a stream has the status that it came with, also before the first token."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.default = Reply([step])
        await failing(ask)
        assert [attempt.status_code for attempt in attempts(router)] == [200] * 3

    asked(name, scenario)


@pytest.mark.parametrize("broken", ['{"choices": 7}', '{"choices": [7]}', '{"choices": [{"delta": {"content": "no end'])
def test_what_is_no_chunk_is_a_failure(name: str, broken: str) -> None:
    """An object that is no completion, and one whose text cannot be read, fail the reply; what was before is kept."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("Half ", Data(broken))
        assert (await failing(ask)).code == "provider-error"
        assert router.heard.text == "Half "

    asked(name, scenario)


@pytest.mark.parametrize("odd", ['{"choices": [{', "[" * 100_000, "null", "[]", "3", '"text"', "ping"])
def test_payloads_without_text_are_passed_over(name: str, odd: str, caplog: pytest.LogCaptureFixture) -> None:
    """A payload that is no object, and nothing of the reply, takes nothing from it; how many there were is logged."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("All ", Data(odd), "of it")
        await ask()
        assert router.heard.text == "All of it"

    asked(name, scenario)
    passed_over = [vars(record).get("payloads") for record in caplog.records]
    assert passed_over == ([] if odd == "[]" else [1])


FLOOD = 'Flood 😀 \\ "\n' * 800_000


def test_a_flood_in_one_event_is_cut(name: str) -> None:
    """Ten megabytes in one delta are cut at MAX_OUTPUT_CHARACTERS, finished for length, and paid for once."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply(FLOOD)
        ending = await ask()
        assert router.heard.text == FLOOD[:1_000]
        assert ending.finish_reason is FinishReason.LENGTH
        assert len(provider.calls) == 1

    asked(name, scenario, StreamLimits(characters=1_000))


@pytest.mark.parametrize("step", ["word ", Thought("hm ")])
def test_a_flood_of_events_is_cut(name: str, step: Any) -> None:
    """A stream without end, of text or of thoughts, is cut at the same length, and its connection closed."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.default = Reply(Endless(step))
        ending = await ask()
        assert len(router.heard.text) + len(router.heard.reasoning) == 1_000
        assert ending.finish_reason is FinishReason.LENGTH
        await provider.calls[0].closed.wait()

    asked(name, scenario, StreamLimits(characters=1_000))


class Endless(tuple[Any, ...]):
    """The same step again and again."""

    def __new__(cls, step: Any) -> Endless:
        return super().__new__(cls, (step,))

    def __iter__(self) -> Any:
        while True:
            yield self[0]


def test_a_line_without_end_that_is_no_text_is_a_failure(name: str) -> None:
    """What goes on for megabytes without being a text is not kept."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        provider.default = Reply([b"x" * 3_000_000])
        assert isinstance(await failing(ask), ProviderFailed)

    asked(name, scenario)
