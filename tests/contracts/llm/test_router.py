"""Who is asked for a reply when somebody fails: two real providers on the wire, by a clock that waits for nothing."""

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
    asking,
    attempts,
    failed,
    paired,
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
def test_who_fails_three_times_is_replaced(answer: Any, code: str) -> None:
    """Before the first token another provider takes over, unseen: its reply is whole, every attempt is on record."""

    async def scenario(both: Pair) -> None:
        both.first.default = answer
        both.second.reply("Instead", usage=(3, 4))
        ending = await both.asked.reply(FIRST)
        assert (both.asked.heard.text, ending.usage) == ("Instead", Usage(3, 4))
        assert both.asked.outcomes == [("openai", code)] * 3 + [("groq", "completed")]
        assert both.asked.call is not None
        assert both.asked.call.target_used == SECOND

    paired(scenario)


@pytest.mark.parametrize("begun", ["Half ", Thought("Hm")])
@pytest.mark.parametrize("end", [Cut.FIN, Cut.RST, stream_error("no")])
def test_what_has_begun_is_nobody_else_s(begun: Any, end: Any) -> None:
    """Behind the first text or thought nobody is asked again: the failure is the turn's, and the text is kept."""

    async def scenario(both: Pair) -> None:
        both.first.reply(begun, end)
        error = await failed(both.asked)
        assert error.code in {"provider-truncated", "provider-error"}
        assert (len(both.first.calls), len(both.second.calls)) == (1, 0)
        assert both.asked.heard.text + both.asked.heard.reasoning in {"Half ", "Hm"}

    paired(scenario)


def test_a_stall_at_the_boundary_is_told_from_one_behind_it() -> None:
    """A provider that stalls before its first token is replaced; one that stalls a token later is not."""

    async def scenario(both: Pair) -> None:
        both.first.default = Reply(["", asyncio.Event()])
        await both.asked.reply(FIRST)
        assert both.asked.outcomes[-1] == ("groq", "completed")
        both.first.default = Reply([" ", asyncio.Event()])
        error = await failed(both.asked)
        assert (error.code, both.asked.heard.text) == ("provider-timeout-idle", " ")
        assert len(both.second.calls) == 1

    paired(scenario)


@pytest.mark.parametrize("pause", [3, 47, 600])
def test_a_long_rate_limit_is_no_pause_where_somebody_else_is_there(pause: int) -> None:
    """A `Retry-After` over two seconds goes to the next provider at once."""

    async def scenario(both: Pair) -> None:
        both.first.default = rate_limited(pause)
        await both.asked.reply(FIRST)
        assert (len(both.first.calls), len(both.second.calls), seconds()) == (1, 1, 0)

    paired(scenario)


def test_a_short_rate_limit_is_waited_for() -> None:
    """A `Retry-After` of two seconds is obeyed before somebody else is asked."""

    async def scenario(both: Pair) -> None:
        both.first.answer(rate_limited(2), Reply(["Hi"]))
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", "provider-rate-limited"), ("openai", "completed")]
        assert 2 <= seconds() < 3

    paired(scenario)


def test_the_last_provider_s_rate_limit_is_waited_for() -> None:
    """Where nobody is left, a `Retry-After` that fits the turn is obeyed."""

    async def scenario(both: Pair) -> None:
        both.first.default = rate_limited(47)
        both.second.answer(rate_limited(47), Reply(["Hi"]))
        await both.asked.reply(FIRST)
        assert 47 <= seconds() < 48
        both.second.default = rate_limited(600)
        error = await failed(both.asked)
        assert isinstance(error, ProviderRateLimited)
        assert error.retry_after == 600

    paired(scenario)


@pytest.mark.parametrize(
    ("answer", "kind"), [(unauthorized(), ProviderAuth), (Response(400, b"{}"), AppError), (Response(422), AppError)]
)
def test_a_wrong_key_or_request_is_not_hidden_by_somebody_else(answer: Any, kind: type[AppError]) -> None:
    """A refusal that is no trouble of the provider's is told: neither retried nor passed to another."""

    async def scenario(both: Pair) -> None:
        both.first.default = answer
        assert isinstance(await failed(both.asked), kind)
        assert (len(both.first.calls), len(both.second.calls)) == (1, 0)

    paired(scenario)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(Response(402, b'{"error": {"message": "Insufficient Balance"}}'), "provider-auth", id="402"),
        pytest.param(Response(498, b"{}"), "provider-rate-limited", id="498"),
        pytest.param(too_large_a_minute(), "context-too-long", id="413"),
    ],
)
def test_what_one_account_cannot_do_another_may(answer: Any, code: str) -> None:
    """Want of funds or capacity, and a bound by the minute, go to the next provider at once, without a second try."""

    async def scenario(both: Pair) -> None:
        both.first.default = answer
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", code), ("groq", "completed")]
        assert seconds() == 0

    paired(scenario)


def test_a_fallback_without_funds_hides_nothing() -> None:
    """Why the first provider failed is told, not that a fallback has no funds."""

    async def scenario(both: Pair) -> None:
        both.first.default, both.second.default = server_error(), Response(402, b"{}")
        assert isinstance(await failed(both.asked), ProviderFailed)
        assert both.asked.outcomes[-1] == ("groq", "provider-auth")

    paired(scenario)


def test_a_model_that_is_not_there_is_refused_with_the_choices() -> None:
    """A model that the provider does not know is `unknown-model`, naming those that are known here."""

    async def scenario(both: Pair) -> None:
        both.first.default = Response(404, b'{"error": {"code": "model_not_found"}}')
        error = await failed(both.asked, Target("openai", "gpt-9"))
        assert isinstance(error, ModelNotFound)
        assert error.detail == "openai has no model 'gpt-9'; choose gpt."

    paired(scenario)


def test_a_fallback_that_is_set_up_wrong_is_passed_over() -> None:
    """A fallback that refuses the key or the model hides neither who comes behind it nor why the first one failed."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        both.second.default = unauthorized()
        error = await failed(both.asked)
        assert isinstance(error, ProviderFailed)
        assert ("groq", "provider-auth") in both.asked.outcomes
        both.first.default = lambda call: Reply(["Hi"]) if call.body["model"] == "other" else server_error()
        await both.asked.reply(FIRST)
        assert both.asked.outcomes[-2:] == [("groq", "provider-auth"), ("openai", "completed")]

    paired(scenario, fallbacks=[SECOND, Target("openai", "other")])


def test_what_stalls_is_not_asked_again_where_somebody_else_is_there() -> None:
    """A first token that did not come in time goes to the next provider: nobody waits a minute three times."""

    async def scenario(both: Pair) -> None:
        both.first.default = Reply([asyncio.Event()])
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", "provider-timeout-first-token"), ("groq", "completed")]
        assert seconds() == 60

    paired(scenario)


def test_a_cancelled_attempt_is_on_record() -> None:
    """A reply that is cancelled amid its text has cost something: its attempt says what, estimated."""

    async def scenario(both: Pair) -> None:
        both.first.reply("Half of it", asyncio.Event())
        asking_ = asyncio.create_task(both.asked.reply(FIRST))
        await both.first.wait_calls(1)
        await asyncio.sleep(1)
        asking_.cancel()
        await asyncio.wait([asking_])
        [attempt] = attempts(both.asked)
        assert (attempt.outcome, attempt.total_ms) == ("cancelled", 1_000)
        assert attempt.usage == Usage(6, 3, estimated=True)
        await both.first.calls[0].closed.wait()

    paired(scenario)


def test_pauses_are_of_random_length() -> None:
    """The pause before each retry is anything up to its longest: full jitter."""

    async def main() -> None:
        async with FakeProvider() as provider:
            provider.default = server_error()
            model = OpenAIModel(KEY, provider.openai_base_url, "gpt")
            chances = iter([0.0, 0.5])
            async with asking(model, chance=lambda: next(chances)) as asked:
                assert isinstance(await failed(asked), ProviderFailed)
            assert seconds() == 0.25

    run(main())


def test_the_scripted_model_is_routed_like_any_other() -> None:
    """A model without a wire fails over too, and has no status code."""

    async def main() -> None:
        async with asking(ScriptedModel("fail"), fallbacks=[Target("scripted", "echo")]) as asked:
            await asked.reply(Target("scripted", "fail"))
            assert [attempt.status_code for attempt in attempts(asked)] == [None] * len(attempts(asked))
            assert asked.outcomes[-1] == ("scripted", "completed")

    run(main())


def test_a_model_that_is_not_there_is_not_asked_for_again(tmp_path: Path) -> None:
    """An embedded model whose file is missing fails its turn at once; a fallback is asked at once."""

    async def main() -> None:
        missing = tmp_path / "missing.gguf"
        async with asking(LocalModel(missing), ScriptedModel()) as asked:
            assert isinstance(await failed(asked, Target("local", "missing")), ProviderUnavailable)
            assert asked.outcomes == [("local", "provider-unavailable")]
        async with asking(LocalModel(missing), ScriptedModel(), fallbacks=[Target("scripted", "echo")]) as asked:
            await asked.reply(Target("local", "missing"))
            assert asked.outcomes == [("local", "provider-unavailable"), ("scripted", "completed")]
        assert seconds() == 0

    run(main())


def test_the_deadline_covers_all_attempts() -> None:
    """What is tried again has no more time than the turn: then it is `provider-timeout-total`."""

    async def scenario(both: Pair) -> None:
        both.second.default = Reply([asyncio.Event()])
        began = seconds()
        error = await failed(both.asked, Target("groq", "openai/gpt-oss-120b"))
        assert (error.code, seconds() - began) == ("provider-timeout-total", 300)

    paired(scenario)


def test_a_fallback_is_named_with_or_without_a_model() -> None:
    """`provider`, `provider:model` and a model of the default provider, colons and slashes in it, are told apart."""
    catalog = Catalog([OpenAIModel(KEY, None, "gpt"), GroqModel(KEY, None, "oss")], "openai")
    named = ["groq", "groq:openai/gpt-oss-120b", "llama3:8b", "openai:a:b"]
    assert [catalog.target(name) for name in named] == [
        ("groq", "oss"),
        ("groq", "openai/gpt-oss-120b"),
        ("openai", "llama3:8b"),
        ("openai", "a:b"),
    ]


def test_truncation_before_the_first_token_is_retried_on_the_way() -> None:
    """A stream that ends with nothing in it is asked for again, and its attempt counted as one that may have cost."""

    async def scenario(both: Pair) -> None:
        both.first.answer(Reply([], finish=None), Reply(["Hi"]))
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", ProviderTruncated.code), ("openai", "completed")]
        assert attempts(both.asked)[0].usage == Usage(6, 0, estimated=True)

    paired(scenario)
