"""Who is asked for a reply when somebody fails: two real providers on the wire, by a clock that waits for nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.attempts import Attempt
from app.domain.context import Context, Prompt
from app.domain.messages import Usage
from app.domain.turns import HistoryMessage
from app.errors import (
    AppError,
    ContextTooLong,
    MessageTooLong,
    ModelNotFound,
    ProviderAuth,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTruncated,
    ProviderUnavailable,
)
from app.llm.base import Target
from app.llm.breakers import FAILURES, OPEN_SECONDS, WITHIN_SECONDS, Breaker, Breakers
from app.llm.catalog import Catalog
from app.llm.groq import GroqModel
from app.llm.openai import OpenAIModel
from app.llm.retries import ALWAYS_A_MINUTE, RetryBudget
from app.llm.scripted import ScriptedModel
from app.llm.sizes import Size, Sizes
from tests.support.clock import run
from tests.support.provider import FakeProvider
from tests.support.replies import (
    Cut,
    Reply,
    Response,
    Thought,
    context_too_long,
    rate_limited,
    server_error,
    stream_error,
    unauthorized,
)
from tests.support.routing import KEY, Asked, asking

FIRST, SECOND = Target("openai", "gpt"), Target("groq", "oss")
PAUSES = 0.75
"""Seconds between three attempts at their longest."""


class Pair(NamedTuple):
    """A router with two providers, the second of which is asked when the first fails."""

    first: FakeProvider
    second: FakeProvider
    asked: Asked


@contextlib.asynccontextmanager
async def pair(window: int | None = None) -> AsyncIterator[Pair]:
    async with FakeProvider() as first, FakeProvider() as second:
        models = OpenAIModel(KEY, first.openai_base_url, "gpt", window), GroqModel(KEY, second.groq_base_url, "oss")
        async with asking(*models, fallbacks=[SECOND]) as asked:
            yield Pair(first, second, asked)


def paired(scenario: Callable[[Pair], Coroutine[Any, Any, None]], window: int | None = None) -> None:
    async def main() -> None:
        async with pair(window) as both:
            await scenario(both)

    run(main())


async def failing(asked: Asked, target: Target = FIRST, **more: Any) -> AppError:
    with pytest.raises(AppError) as caught:
        await asked.reply(target, **more)
    return caught.value


def seconds() -> float:
    return asyncio.get_running_loop().time()


def attempts(asked: Asked) -> list[Attempt]:
    assert asked.call is not None
    return asked.call.attempts


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
        assert both.asked.call.author == SECOND

    paired(scenario)


@pytest.mark.parametrize("begun", ["Half ", Thought("Hm")])
@pytest.mark.parametrize("end", [Cut.FIN, Cut.RST, stream_error("no")])
def test_what_has_begun_is_nobody_else_s(begun: Any, end: Any) -> None:
    """Behind the first text or thought nobody is asked again: the failure is the turn's, and the text is kept."""

    async def scenario(both: Pair) -> None:
        both.first.reply(begun, end)
        error = await failing(both.asked)
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
        error = await failing(both.asked)
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
        error = await failing(both.asked)
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
        assert isinstance(await failing(both.asked), kind)
        assert (len(both.first.calls), len(both.second.calls)) == (1, 0)

    paired(scenario)


def test_a_model_that_is_not_there_is_refused_with_the_choices() -> None:
    """A model that the provider does not know is `unknown-model`, naming those that are known here."""

    async def scenario(both: Pair) -> None:
        both.first.default = Response(404, b'{"error": {"code": "model_not_found"}}')
        error = await failing(both.asked, Target("openai", "gpt-9"))
        assert isinstance(error, ModelNotFound)
        assert error.detail == "openai has no model 'gpt-9'; choose gpt."

    paired(scenario)


def test_a_provider_that_fails_again_and_again_is_left_alone() -> None:
    """Five failures in thirty seconds open the breaker: nobody asks for thirty seconds, then one probe decides."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        for _ in range(2):
            await both.asked.reply(FIRST)
        assert len(both.first.calls) == FAILURES
        for _ in range(3):
            await both.asked.reply(FIRST)
            assert both.asked.outcomes == [("groq", "completed")]
        assert [offer.available for offer in both.asked.router.offers()] == [False, True]
        await asyncio.sleep(OPEN_SECONDS)
        await both.asked.reply(FIRST)  # the probe, which fails
        assert both.asked.outcomes == [("openai", "provider-error"), ("groq", "completed")]
        await asyncio.sleep(OPEN_SECONDS)
        both.first.default = Reply(["Well again"])
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", "completed")]
        assert all(offer.available for offer in both.asked.router.offers())

    paired(scenario)


def test_one_probe_at_a_time_is_let_through() -> None:
    """While a probe is out, others go to the next provider; a probe that is cancelled decides nothing."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        for _ in range(2):
            await both.asked.reply(FIRST)
        await asyncio.sleep(OPEN_SECONDS)
        calls = len(both.first.calls)
        both.first.default = Reply([asyncio.Event()])
        probe = asyncio.create_task(Asked(both.asked.router).reply(FIRST))
        await both.first.wait_calls(calls + 1)
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("groq", "completed")]
        probe.cancel()
        await asyncio.wait([probe])
        both.first.default = Reply(["Hi"])
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", "completed")]

    paired(scenario)


def test_with_nobody_left_an_open_breaker_says_when() -> None:
    """Without a fallback the refusal carries the seconds until the next probe, and asks nobody."""

    async def scenario(both: Pair) -> None:
        both.second.default = server_error()
        for _ in range(2):
            await failing(both.asked, SECOND)
        calls = len(both.second.calls)
        await asyncio.sleep(10)
        error = await failing(both.asked, SECOND)
        assert isinstance(error, ProviderUnavailable)
        assert error.retry_after in range(19, 22)
        assert (len(both.second.calls), attempts(both.asked)) == (calls, [])

    paired(scenario)


def test_an_open_breaker_behind_is_nobody_to_go_on_to() -> None:
    """Where the only other provider is left alone a rate limit is waited for, and told as what it is."""

    async def scenario(both: Pair) -> None:
        both.second.default = server_error()
        for _ in range(2):
            await failing(both.asked, SECOND)
        both.first.answer(rate_limited(20), Reply(["Hi"]))
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", "provider-rate-limited"), ("openai", "completed")]
        both.first.default = rate_limited(600)
        error = await failing(both.asked)
        assert (error.code, error.retry_after) == ("provider-rate-limited", 600)

    paired(scenario)


def test_a_fallback_that_is_set_up_wrong_is_passed_over() -> None:
    """A fallback that refuses the key or the model hides neither who comes behind it nor why the first one failed."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        both.second.default = unauthorized()
        assert isinstance(await failing(both.asked), ProviderFailed)
        assert both.asked.outcomes[-1] == ("groq", "provider-auth")
        both.asked.router._fallbacks = [SECOND, Target("openai", "other")]
        both.first.default = lambda call: Reply(["Hi"]) if call.body["model"] == "other" else server_error()
        await both.asked.reply(FIRST)
        assert both.asked.outcomes[-2:] == [("groq", "provider-auth"), ("openai", "completed")]

    paired(scenario)


def test_what_stalls_is_not_asked_again_where_somebody_else_is_there() -> None:
    """A first token that did not come in time goes to the next provider: nobody waits a minute three times."""

    async def scenario(both: Pair) -> None:
        both.first.default = Reply([asyncio.Event()])
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", "provider-timeout-first-token"), ("groq", "completed")]
        assert seconds() == 60

    paired(scenario)


def test_any_number_of_models_may_be_named() -> None:
    """Callers who name ever other models do not fill the memory; what is open stays so."""
    clock = Clock()
    breakers, sizes = Breakers(clock), Sizes()
    for _ in range(FAILURES):
        breakers[FIRST].failure()
    prompt = Prompt([], Context(question=1), 1, 1)
    for number in range(5_000):
        breakers[Target("openai", str(number))].success()
        sizes.learn(Target("openai", str(number)), prompt, 1)
    assert breakers.open(FIRST)
    assert max(len(breakers._breakers), len(sizes._sizes)) <= 1_000


def test_a_breaker_is_one_model_s() -> None:
    """Another model of the same provider is asked all the same."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        for _ in range(2):
            await both.asked.reply(FIRST)
        both.first.default = Reply(["Hi"])
        await both.asked.reply(Target("openai", "other"))
        assert both.asked.outcomes == [("openai", "completed")]

    paired(scenario)


def test_retries_have_a_budget() -> None:
    """When ten retries have been made within a minute, failures go to the next provider unretried."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        for number in range(8):
            await both.asked.reply(Target("openai", f"gpt-{number}"))
        assert len(both.first.calls) == 8 + ALWAYS_A_MINUTE
        assert len(both.second.calls) == 8
        await asyncio.sleep(70)
        await both.asked.reply(Target("openai", "gpt-x"))
        assert len(both.first.calls) == 8 + ALWAYS_A_MINUTE + 3

    paired(scenario)


def long_history(turns: int) -> Sequence[HistoryMessage]:
    """Turns of about a hundred tokens each."""
    return [
        message for n in range(turns) for message in ((2 * n + 1, "q" * 200, None), (2 * n + 2, "r" * 200, 2 * n + 1))
    ]


def test_a_prompt_that_is_too_long_is_sent_once_more_and_smaller() -> None:
    """On the provider's own "context too long" half of the history is sent, the question whole; that is remembered."""

    async def scenario(both: Pair) -> None:
        both.first.default = Reply(["Hi"], usage=None)
        both.first.answer(context_too_long())
        await both.asked.reply(FIRST, history=long_history(20))
        assert [len(call.body["messages"]) for call in both.first.calls] == [41, 21]
        assert both.first.calls[1].body["messages"][-1]["content"] == "Hello"
        assert both.asked.outcomes == [("openai", "context-too-long"), ("openai", "completed")]
        await both.asked.reply(FIRST, history=long_history(30))
        assert len(both.first.calls[2].body["messages"]) == 21

    paired(scenario)


def test_a_prompt_that_stays_too_long_is_refused() -> None:
    """After the smaller one it is `context-too-long`; nobody else is asked, and without a history there is none."""

    async def scenario(both: Pair) -> None:
        both.first.default = context_too_long()
        assert isinstance(await failing(both.asked, history=long_history(20)), ContextTooLong)
        assert len(both.first.calls) == 2
        assert isinstance(await failing(both.asked), ContextTooLong)
        assert (len(both.first.calls), len(both.second.calls)) == (3, 0)

    paired(scenario)


def test_a_question_that_is_too_long_for_one_is_another_s() -> None:
    """A model whose window does not hold the question is passed over; where none does it is `message-too-long`."""

    async def scenario(both: Pair) -> None:
        await both.asked.reply(FIRST, question="x" * 8_000)
        assert both.asked.outcomes == [("groq", "completed")]
        assert isinstance(await failing(both.asked, question="x" * 2_000_000), MessageTooLong)

    paired(scenario, window=1_000)


def test_a_model_s_own_count_corrects_ours() -> None:
    """A provider that counts three tokens where we count one is told less the next time, and the estimate says so."""

    async def scenario(both: Pair) -> None:
        both.first.default = lambda call: Reply(
            ["Hi"], usage=(3 * sum(len(each["content"]) // 4 + 4 for each in call.body["messages"]), 1)
        )
        for _ in range(12):
            await both.asked.reply(FIRST, history=long_history(30))
        told = [len(call.body["messages"]) for call in both.first.calls]
        assert told[0] == 55
        assert told[-1] < 30
        assert both.asked.call is not None
        assert both.asked.call.prompt is not None
        context = both.asked.call.prompt.context
        assert 2 < context.correction < 3
        assert context.tokens > 2 * both.asked.call.prompt.estimate

    paired(scenario, window=4_000)


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
            async with asking(model) as asked:
                chances = iter([0.0, 0.5])
                asked.router._chance = lambda: next(chances)
                assert isinstance(await failing(asked), ProviderFailed)
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


def test_the_deadline_covers_all_attempts() -> None:
    """What is tried again has no more time than the turn: then it is `provider-timeout-total`."""

    async def scenario(both: Pair) -> None:
        both.second.default = Reply([asyncio.Event()])
        began = seconds()
        error = await failing(both.asked, Target("groq", "openai/gpt-oss-120b"))
        assert (error.code, seconds() - began) == ("provider-timeout-total", 300)

    paired(scenario)


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_failures_that_are_far_apart_open_nothing() -> None:
    """Five failures open a breaker only within thirty seconds, and only without a success between them."""
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(FAILURES + 3):
        breaker.failure()
        clock.seconds += WITHIN_SECONDS / 4 + 1
    assert not breaker.open
    for _ in range(FAILURES - 2):
        breaker.failure()
    breaker.success()
    for _ in range(FAILURES - 1):
        breaker.failure()
    assert not breaker.open
    breaker.failure()
    assert breaker.open


def test_the_budget_grows_with_the_calls() -> None:
    """A tenth of the last minute's calls may be retries, and ten in any case."""
    clock = Clock()
    budget = RetryBudget(clock)
    for number in range(500):
        clock.seconds = number / 10
        budget.count_call()
    assert sum(budget.take() for _ in range(200)) == 50
    clock.seconds += 120
    assert sum(budget.take() for _ in range(200)) == ALWAYS_A_MINUTE


@given(st.lists(st.tuples(st.integers(1, 100_000), st.integers(1, 400_000)), max_size=50))
def test_a_correction_stays_within_reason(reports: list[tuple[int, int]]) -> None:
    """Whatever providers report, our count is at most halved and at most taken four times."""
    size = Size()
    for counted, reported in reports:
        size.learn(counted, reported)
        assert 0.5 <= size.correction <= 4


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
