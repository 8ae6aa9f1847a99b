"""Reasoning with an end tag alone: how it is separated, and what is learnt, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from app.errors import EmptyReply
from app.llm.base import Target
from tests.support.answers import chunk, stream
from tests.support.clock import run
from tests.support.provider import FakeProvider
from tests.support.replies import Raw
from tests.support.routing import FIRST, RouterHarness, adapter, harness_of, reply_error, seconds

STOP = chunk(finish="stop")
THOUGHT: list[str | float] = [chunk("hmm let "), 0.5, chunk("me see\n"), chunk("</think>\n\nHi "), chunk("you"), STOP]
THINKING = stream(*THOUGHT)


def run_with_reader(scenario: Callable[[FakeProvider, RouterHarness], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario with a provider and a reply that has a reader."""

    async def main() -> None:
        async with FakeProvider() as provider, harness_of(adapter("openai", provider)) as harness:
            harness.has_reader = True
            await scenario(provider, harness)

    run(main())


async def text_and_reasoning(harness: RouterHarness, target: Target = FIRST) -> tuple[str, str]:
    """Generate a reply, and return its text and reasoning."""
    await harness.reply(target)
    return harness.sink.text, harness.sink.reasoning


def test_next_reply_is_held_back() -> None:
    """Reasoning that was sent stays in the text without its tag; later replies are held back and separated."""

    async def scenario(provider: FakeProvider, harness: RouterHarness) -> None:
        provider.default = THINKING
        assert await text_and_reasoning(harness) == ("hmm let me see\n\n\nHi you", "")
        assert await text_and_reasoning(harness) == ("Hi you", "hmm let me see\n")

    run_with_reader(scenario)


def test_reply_without_reader_is_separated() -> None:
    """Without a reader the first reply is separated, and the next one held back for a reader."""

    async def scenario(provider: FakeProvider, harness: RouterHarness) -> None:
        provider.default = THINKING
        harness.has_reader = False
        assert await text_and_reasoning(harness) == ("Hi you", "hmm let me see\n")
        harness.has_reader = True
        assert await text_and_reasoning(harness) == ("Hi you", "hmm let me see\n")

    run_with_reader(scenario)


def test_text_is_held_back_two_seconds() -> None:
    """Without a tag held-back text is sent after two seconds, also while the model pauses."""

    async def scenario(provider: FakeProvider, harness: RouterHarness) -> None:
        provider.answer(THINKING, stream(chunk("It "), chunk("is"), 10.0, chunk(" so"), STOP))
        await harness.reply(FIRST)
        began = seconds()
        await harness.reply(FIRST)
        assert [(text, round(at - began, 2)) for text, at in harness.sink.pieces] == [("It is", 2), (" so", 10)]

    run_with_reader(scenario)


def test_short_reply_is_text() -> None:
    """A reply without a tag that ends within the two seconds is text."""

    async def scenario(provider: FakeProvider, harness: RouterHarness) -> None:
        provider.answer(THINKING, stream(chunk("It is so"), STOP))
        await harness.reply(FIRST)
        assert await text_and_reasoning(harness) == ("It is so", "")

    run_with_reader(scenario)


def test_other_models_are_not_held_back() -> None:
    """Only replies of a model that closes reasoning it has not opened are held back."""

    async def scenario(provider: FakeProvider, harness: RouterHarness) -> None:
        plain = stream(chunk("It "), 1.0, chunk("is"), STOP)
        await check_pieces_arrive_at_once(plain, provider, harness, FIRST)
        provider.answer(THINKING)
        await harness.reply(FIRST)
        await check_pieces_arrive_at_once(plain, provider, harness, Target("openai", "other"))

    run_with_reader(scenario)


async def check_pieces_arrive_at_once(
    answer: Raw, provider: FakeProvider, harness: RouterHarness, target: Target
) -> None:
    """Check that each piece of a reply is passed on when it arrives, a second apart."""
    provider.answer(answer)
    began = seconds()
    await harness.reply(target)
    assert [(text, round(at - began, 2)) for text, at in harness.sink.pieces] == [("It ", 0), ("is", 1)]


def test_reasoning_alone_is_empty_reply() -> None:
    """If nothing follows the tag the reply is a failure without text."""

    async def scenario(provider: FakeProvider, harness: RouterHarness) -> None:
        harness.has_reader = False
        provider.answer(stream(chunk("hmm</think>"), STOP))
        assert isinstance(await reply_error(harness), EmptyReply)
        assert (harness.sink.text, harness.sink.reasoning) == ("", "hmm")

    run_with_reader(scenario)
