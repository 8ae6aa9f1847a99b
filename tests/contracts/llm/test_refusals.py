"""Every adapter with a provider that refuses or is out of reach, on a virtual clock."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from app.errors import (
    AppError,
    ContextTooLong,
    EmptyReply,
    ModelNotFound,
    ProviderAuth,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnavailable,
    TurnFailed,
)
from app.llm.providers.openai import OpenAIModel
from tests.support.clock import run
from tests.support.provider import FakeProvider
from tests.support.replies import (
    Cut,
    Data,
    Part,
    Reply,
    Response,
    context_too_long,
    rate_limited,
    redirect,
    server_error,
    stream_error,
    unauthorized,
)
from tests.support.routing import (
    KEY,
    RouterHarness,
    attempts,
    error_of,
    harness_of,
    run_with_adapter,
    seconds,
    target_of,
)

TRIES = 3


@dataclass(frozen=True)
class NoHttp:
    """Bytes without HTTP, and then the end of the connection."""

    data: bytes

    def parts(self, *_: object) -> Iterator[Part]:
        yield self.data
        yield Cut.FIN


def refusal_in_words(status: int, message: str) -> Response:
    """Build a refusal that has its reason in the message alone."""
    error = {"message": message, "type": "api_error", "code": None}
    return Response(status, json.dumps({"error": error}).encode())


@pytest.mark.parametrize("pause", [0, 1, 2, 47])
def test_rate_limit_is_waited_for(name: str, pause: int) -> None:
    """Without a fallback a `Retry-After` within the turn's time is waited for."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.answer(rate_limited(retry_after=pause), Reply(["Hi"]))
        began = seconds()
        await complete()
        assert pause <= seconds() - began < pause + 1
        assert harness.outcomes == [(name, "provider-rate-limited"), (name, "completed")]

    run_with_adapter(name, scenario)


def test_rate_limit_with_date(name: str) -> None:
    """`Retry-After` may be a date (RFC 9110)."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        provider.answer(Response(429, b"{}", {"retry-after": date}), Reply(["Hi"]))
        began = seconds()
        await complete()
        assert 50 < seconds() - began < 62

    run_with_adapter(name, scenario)


IN_TWO_DAYS = format_datetime(datetime.now(UTC) + timedelta(days=2), usegmt=True)


@pytest.mark.parametrize(
    "header", ["600", "601.5", "99999999999", "9" * 400, pytest.param(IN_TWO_DAYS, id="in two days")]
)
def test_long_rate_limit_is_passed_on(name: str, header: str) -> None:
    """A `Retry-After` beyond the turn's time ends the turn at once, and is passed to the client."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.default = Response(429, b"{}", {"retry-after": header})
        error = await error_of(complete)
        assert isinstance(error, ProviderRateLimited)
        assert error.retry_after is not None
        assert error.retry_after >= 600
        assert (len(provider.calls), seconds()) == (1, 0)

    run_with_adapter(name, scenario)


@pytest.mark.parametrize(
    "header", ["", "soon", "-5", "1e9", "0x10", "٣", "Thu, 99 Foo 2026 25:00:00 GMT", "1 Jan " + "9" * 20]
)
def test_invalid_retry_after_is_ignored(name: str, header: str) -> None:
    """A `Retry-After` that is neither seconds nor a date is ignored."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        provider.answer(Response(429, b"{}", {"retry-after": header.encode().decode("latin-1")}), Reply(["Hi"]))
        await complete()
        assert seconds() < 1

    run_with_adapter(name, scenario)


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
        pytest.param(NoHttp(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), ProviderFailed, id="no-http"),
        pytest.param(NoHttp(b"HTTP/1.1 200 OK\r\n" + b"X-More: x\r\n" * 20_000), ProviderFailed, id="headers"),
        pytest.param(Reply([], finish=None), ProviderTruncated, id="nothing"),
        pytest.param(Reply([stream_error("overloaded")]), ProviderFailed, id="error-first"),
        pytest.param(Reply([Data('{"choices": 7}')]), ProviderFailed, id="no-completion"),
        pytest.param(Reply([]), EmptyReply, id="empty"),
        pytest.param(Response(425, b"{}"), ProviderFailed, id="425"),
    ],
)
def test_transient_failure_is_retried_twice(name: str, answer: Any, kind: type[AppError]) -> None:
    """A failure before the first token is retried twice, after pauses; then the turn fails."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.default = answer
        error = await error_of(complete)
        assert type(error) is kind
        assert (len(provider.calls), seconds()) == (TRIES, 0.75)
        assert harness.outcomes == [(name, error.code)] * TRIES

    run_with_adapter(name, scenario)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(unauthorized(), ProviderAuth, id="401"),
        pytest.param(Response(403, b"{}"), ProviderAuth, id="403"),
        pytest.param(Response(400, b"{}"), TurnFailed, id="400"),
        pytest.param(Response(404, b"nothing here"), TurnFailed, id="404"),
        pytest.param(Response(422, b'{"error": "no"}'), TurnFailed, id="422"),
        pytest.param(Response(404, b'{"error": {"code": "model_not_found"}}'), ModelNotFound, id="model"),
        pytest.param(
            refusal_in_words(404, 'model "foo" not found, try pulling it first'), ModelNotFound, id="ollama-model"
        ),
        pytest.param(refusal_in_words(404, "The model `foo` does not exist."), ModelNotFound, id="vllm-model"),
        pytest.param(context_too_long(), ContextTooLong, id="context"),
        pytest.param(
            refusal_in_words(400, "This model's maximum context length is 9 tokens."), ContextTooLong, id="vllm-context"
        ),
        pytest.param(redirect("http://127.0.0.1:9/"), TurnFailed, id="302"),
        pytest.param(Response(402, b"{}"), ProviderAuth, id="402"),
    ],
)
def test_refused_request_is_not_retried(name: str, answer: Any, kind: type[AppError]) -> None:
    """A refusal of the request or its key is final, costs nothing, and does not open the breaker."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.default = answer
        for _ in range(6):
            error = await error_of(complete)
            assert type(error) is kind
            assert harness.call is not None
            [attempt] = harness.call.attempts
            assert (attempt.usage, attempt.status_code) == (None, answer.status)
        assert (len(provider.calls), seconds()) == (6, 0)

    run_with_adapter(name, scenario)


def test_redirect_is_not_followed(name: str) -> None:
    """No other server gets the key."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        async with FakeProvider() as elsewhere:
            for status in (301, 302, 303, 307, 308):
                provider.answer(Response(status, headers={"location": f"http://127.0.0.1:{elsewhere.port}/v1"}))
                assert isinstance(await error_of(complete), TurnFailed)
            assert elsewhere.calls == []

    run_with_adapter(name, scenario)


def test_key_in_refusal_is_dropped(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A key in a refusal's body or headers is in no error and no log line, at any level."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        error = {"error": {"message": f"Incorrect API key provided: {KEY}.", "type": KEY, "code": KEY}}
        provider.default = Response(401, json.dumps(error).encode(), {"x-key": KEY})
        with caplog.at_level(logging.DEBUG, logger="app"):
            refused = await error_of(complete)
        texts = [str(refused), refused.detail, refused.code, repr(attempts(harness)), caplog.text]
        assert not any(KEY in each for each in texts)

    run_with_adapter(name, scenario)


def test_endless_refusal_is_cut(name: str) -> None:
    """Only the beginning of a refusal's body is read."""

    async def scenario(provider: FakeProvider, _: RouterHarness, complete: Any) -> None:
        provider.default = EndlessRefusal()
        assert isinstance(await error_of(complete), ProviderFailed)
        for call in provider.calls:
            await call.closed.wait()
        assert seconds() < 1

    run_with_adapter(name, scenario)


class EndlessRefusal:
    """A status of 500 with a body that never ends."""

    def parts(self, *_: object) -> Any:
        yield b"HTTP/1.1 500 Oops\r\ncontent-type: text/plain\r\n\r\n"
        while True:
            yield b"x" * 65_536


def test_refused_connection_is_retried_twice(name: str) -> None:
    """A refused connection is `provider-unavailable` after two retries."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        await provider.stop_listening()
        assert isinstance(await error_of(complete), ProviderUnavailable)
        assert harness.outcomes == [(name, "provider-unavailable")] * TRIES

    run_with_adapter(name, scenario)


def test_connect_timeout() -> None:
    """A connection that is not accepted is `provider-timeout-connect` after CONNECT_SECONDS, three times."""

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
            async with harness_of(model) as harness:
                error = await error_of(lambda: harness.reply(target_of(model)))
            for each in waiting:
                each.close()
        assert isinstance(error, ProviderTimeout)
        assert (error.phase, seconds()) == ("connect", 3 * 5 + 0.75)

    run(main())


def test_name_of_forbidden_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL's name is checked when it is resolved: no metadata service is called."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def found(*_: Any, **__: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]

        monkeypatch.setattr(loop, "getaddrinfo", found)
        model = OpenAIModel(KEY, "http://innocent.example/v1", "gpt")
        async with harness_of(model) as harness:
            assert isinstance(await error_of(lambda: harness.reply(target_of(model))), ProviderUnavailable)
        assert seconds() < 1  # refused, not tried

    run(main())
