"""Prompts that are too long, and token counts that providers report."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from app.domain.turns import HistoryMessage
from app.errors import ContextTooLong, MessageTooLong
from app.llm.token_calibration import ModelCalibration
from tests.support.replies import (
    Reply,
    context_too_long,
    too_large_a_minute,
)
from tests.support.routing import (
    FIRST,
    Pair,
    reply_error,
    run_with_pair,
)


def long_history(turns: int) -> Sequence[HistoryMessage]:
    """Return the history of turns of about a hundred tokens each."""
    return [
        HistoryMessage(*message)
        for n in range(turns)
        for message in ((2 * n + 1, "q" * 200, None), (2 * n + 2, "r" * 200, 2 * n + 1))
    ]


def test_refused_prompt_is_halved() -> None:
    """After "context too long" half of the history is sent with the whole question; the limit is remembered."""

    async def scenario(both: Pair) -> None:
        both.first.default = Reply(["Hi"], usage=None)
        both.first.answer(context_too_long())
        await both.harness.reply(FIRST, history=long_history(20))
        assert [len(call.body["messages"]) for call in both.first.calls] == [41, 21]
        assert both.first.calls[1].body["messages"][-1]["content"] == "Hello"
        assert both.harness.outcomes == [("openai", "context-too-long"), ("openai", "completed")]
        await both.harness.reply(FIRST, history=long_history(30))
        assert len(both.first.calls[2].body["messages"]) == 21

    run_with_pair(scenario)


def test_halved_prompt_is_refused() -> None:
    """A second refusal is `context-too-long`, without a fallback; without a history there is no second prompt."""

    async def scenario(both: Pair) -> None:
        both.first.default = context_too_long()
        assert isinstance(await reply_error(both.harness, history=long_history(20)), ContextTooLong)
        assert len(both.first.calls) == 2
        assert isinstance(await reply_error(both.harness), ContextTooLong)
        assert (len(both.first.calls), len(both.second.calls)) == (3, 0)

    run_with_pair(scenario)


def test_limit_per_minute_is_learnt() -> None:
    """A prompt over a provider's limit per minute is halved, then sent to the fallback; the next one is smaller."""

    async def scenario(both: Pair) -> None:
        both.first.answer(too_large_a_minute(2_000), too_large_a_minute(2_000))
        await both.harness.reply(FIRST, history=long_history(40))
        assert [len(call.body["messages"]) for call in both.first.calls] == [81, 41]
        assert both.harness.outcomes[-1] == ("groq", "completed")
        await both.harness.reply(FIRST, history=long_history(40))
        assert both.harness.outcomes == [("openai", "completed")]
        assert len(both.first.calls[-1].body["messages"]) < 20

    run_with_pair(scenario)


def test_model_with_small_window_is_skipped() -> None:
    """A model whose window is too small for the question is skipped; with none left it is `message-too-long`."""

    async def scenario(both: Pair) -> None:
        await both.harness.reply(FIRST, question="x" * 8_000)
        assert both.harness.outcomes == [("groq", "completed")]
        assert isinstance(await reply_error(both.harness, question="x" * 2_000_000), MessageTooLong)

    run_with_pair(scenario, window=1_000)


def test_reported_tokens_correct_estimates() -> None:
    """If a provider counts three tokens per estimated one, later prompts are shorter and estimates larger."""

    async def scenario(both: Pair) -> None:
        both.first.default = lambda call: Reply(
            ["Hi"], usage=(3 * sum(len(each["content"]) // 4 + 4 for each in call.body["messages"]), 1)
        )
        for _ in range(12):
            await both.harness.reply(FIRST, history=long_history(30))
        lengths = [len(call.body["messages"]) for call in both.first.calls]
        assert lengths[0] == 55
        assert lengths[-1] < 30
        assert both.harness.call is not None
        assert both.harness.call.prompt is not None
        record = both.harness.call.prompt.record
        assert 2 < record.correction < 3
        assert record.tokens > 2 * both.harness.call.prompt.estimate

    run_with_pair(scenario, window=4_000)


@given(st.lists(st.tuples(st.integers(1, 100_000), st.integers(1, 400_000)), max_size=50))
def test_correction_is_bounded(reports: list[tuple[int, int]]) -> None:
    """Whatever providers report, estimates are at most halved and at most quadrupled."""
    size = ModelCalibration()
    for counted, reported in reports:
        size.observe(counted, reported)
        assert 0.5 <= size.correction <= 4
