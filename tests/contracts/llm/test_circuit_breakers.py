"""How often providers are asked that fail: breakers, and the budget of retries."""

from __future__ import annotations

import asyncio

from app.domain.prompt import Prompt, PromptRecord
from app.errors import ProviderUnavailable
from app.llm.base import Target
from app.llm.circuit_breaker import FAILURE_THRESHOLD, OPEN_SECONDS, WINDOW_SECONDS, CircuitBreaker, CircuitBreakers
from app.llm.retry_budget import MIN_RETRIES, RetryBudget
from app.llm.token_calibration import TokenCalibration
from tests.support.replies import (
    Reply,
    rate_limited,
    server_error,
)
from tests.support.routing import (
    FIRST,
    SECOND,
    Asked,
    Pair,
    attempts,
    failed,
    paired,
)


def test_a_provider_that_fails_again_and_again_is_left_alone() -> None:
    """Five failures in thirty seconds open the breaker: nobody asks for thirty seconds, then one probe decides."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        for _ in range(2):
            await both.asked.reply(FIRST)
        assert len(both.first.calls) == FAILURE_THRESHOLD
        for _ in range(3):
            await both.asked.reply(FIRST)
            assert both.asked.outcomes == [("groq", "completed")]
        assert [model.available for model in both.asked.router.models()] == [False, True]
        await asyncio.sleep(OPEN_SECONDS)
        await both.asked.reply(FIRST)  # the probe, which fails
        assert both.asked.outcomes == [("openai", "provider-error"), ("groq", "completed")]
        await asyncio.sleep(OPEN_SECONDS)
        both.first.default = Reply(["Well again"])
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", "completed")]
        assert all(model.available for model in both.asked.router.models())

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
            await failed(both.asked, SECOND)
        calls = len(both.second.calls)
        await asyncio.sleep(10)
        error = await failed(both.asked, SECOND)
        assert isinstance(error, ProviderUnavailable)
        assert error.retry_after in range(19, 22)
        assert (len(both.second.calls), attempts(both.asked)) == (calls, [])

    paired(scenario)


def test_an_open_breaker_behind_is_nobody_to_go_on_to() -> None:
    """Where the only other provider is left alone a rate limit is waited for, and told as what it is."""

    async def scenario(both: Pair) -> None:
        both.second.default = server_error()
        for _ in range(2):
            await failed(both.asked, SECOND)
        both.first.answer(rate_limited(20), Reply(["Hi"]))
        await both.asked.reply(FIRST)
        assert both.asked.outcomes == [("openai", "provider-rate-limited"), ("openai", "completed")]
        both.first.default = rate_limited(600)
        error = await failed(both.asked)
        assert (error.code, error.retry_after) == ("provider-rate-limited", 600)

    paired(scenario)


def test_any_number_of_models_may_be_named() -> None:
    """Callers who name ever other models do not fill the memory; what is open stays so."""
    clock = Clock()
    breakers, calibration = CircuitBreakers(clock), TokenCalibration()
    for _ in range(FAILURE_THRESHOLD):
        breakers[FIRST].record_failure()
    prompt = Prompt([], PromptRecord(question_number=1), 1, 1)
    for number in range(5_000):
        breakers[Target("openai", str(number))].record_success()
        calibration.observe(Target("openai", str(number)), prompt, 1)
    assert breakers.is_open(FIRST)
    assert max(len(breakers), len(calibration)) <= 1_000


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
        assert len(both.first.calls) == 8 + MIN_RETRIES
        assert len(both.second.calls) == 8
        await asyncio.sleep(70)
        await both.asked.reply(Target("openai", "gpt-x"))
        assert len(both.first.calls) == 8 + MIN_RETRIES + 3

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
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURE_THRESHOLD + 3):
        breaker.record_failure()
        clock.seconds += WINDOW_SECONDS / 4 + 1
    assert not breaker.is_open
    for _ in range(FAILURE_THRESHOLD - 2):
        breaker.record_failure()
    breaker.record_success()
    for _ in range(FAILURE_THRESHOLD - 1):
        breaker.record_failure()
    assert not breaker.is_open
    breaker.record_failure()
    assert breaker.is_open


def test_the_budget_grows_with_the_calls() -> None:
    """A tenth of the last minute's calls may be retries, and ten in any case."""
    clock = Clock()
    budget = RetryBudget(clock)
    for number in range(500):
        clock.seconds = number / 10
        budget.count_call()
    assert sum(budget.take() for _ in range(200)) == 50
    clock.seconds += 120
    assert sum(budget.take() for _ in range(200)) == MIN_RETRIES
