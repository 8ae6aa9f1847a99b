"""What every adapter that goes over HTTP makes of what a provider answers, by a clock that waits for nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from app.domain.messages import FinishReason, Usage
from app.errors import (
    AppError,
    ContextTooLong,
    ModelNotFound,
    ProviderAuth,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnavailable,
    TurnFailed,
)
from app.llm.listener import Limits
from app.llm.openai import OpenAIModel
from app.llm.router import Ending
from tests.support.clock import run
from tests.support.provider import FakeProvider
from tests.support.replies import (
    Chunk,
    Cut,
    Data,
    Dialect,
    Reply,
    Response,
    Thought,
    byte_by_byte,
    context_too_long,
    rate_limited,
    redirect,
    server_error,
    stream_error,
    unauthorized,
)
from tests.support.routing import ADAPTERS, KEY, Asked, adapter, asking, target_of

TEXT = "Ωμέγα 😀 漢字 é"
TRIES = 3

Scenario = Callable[[FakeProvider, Asked, Callable[[], Coroutine[Any, Any, Ending]]], Coroutine[Any, Any, None]]


@pytest.fixture(params=ADAPTERS)
def name(request: pytest.FixtureRequest) -> str:
    """Each adapter."""
    chosen: str = request.param
    return chosen


def asked(name: str, scenario: Scenario, limits: Limits | None = None) -> None:
    """Runs a scenario: a provider, a router that knows its adapter alone, and what asks it."""

    async def main() -> None:
        async with FakeProvider() as provider:
            model = adapter(name, provider)
            async with asking(model, limits=limits) as router:
                await scenario(provider, router, lambda: router.reply(target_of(model)))

    run(main())


async def failing(ask: Callable[[], Coroutine[Any, Any, Ending]]) -> AppError:
    """The error that a reply ends with."""
    with pytest.raises(AppError) as caught:
        await ask()
    return caught.value


def seconds() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def test_a_reply_is_what_was_sent(name: str) -> None:
    """Text, finish reason and usage of a plain reply are the provider's; one call, with its first token timed."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("One ", "two", usage=(12, 34))
        ending = await ask()
        assert (router.heard.text, ending) == ("One two", Ending(FinishReason.STOP, Usage(12, 34)))
        assert router.call is not None
        [attempt] = router.call.attempts
        assert (attempt.outcome, attempt.status_code, attempt.usage) == ("completed", 200, Usage(12, 34))
        assert attempt.first_token_ms is not None

    asked(name, scenario)


@pytest.mark.parametrize("pause", [0, 1, 2, 47])
def test_a_rate_limit_is_waited_for(name: str, pause: int) -> None:
    """Where nobody else can be asked, a `Retry-After` that fits the turn is obeyed, and the reply comes then."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.answer(rate_limited(retry_after=pause), Reply(["Hi"]))
        began = seconds()
        await ask()
        assert pause <= seconds() - began < pause + 1
        assert router.outcomes == [(name, "provider-rate-limited"), (name, "completed")]

    asked(name, scenario)


def test_a_rate_limit_s_date_is_waited_for(name: str) -> None:
    """`Retry-After` may be a date (RFC 9110)."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        provider.answer(Response(429, b"{}", {"retry-after": date}), Reply(["Hi"]))
        began = seconds()
        await ask()
        assert 50 < seconds() - began < 62

    asked(name, scenario)


@pytest.mark.parametrize(
    "header", ["600", "601.5", format_datetime(datetime.now(UTC) + timedelta(days=2), usegmt=True)]
)
def test_a_rate_limit_beyond_the_turn_is_passed_on(name: str, header: str) -> None:
    """A `Retry-After` that the turn has no time for ends it at once, and says how long it is."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.default = Response(429, b"{}", {"retry-after": header})
        error = await failing(ask)
        assert isinstance(error, ProviderRateLimited)
        assert error.retry_after is not None
        assert error.retry_after >= 600
        assert (len(provider.calls), seconds()) == (1, 0)

    asked(name, scenario)


@pytest.mark.parametrize("header", ["", "soon", "-5", "1e9", "0x10", "٣", "Thu, 99 Foo 2026 25:00:00 GMT"])
def test_a_rate_limit_without_sense_is_one_without_a_pause(name: str, header: str) -> None:
    """A `Retry-After` that is neither seconds nor a date is passed over."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        provider.answer(Response(429, b"{}", {"retry-after": header.encode().decode("latin-1")}), Reply(["Hi"]))
        await ask()
        assert seconds() < 1

    asked(name, scenario)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(server_error(500), ProviderFailed, id="500"),
        pytest.param(server_error(503), ProviderFailed, id="503"),
        pytest.param(Response(529, b"<html>busy</html>"), ProviderFailed, id="529"),
        pytest.param(Response(408, b"{}"), ProviderFailed, id="408"),
        pytest.param(rate_limited(None), ProviderRateLimited, id="429"),
        pytest.param(Reply([], before_headers=Cut.FIN), ProviderUnavailable, id="closed"),
        pytest.param(Reply([], before_headers=Cut.RST), ProviderUnavailable, id="reset"),
        pytest.param(Reply([], finish=None), ProviderTruncated, id="nothing"),
        pytest.param(Reply([stream_error("overloaded")]), ProviderFailed, id="error-first"),
        pytest.param(Reply([Data('{"choices": [{')]), ProviderFailed, id="broken-json"),
        pytest.param(Response(200, b"<html>hello</html>"), ProviderTruncated, id="html"),
    ],
)
def test_a_provider_in_trouble_is_asked_three_times(name: str, answer: Any, kind: type[AppError]) -> None:
    """A failure before the reply has begun is retried twice, with pauses; then it is the turn's."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.default = answer
        error = await failing(ask)
        assert type(error) is kind
        assert (len(provider.calls), seconds()) == (TRIES, 0.75)
        assert router.outcomes == [(name, error.code)] * TRIES

    asked(name, scenario)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(unauthorized(), ProviderAuth, id="401"),
        pytest.param(Response(403, b"{}"), ProviderAuth, id="403"),
        pytest.param(Response(400, b"{}"), TurnFailed, id="400"),
        pytest.param(Response(404, b"nothing here"), TurnFailed, id="404"),
        pytest.param(Response(422, b'{"error": "no"}'), TurnFailed, id="422"),
        pytest.param(Response(404, b'{"error": {"code": "model_not_found"}}'), ModelNotFound, id="model"),
        pytest.param(context_too_long(), ContextTooLong, id="context"),
        pytest.param(redirect("http://127.0.0.1:9/"), TurnFailed, id="302"),
    ],
)
def test_a_request_that_is_refused_is_not_sent_again(name: str, answer: Any, kind: type[AppError]) -> None:
    """What is wrong with the request or its key is no better the second time, costs nothing, and blames nobody."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.default = answer
        for _ in range(6):
            error = await failing(ask)
            assert type(error) is kind
            assert router.call is not None
            [attempt] = router.call.attempts
            assert (attempt.usage, attempt.status_code) == (None, answer.status)
        assert (len(provider.calls), seconds()) == (6, 0)

    asked(name, scenario)


def test_a_redirect_is_not_followed(name: str) -> None:
    """A provider that sends us elsewhere is not obeyed: nobody gets the key there."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        async with FakeProvider() as elsewhere:
            for status in (301, 302, 303, 307, 308):
                provider.answer(Response(status, headers={"location": f"http://127.0.0.1:{elsewhere.port}/v1"}))
                assert isinstance(await failing(ask), TurnFailed)
            assert elsewhere.calls == []

    asked(name, scenario)


def test_a_key_in_a_refusal_goes_nowhere(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A 401 whose body and headers hold the key leaves it in no error and no log line, even at the finest level."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        error = {"error": {"message": f"Incorrect API key provided: {KEY}.", "type": KEY, "code": KEY}}
        provider.default = Response(401, json.dumps(error).encode(), {"x-key": KEY})
        with caplog.at_level(logging.DEBUG, logger="app"):
            refused = await failing(ask)
        assert router.call is not None
        said = [str(refused), refused.detail, refused.code, repr(router.call.attempts), caplog.text]
        assert not any(KEY in each for each in said)

    asked(name, scenario)


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


@pytest.mark.parametrize(
    "broken", ['{"choices": [{', "null", "[]", "3", '"text"', '{"choices": 7}', '{"choices": [7]}']
)
def test_what_is_no_chunk_is_a_failure(name: str, broken: str) -> None:
    """An event that is no JSON, or no completion, fails the reply; what was before it is kept."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply("Half ", Data(broken))
        assert (await failing(ask)).code == "provider-error"
        assert router.heard.text == "Half "

    asked(name, scenario)


def test_bytes_may_come_one_by_one(name: str) -> None:
    """Split characters, marks and lines are put together again."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply(*TEXT, slices=byte_by_byte, newline="\r\n")
        await ask()
        assert router.heard.text == TEXT

    asked(name, scenario)


def test_empty_choices_and_strange_members_are_passed_over(name: str) -> None:
    """Events without choices, with null for members and unknown ones, and comments, take nothing from the reply."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        odd: list[Any] = [
            Chunk({"choices": []}),
            Chunk({"choices": None}),
            Chunk({"choices": [{"index": 0, "delta": None}]}),
            Chunk({"choices": [{"index": 0, "delta": {"content": None, "role": "assistant"}}]}),
            Chunk({"usage": None, "choices": [{"delta": {"content": ""}}], "x": {"y": []}}),
            Data({"prompt_filter_results": [], "id": ""}),
            b": ping\n\n",
            b"event: message\nid: 7\nretry: 3\n\n",
        ]
        provider.reply(*odd, "One ", *odd, "two", *odd)
        await ask()
        assert router.heard.text == "One two"

    asked(name, scenario)


@pytest.mark.parametrize(
    "usage",
    [
        {"usage": {"prompt_tokens": 5, "completion_tokens": 6}},
        {"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": None}},
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_usage_may_come_anywhere(name: str, usage: dict[str, Any], place: int) -> None:
    """Usage counts in the first event, amid the text and in the last one."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        steps: list[Any] = ["One ", "two"]
        provider.reply(*steps[:place], Chunk(usage), *steps[place:], usage=None)
        assert (await ask()).usage == Usage(5, 6)

    asked(name, scenario)


@pytest.mark.parametrize("tokens", ["12", -1, 1.5, 2**70, [1]])
def test_usage_that_is_no_count_is_estimated(name: str, tokens: Any) -> None:
    """What cannot be a number of tokens is passed over."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        provider.reply("Hi", Chunk({"usage": {"prompt_tokens": tokens, "completion_tokens": 1}}), usage=None)
        assert (await ask()).usage.estimated

    asked(name, scenario)


def test_thinking_is_kept_apart(name: str) -> None:
    """A reasoning model's thinking, in either field, is no part of the text; it counts as the reply's beginning."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply(Thought("Hm, "), Thought("so."), "Yes.")
        await ask()
        assert (router.heard.text, router.heard.reasoning) == ("Yes.", "Hm, so.")
        provider.reply(Thought("Hm"), Cut.RST)
        assert isinstance(await failing(ask), ProviderTruncated)
        assert len(provider.calls) == 2

    asked(name, scenario)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_thinking_between_marks_is_kept_apart(name: str, one_by_one: bool) -> None:
    """Thinking that a server leaves in the text, `<think>…</think>`, is taken out however it is split."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        text = "\n<think>\nIs 1 < 2? </thin\n</think>\n\nYes, <think> is a mark."
        provider.reply(*(text if one_by_one else [text]))
        await ask()
        assert router.heard.text == "Yes, <think> is a mark."
        assert router.heard.reasoning == "\nIs 1 < 2? </thin\n"

    asked(name, scenario)


FLOOD = 'Flood 😀 \\ "\n' * 800_000


def test_a_flood_in_one_event_is_cut(name: str) -> None:
    """Ten megabytes in one delta are cut at MAX_OUTPUT_CHARACTERS, finished for length, and paid for once."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.reply(FLOOD)
        ending = await ask()
        assert router.heard.text == FLOOD[:1_000]
        assert ending.finish_reason is FinishReason.LENGTH
        assert len(provider.calls) == 1

    asked(name, scenario, Limits(characters=1_000))


@pytest.mark.parametrize("step", ["word ", Thought("hm ")])
def test_a_flood_of_events_is_cut(name: str, step: Any) -> None:
    """A stream without end, of text or of thoughts, is cut at the same length, and its connection closed."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider.default = Reply(Endless(step))
        ending = await ask()
        assert len(router.heard.text) + len(router.heard.reasoning) == 1_000
        assert ending.finish_reason is FinishReason.LENGTH
        await provider.calls[0].closed.wait()

    asked(name, scenario, Limits(characters=1_000))


class Endless(tuple[Any, ...]):
    """The same step again and again."""

    def __new__(cls, step: Any) -> Endless:
        return super().__new__(cls, (step,))

    def __iter__(self) -> Any:
        while True:
            yield self[0]


def test_a_refusal_without_end_is_not_read_to_its_end(name: str) -> None:
    """Of an answer with an error status only the beginning is read, however much more there is."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        provider.default = EndlessRefusal()
        assert isinstance(await failing(ask), ProviderFailed)
        for call in provider.calls:
            await call.closed.wait()
        assert seconds() < 1

    asked(name, scenario)


class EndlessRefusal:
    """A 500 that goes on for ever."""

    def parts(self, *_: object) -> Any:
        yield b"HTTP/1.1 500 Oops\r\ncontent-type: text/plain\r\n\r\n"
        while True:
            yield b"x" * 65_536


def test_a_line_without_end_that_is_no_text_is_a_failure(name: str) -> None:
    """What goes on for megabytes without being a text is not kept."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        provider.default = Reply([b"x" * 3_000_000])
        assert isinstance(await failing(ask), ProviderFailed)

    asked(name, scenario)


def test_a_provider_that_cannot_be_connected_to_is_given_up(name: str) -> None:
    """A refused connection is `provider-unavailable`, after two retries."""

    async def scenario(provider: FakeProvider, router: Asked, ask: Any) -> None:
        provider._server.close()
        await provider._server.wait_closed()
        assert isinstance(await failing(ask), ProviderUnavailable)
        assert router.outcomes == [(name, "provider-unavailable")] * TRIES

    asked(name, scenario)


def test_a_connection_that_is_not_answered_is_given_up() -> None:
    """A host that lets a connection hang is `provider-timeout-connect` after CONNECT_SECONDS, three times."""

    async def main() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            port = listening.getsockname()[1]
            waiting = [socket.socket() for _ in range(8)]
            for each in waiting:  # fills the line of those who have yet to be accepted
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))
            model = OpenAIModel(KEY, f"http://127.0.0.1:{port}/v1", "gpt")
            async with asking(model) as router:
                error = await failing(lambda: router.reply(target_of(model)))
            for each in waiting:
                each.close()
        assert isinstance(error, ProviderTimeout)
        assert (error.phase, seconds()) == ("connect", 3 * 5 + 0.75)

    run(main())


def test_a_name_that_leads_to_a_forbidden_address_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a base URL's name stands for is looked at when it is looked up: no metadata service is ever asked."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def found(*_: Any, **__: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]

        monkeypatch.setattr(loop, "getaddrinfo", found)
        model = OpenAIModel(KEY, "http://innocent.example/v1", "gpt")
        async with asking(model) as router:
            assert isinstance(await failing(lambda: router.reply(target_of(model))), ProviderUnavailable)
        assert seconds() < 1  # refused, not tried

    run(main())


def test_the_wire_is_each_provider_s_own(name: str) -> None:
    """Each adapter asks at its own path, with its key, for usage where that is needed, and for no compression."""

    async def scenario(provider: FakeProvider, _: Asked, ask: Any) -> None:
        await ask()
        [call] = provider.calls
        assert call.dialect is (Dialect.GROQ if name == "groq" else Dialect.OPENAI)
        assert call.headers["authorization"] == f"Bearer {KEY}"
        assert call.headers["accept-encoding"] == "identity"
        assert call.body["stream"] is True
        assert ("stream_options" in call.body) == (name != "groq")

    asked(name, scenario)
