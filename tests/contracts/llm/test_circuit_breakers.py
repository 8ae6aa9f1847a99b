"""Circuit breakers and the retry budget limit the calls of failing providers."""

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
    Pair,
    RouterHarness,
    attempts,
    reply_error,
    run_with_pair,
)


def test_breaker_opens_and_probes() -> None:
    """Five failures in 30 seconds open the breaker for 30 seconds; then one probe decides."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        for _ in range(2):
            await both.harness.reply(FIRST)
        assert len(both.first.calls) == FAILURE_THRESHOLD
        for _ in range(3):
            await both.harness.reply(FIRST)
            assert both.harness.outcomes == [("groq", "completed")]
        assert [model.available for model in both.harness.router.models()] == [False, True]
        await asyncio.sleep(OPEN_SECONDS)
        await both.harness.reply(FIRST)  # the probe, which fails
        assert both.harness.outcomes == [("openai", "provider-error"), ("groq", "completed")]
        await asyncio.sleep(OPEN_SECONDS)
        both.first.default = Reply(["Well again"])
        await both.harness.reply(FIRST)
        assert both.harness.outcomes == [("openai", "completed")]
        assert all(model.available for model in both.harness.router.models())

    run_with_pair(scenario)


def test_breaker_allows_one_probe() -> None:
    """Calls during a probe go to the fallback; a cancelled probe decides nothing."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        for _ in range(2):
            await both.harness.reply(FIRST)
        await asyncio.sleep(OPEN_SECONDS)
        calls = len(both.first.calls)
        both.first.default = Reply([asyncio.Event()])
        probe = asyncio.create_task(RouterHarness(both.harness.router).reply(FIRST))
        await both.first.wait_calls(calls + 1)
        await both.harness.reply(FIRST)
        assert both.harness.outcomes == [("groq", "completed")]
        probe.cancel()
        await asyncio.wait([probe])
        both.first.default = Reply(["Hi"])
        await both.harness.reply(FIRST)
        assert both.harness.outcomes == [("openai", "completed")]

    run_with_pair(scenario)


def test_open_breaker_sets_retry_after() -> None:
    """Without a fallback the refusal has the seconds until the next probe, and calls no provider."""

    async def scenario(both: Pair) -> None:
        both.second.default = server_error()
        for _ in range(2):
            await reply_error(both.harness, SECOND)
        calls = len(both.second.calls)
        await asyncio.sleep(10)
        error = await reply_error(both.harness, SECOND)
        assert isinstance(error, ProviderUnavailable)
        assert error.retry_after in range(19, 22)
        assert (len(both.second.calls), attempts(both.harness)) == (calls, [])

    run_with_pair(scenario)


def test_open_breaker_is_no_fallback() -> None:
    """If the only fallback's breaker is open, a rate limit is waited for and reported as such."""

    async def scenario(both: Pair) -> None:
        both.second.default = server_error()
        for _ in range(2):
            await reply_error(both.harness, SECOND)
        both.first.answer(rate_limited(20), Reply(["Hi"]))
        await both.harness.reply(FIRST)
        assert both.harness.outcomes == [("openai", "provider-rate-limited"), ("openai", "completed")]
        both.first.default = rate_limited(600)
        error = await reply_error(both.harness)
        assert (error.code, error.retry_after) == ("provider-rate-limited", 600)

    run_with_pair(scenario)


def test_breakers_are_bounded() -> None:
    """Calls of ever other models do not fill the memory, and an open breaker is kept."""
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


def test_breaker_is_per_model() -> None:
    """Another model of the same provider is called nevertheless."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        for _ in range(2):
            await both.harness.reply(FIRST)
        both.first.default = Reply(["Hi"])
        await both.harness.reply(Target("openai", "other"))
        assert both.harness.outcomes == [("openai", "completed")]

    run_with_pair(scenario)


def test_retry_budget_is_spent() -> None:
    """After ten retries within a minute, failures go to the fallback without a retry."""

    async def scenario(both: Pair) -> None:
        both.first.default = server_error()
        for number in range(8):
            await both.harness.reply(Target("openai", f"gpt-{number}"))
        assert len(both.first.calls) == 8 + MIN_RETRIES
        assert len(both.second.calls) == 8
        await asyncio.sleep(70)
        await both.harness.reply(Target("openai", "gpt-x"))
        assert len(both.first.calls) == 8 + MIN_RETRIES + 3

    run_with_pair(scenario)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_distant_failures_open_nothing() -> None:
    """A breaker opens only for five failures within 30 seconds without a success between them."""
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


def test_retry_budget_grows_with_calls() -> None:
    """A tenth of the last minute's calls may be retries, and ten in any case."""
    clock = Clock()
    budget = RetryBudget(clock)
    for number in range(500):
        clock.seconds = number / 10
        budget.count_call()
    assert sum(budget.take() for _ in range(200)) == 50
    clock.seconds += 120
    assert sum(budget.take() for _ in range(200)) == MIN_RETRIES
