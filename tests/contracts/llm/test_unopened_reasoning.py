"""Thinking of which only the end is marked: what becomes of it and is learnt, by a clock that waits for nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from app.errors import EmptyReply
from app.llm.base import Target
from tests.support.answers import chunk, stream
from tests.support.clock import run
from tests.support.provider import FakeProvider
from tests.support.replies import Raw
from tests.support.routing import FIRST, Asked, adapter, asking, failed, seconds

STOP = chunk(finish="stop")
THOUGHT: list[str | float] = [chunk("hmm let "), 0.5, chunk("me see\n"), chunk("</think>\n\nHi "), chunk("you"), STOP]
THINKING = stream(*THOUGHT)


def watching(scenario: Callable[[FakeProvider, Asked], Coroutine[Any, Any, None]]) -> None:
    """Runs a scenario with a provider and readers who look on."""

    async def main() -> None:
        async with FakeProvider() as provider, asking(adapter("openai", provider)) as router:
            router.watched = True
            await scenario(provider, router)

    run(main())


async def heard(router: Asked, target: Target = FIRST) -> tuple[str, str]:
    """Text and reasoning of a reply."""
    await router.reply(target)
    return router.heard.text, router.heard.reasoning


def test_next_reply_is_held_back() -> None:
    """Reasoning that was sent stays in the text without its tag; later replies are held back and separated."""

    async def scenario(provider: FakeProvider, router: Asked) -> None:
        provider.default = THINKING
        assert await heard(router) == ("hmm let me see\n\n\nHi you", "")
        assert await heard(router) == ("Hi you", "hmm let me see\n")

    watching(scenario)


def test_reply_without_reader_is_separated() -> None:
    """Without a reader the first reply is separated, and the next one held back for a reader."""

    async def scenario(provider: FakeProvider, router: Asked) -> None:
        provider.default = THINKING
        router.watched = False
        assert await heard(router) == ("Hi you", "hmm let me see\n")
        router.watched = True
        assert await heard(router) == ("Hi you", "hmm let me see\n")

    watching(scenario)


def test_text_is_held_back_two_seconds() -> None:
    """Without a tag held-back text is sent after two seconds, also while the model pauses."""

    async def scenario(provider: FakeProvider, router: Asked) -> None:
        provider.answer(THINKING, stream(chunk("It "), chunk("is"), 10.0, chunk(" so"), STOP))
        await router.reply(FIRST)
        began = seconds()
        await router.reply(FIRST)
        assert [(text, round(at - began, 2)) for text, at in router.heard.came] == [("It is", 2), (" so", 10)]

    watching(scenario)


def test_short_reply_is_text() -> None:
    """A reply without a tag that ends within the two seconds is text."""

    async def scenario(provider: FakeProvider, router: Asked) -> None:
        provider.answer(THINKING, stream(chunk("It is so"), STOP))
        await router.reply(FIRST)
        assert await heard(router) == ("It is so", "")

    watching(scenario)


def test_other_models_are_not_held_back() -> None:
    """Only replies of a model that closes reasoning it has not opened are held back."""

    async def scenario(provider: FakeProvider, router: Asked) -> None:
        plain = stream(chunk("It "), 1.0, chunk("is"), STOP)
        await at_once(plain, provider, router, FIRST)
        provider.answer(THINKING)
        await router.reply(FIRST)
        await at_once(plain, provider, router, Target("openai", "other"))

    watching(scenario)


async def at_once(answer: Raw, provider: FakeProvider, router: Asked, target: Target) -> None:
    """Each piece of a reply is passed on as it comes, a second between them."""
    provider.answer(answer)
    began = seconds()
    await router.reply(target)
    assert [(text, round(at - began, 2)) for text, at in router.heard.came] == [("It ", 0), ("is", 1)]


def test_reasoning_alone_is_empty_reply() -> None:
    """If nothing follows the tag the reply is a failure without text."""

    async def scenario(provider: FakeProvider, router: Asked) -> None:
        router.watched = False
        provider.answer(stream(chunk("hmm</think>"), STOP))
        assert isinstance(await failed(router), EmptyReply)
        assert (router.heard.text, router.heard.reasoning) == ("", "hmm")

    watching(scenario)
