"""Every observed form of a provider's answer becomes the reply that it is, or the failure that it means."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import AppError
from tests.support.answer_cases import EXPECTED_OF_GIVEN, GIVEN, TABLE, Failed, Made
from tests.support.answers import byte_wise
from tests.support.provider import FakeProvider
from tests.support.replies import Raw
from tests.support.routing import RouterHarness, error_of, run_with_adapter, seconds


def check(adapter: str, answer: Raw, expected: Made | Failed) -> None:
    """Request a reply from a provider that answers so, and compare the outcome."""

    async def scenario(provider: FakeProvider, harness: RouterHarness, complete: Any) -> None:
        provider.default = answer
        if isinstance(expected, Failed):
            error: AppError = await error_of(complete)
            assert (error.code, len(provider.calls)) == (expected.code, expected.attempts)
            assert (harness.sink.text, expected.says in error.detail) == (expected.text, True)
            return
        ending = await complete()
        assert (harness.sink.text, ending.finish_reason) == (expected.text, expected.reason)
        assert harness.sink.reasoning == expected.reasoning
        tokens = None if ending.usage.estimated else (ending.usage.input_tokens, ending.usage.output_tokens)
        assert tokens == expected.tokens
        assert expected.seconds <= seconds() < expected.seconds + 0.1

    run_with_adapter(adapter, scenario)


def test_cases_cover_all_observed_answers() -> None:
    """The file of observed answers and the expected results have the same names."""
    assert EXPECTED_OF_GIVEN.keys() == GIVEN.keys()


@pytest.mark.parametrize("case", TABLE)
def test_answer(case: str) -> None:
    """Each form of an answer becomes the reply that it is, or the failure that it means."""
    check("openai", *TABLE[case])


@pytest.mark.parametrize("case", [name for name, (_, expected) in TABLE.items() if isinstance(expected, Made)])
def test_answer_byte_by_byte(case: str) -> None:
    """An answer that arrives byte by byte is the same reply, through Groq's adapter too."""
    answer, expected = TABLE[case]
    check("groq", byte_wise(answer), expected)
