"""How much models are told: prompts that are too long, and what providers count."""

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
    failed,
    paired,
)


def long_history(turns: int) -> Sequence[HistoryMessage]:
    """Turns of about a hundred tokens each."""
    return [
        HistoryMessage(*message)
        for n in range(turns)
        for message in ((2 * n + 1, "q" * 200, None), (2 * n + 2, "r" * 200, 2 * n + 1))
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
        assert isinstance(await failed(both.asked, history=long_history(20)), ContextTooLong)
        assert len(both.first.calls) == 2
        assert isinstance(await failed(both.asked), ContextTooLong)
        assert (len(both.first.calls), len(both.second.calls)) == (3, 0)

    paired(scenario)


def test_a_bound_by_the_minute_is_learnt() -> None:
    """A prompt over a provider's bound by the minute is halved once, then another's; the next one keeps the bound."""

    async def scenario(both: Pair) -> None:
        both.first.answer(too_large_a_minute(2_000), too_large_a_minute(2_000))
        await both.asked.reply(FIRST, history=long_history(40))
        assert [len(call.body["messages"]) for call in both.first.calls] == [81, 41]
        assert both.asked.outcomes[-1] == ("groq", "completed")
        await both.asked.reply(FIRST, history=long_history(40))
        assert both.asked.outcomes == [("openai", "completed")]
        assert len(both.first.calls[-1].body["messages"]) < 20

    paired(scenario)


def test_a_question_that_is_too_long_for_one_is_another_s() -> None:
    """A model whose window does not hold the question is passed over; where none does it is `message-too-long`."""

    async def scenario(both: Pair) -> None:
        await both.asked.reply(FIRST, question="x" * 8_000)
        assert both.asked.outcomes == [("groq", "completed")]
        assert isinstance(await failed(both.asked, question="x" * 2_000_000), MessageTooLong)

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
        record = both.asked.call.prompt.record
        assert 2 < record.correction < 3
        assert record.tokens > 2 * both.asked.call.prompt.estimate

    paired(scenario, window=4_000)


@given(st.lists(st.tuples(st.integers(1, 100_000), st.integers(1, 400_000)), max_size=50))
def test_a_correction_stays_within_reason(reports: list[tuple[int, int]]) -> None:
    """Whatever providers report, our count is at most halved and at most taken four times."""
    size = ModelCalibration()
    for counted, reported in reports:
        size.observe(counted, reported)
        assert 0.5 <= size.correction <= 4
