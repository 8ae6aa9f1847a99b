"""Retries and fallbacks with two real providers, on a virtual clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.domain.messages import Usage
from app.errors import (
    AppError,
    ModelNotFound,
    ProviderAuth,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTruncated,
    ProviderUnavailable,
)
from app.llm.base import Target
from app.llm.catalog import Catalog
from app.llm.providers.groq import GroqModel
from app.llm.providers.local import LocalModel
from app.llm.providers.openai import OpenAIModel
from app.llm.providers.scripted import ScriptedModel
from tests.support.clock import run
from tests.support.provider import FakeProvider
from tests.support.replies import (
    Cut,
    Reply,
    Response,
    Thought,
    rate_limited,
    server_error,
    stream_error,
    too_large_a_minute,
    unauthorized,
)
from tests.support.routing import (
    FIRST,
    KEY,
    SECOND,
    Pair,
    attempts,
    harness_of,
    reply_error,
    run_with_pair,
    seconds,
)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(server_error(500), "provider-error", id="500"),
        pytest.param(Reply([], before_headers=Cut.RST), "provider-unavailable", id="reset"),
        pytest.param(rate_limited(1), "provider-rate-limited", id="429-soon"),
        pytest.param(Reply([stream_error("no")]), "provider-error", id="error-first"),
        pytest.param(Reply([], finish=None), "provider-truncated", id="nothing"),
    ],
)
def test_fallback_after_three_attempts(answer: Any, code: str) -> None:
    """Before the first token a fallback takes over: the reply is whole, and all attempts are recorded."""

    async def scenario(both: Pair) -> None:
        both.first.default = answer
        both.second.reply("Instead", usage=(3, 4))
        ending = await both.harness.reply(FIRST)
        assert (both.harness.sink.text, ending.usage) == ("Instead", Usage(3, 4))
        assert both.harness.outcomes == [("openai", code)] * 3 + [("groq", "completed")]
        assert both.harness.call is not None
        assert both.harness.call.target_used == SECOND

    run_with_pair(scenario)


@pytest.mark.parametrize("begun", ["Half ", Thought("Hm")])
@pytest.mark.parametrize("end", [Cut.FIN, Cut.RST, stream_error("no")])
def test_started_reply_is_not_retried(begun: Any, end: Any) -> None:
    """After the first text or reasoning a failure is final, and the text is kept."""

    async def scenario(both: Pair) -> None:
        both.first.reply(begun, end)
        error = await reply_error(both.harness)
        assert error.code in {"provider-truncated", "provider-error"}
        assert (len(both.first.calls), len(both.second.calls)) == (1, 0)
        assert both.harness.sink.text + both.harness.sink.reasoning in {"Half ", "Hm"}

    run_with_pair(scenario)


def test_stall_around_first_token() -> None:
    """A stall before the first token uses the fallback; one after it is final."""

    async def scenario(both: Pair) -> None:
        both.first.default = Reply(["", asyncio.Event()])
        await both.harness.reply(FIRST)
        assert both.harness.outcomes[-1] == ("groq", "completed")
        both.first.default = Reply([" ", asyncio.Event()])
        error = await reply_error(both.harness)
        assert (error.code, both.harness.sink.text) == ("provider-timeout-idle", " ")
        assert len(both.second.calls) == 1

    run_with_pair(scenario)


@pytest.mark.parametrize("pause", [3, 47, 600])
def test_long_rate_limit_uses_fallback(pause: int) -> None:
    """A `Retry-After` over two seconds goes to the fallback at once."""

    async def scenario(both: Pair) -> None:
        both.first.default = rate_limited(pause)
        await both.harness.reply(FIRST)
        assert (len(both.first.calls), len(both.second.calls), seconds()) == (1, 1, 0)

    run_with_pair(scenario)


def test_short_rate_limit_is_waited_for() -> None:
    """A `Retry-After` of two seconds is waited for before a fallback is called."""

    async def scenario(both: Pair) -> None:
        both.first.answer(rate_limited(2), Reply(["Hi"]))
        await both.harness.reply(FIRST)
        assert both.harness.outcomes == [("openai", "provider-rate-limited"), ("openai", "completed")]
        assert 2 <= seconds() < 3

    run_with_pair(scenario)


def test_rate_limit_of_last_fallback() -> None:
    """With no fallback left a `Retry-After` within the turn's time is waited for."""

    async def scenario(both: Pair) -> None:
        both.first.default = rate_limited(47)
        both.second.answer(rate_limited(47), Reply(["Hi"]))
        await both.harness.reply(FIRST)
        assert 47 <= seconds() < 48
        both.second.default = rate_limited(600)
        error = await reply_error(both.harness)
        assert isinstance(error, ProviderRateLimited)
        assert error.retry_after == 600

    run_with_pair(scenario)


@pytest.mark.parametrize(
    ("answer", "kind"), [(unauthorized(), ProviderAuth), (Response(400, b"{}"), AppError), (Response(422), AppError)]
)
def test_refused_request_uses_no_fallback(answer: Any, kind: type[AppError]) -> None:
    """A wrong key or request fails the turn, without a retry or a fallback."""

    async def scenario(both: Pair) -> None:
        both.first.default = answer
        assert isinstance(await reply_error(both.harness), kind)
        assert (len(both.first.calls), len(both.second.calls)) == (1, 0)

    run_with_pair(scenario)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(Response(402, b'{"error": {"message": "Insufficient Balance"}}'), "provider-auth", id="402"),
        pytest.param(Response(498, b"{}"), "provider-rate-limited", id="498"),
        pytest.param(too_large_a_minute(), "context-too-long", id="413"),
    ],
)
def test_account_limit_uses_fallback(answer: Any, code: str) -> None:
    """Missing funds or capacity, or a limit per minute, go to the fallback at once."""

    async def scenario(both: Pair) -> None:
        both.first.default = answer
        await both.harness.reply(FIRST)
        assert both.harness.outcomes == [("openai", code), ("groq", "completed")]
        assert seconds() == 0

    run_with_pair(scenario)


def test_fallback_without_funds() -> None:
    """The turn fails with the first provider's failure."""

    async def scenario(both: Pair) -> None:
        both.first.default, both.second.default = server_error(), Response(402, b"{}")
        assert isinstance(await reply_error(both.harness), ProviderFailed)
        assert both.harness.outcomes[-1] == ("groq", "provider-auth")

    run_with_pair(scenario)


def test_unknown_model_names_known_ones() -> None:
    """A model that the provider does not have is `unknown-model`, with the names of the known models."""

    async def scenario(both: Pair) -> None:
        both.first.default = Response(404, b'{"error": {"code": "model_not_found"}}')
        error = await reply_error(both.harness, Target("openai", "gpt-9"))
        assert isinstance(error, ModelNotFound)
        assert error.detail == "openai has no model 'gpt-9'; choose gpt."

    run_with_pair(scenario)


def test_misconfigured_fallback_is_skipped() -> None:
    """After a fallback that refuses the key the next one is called; the first provider's failure is kept."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        both.second.default = unauthorized()
        error = await reply_error(both.harness)
        assert isinstance(error, ProviderFailed)
        assert ("groq", "provider-auth") in both.harness.outcomes
        both.first.default = lambda call: Reply(["Hi"]) if call.body["model"] == "other" else server_error()
        await both.harness.reply(FIRST)
        assert both.harness.outcomes[-2:] == [("groq", "provider-auth"), ("openai", "completed")]

    run_with_pair(scenario, fallbacks=[SECOND, Target("openai", "other")])


def test_first_token_timeout_uses_fallback() -> None:
    """A first token that does not arrive in time goes to the fallback without a retry."""

    async def scenario(both: Pair) -> None:
        both.first.default = Reply([asyncio.Event()])
        await both.harness.reply(FIRST)
        assert both.harness.outcomes == [("openai", "provider-timeout-first-token"), ("groq", "completed")]
        assert seconds() == 60

    run_with_pair(scenario)


def test_cancelled_attempt_is_recorded() -> None:
    """A reply that is cancelled after some text has an attempt with estimated usage."""

    async def scenario(both: Pair) -> None:
        both.first.reply("Half of it", asyncio.Event())
        reply = asyncio.create_task(both.harness.reply(FIRST))
        await both.first.wait_calls(1)
        await asyncio.sleep(1)
        reply.cancel()
        await asyncio.wait([reply])
        [attempt] = attempts(both.harness)
        assert (attempt.outcome, attempt.total_ms) == ("cancelled", 1_000)
        assert attempt.usage == Usage(6, 3, estimated=True)
        await both.first.calls[0].closed.wait()

    run_with_pair(scenario)


def test_retry_pauses_have_jitter() -> None:
    """The pause before each retry is a random part of its longest (full jitter)."""

    async def main() -> None:
        async with FakeProvider() as provider:
            provider.default = server_error()
            model = OpenAIModel(KEY, provider.openai_base_url, "gpt")
            chances = iter([0.0, 0.5])
            async with harness_of(model, random_fraction=lambda: next(chances)) as harness:
                assert isinstance(await reply_error(harness), ProviderFailed)
            assert seconds() == 0.25

    run(main())


def test_scripted_model_uses_fallback() -> None:
    """A model without HTTP fails over too, and has no status code."""

    async def main() -> None:
        async with harness_of(ScriptedModel("fail"), fallbacks=[Target("scripted", "echo")]) as harness:
            await harness.reply(Target("scripted", "fail"))
            assert [attempt.status_code for attempt in attempts(harness)] == [None] * len(attempts(harness))
            assert harness.outcomes[-1] == ("scripted", "completed")

    run(main())


def test_missing_local_model_is_not_retried(tmp_path: Path) -> None:
    """An embedded model without its file fails the turn, or goes to the fallback, at once."""

    async def main() -> None:
        missing = tmp_path / "missing.gguf"
        async with harness_of(LocalModel(missing), ScriptedModel()) as harness:
            assert isinstance(await reply_error(harness, Target("local", "missing")), ProviderUnavailable)
            assert harness.outcomes == [("local", "provider-unavailable")]
        async with harness_of(LocalModel(missing), ScriptedModel(), fallbacks=[Target("scripted", "echo")]) as harness:
            await harness.reply(Target("local", "missing"))
            assert harness.outcomes == [("local", "provider-unavailable"), ("scripted", "completed")]
        assert seconds() == 0

    run(main())


def test_deadline_covers_all_attempts() -> None:
    """Retries end with the turn's time, as `provider-timeout-total`."""

    async def scenario(both: Pair) -> None:
        both.second.default = Reply([asyncio.Event()])
        began = seconds()
        error = await reply_error(both.harness, Target("groq", "openai/gpt-oss-120b"))
        assert (error.code, seconds() - began) == ("provider-timeout-total", 300)

    run_with_pair(scenario)


def test_forms_of_fallback_names() -> None:
    """`provider`, `provider:model` and a model of the default provider are distinguished, with colons in names."""
    catalog = Catalog([OpenAIModel(KEY, None, "gpt"), GroqModel(KEY, None, "oss")], "openai")
    named = ["groq", "groq:openai/gpt-oss-120b", "llama3:8b", "openai:a:b"]
    assert [catalog.target(name) for name in named] == [
        ("groq", "oss"),
        ("groq", "openai/gpt-oss-120b"),
        ("openai", "llama3:8b"),
        ("openai", "a:b"),
    ]


def test_empty_stream_is_retried() -> None:
    """A stream that ends without content is retried, and its attempt has estimated usage."""

    async def scenario(both: Pair) -> None:
        both.first.answer(Reply([], finish=None), Reply(["Hi"]))
        await both.harness.reply(FIRST)
        assert both.harness.outcomes == [("openai", ProviderTruncated.code), ("openai", "completed")]
        assert attempts(both.harness)[0].usage == Usage(6, 0, estimated=True)

    run_with_pair(scenario)
