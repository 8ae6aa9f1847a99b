"""Replies as the router gets them, without a service or a database around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from app.domain.prompt import build_prompt
from app.domain.turns import History, HistoryMessage
from app.domain.usage import Attempt
from app.errors import AppError
from app.llm.base import ChatModel, Target
from app.llm.calls import CallLimits, ModelCall
from app.llm.catalog import Catalog
from app.llm.providers.groq import GroqModel
from app.llm.providers.openai import OpenAIModel
from app.llm.router import Completion, Router
from app.llm.stream_consumer import StreamLimits
from tests.support.clock import run
from tests.support.provider import FakeProvider

KEY = "sk-Zq8vT3kLw0secret"
ADAPTERS = ("openai", "groq", "further")
FIRST, SECOND = Target("openai", "gpt"), Target("groq", "oss")


@dataclass
class Heard:
    """A sink."""

    watched: bool = False
    """Whether a reader is sent each piece as it comes."""
    text: str = ""
    reasoning: str = ""
    came: list[tuple[str, float]] = field(default_factory=list)
    """Each piece of text with its moment."""

    def append(self, text: str) -> None:
        self.text += text
        if text:
            self.came.append((text, asyncio.get_running_loop().time()))

    def append_reasoning(self, text: str) -> None:
        self.reasoning += text

    def retract(self) -> str | None:
        if self.watched and self.text:
            return None
        text, self.text = self.text, ""
        return text


@dataclass
class Asked:
    """A router, and what has been asked of it."""

    router: Router
    heard: Heard = field(default_factory=Heard)
    watched: bool = False
    """Whether readers look on."""
    call: ModelCall | None = None

    async def reply(
        self, target: Target, *, question: str = "Hello", history: Sequence[HistoryMessage] = ()
    ) -> Completion:
        """A reply, asked for anew."""
        self.heard = Heard(self.watched)
        messages = [*history, HistoryMessage(len(history) + 1, question, None)]
        self.call = ModelCall(
            target,
            lambda window: build_prompt(History(None, messages), len(messages), window),
            self.heard,
            CallLimits(asyncio.get_running_loop().time() + self.router.limits.total),
        )
        return await self.router.complete(self.call)

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Who was asked for the last reply, and what came of it."""
        assert self.call is not None
        return [(attempt.provider, attempt.outcome) for attempt in self.call.attempts]


def adapter(name: str, provider: FakeProvider) -> ChatModel:
    """One of the adapters that go over HTTP, asking a fake provider."""
    if name == "groq":
        return GroqModel(KEY, provider.groq_base_url, "oss")
    if name == "openai":
        return OpenAIModel(KEY, provider.openai_base_url, "gpt")
    return OpenAIModel(KEY, provider.openai_base_url, "llama", name=name)


def target_of(model: ChatModel) -> Target:
    """What is asked where only the provider is named."""
    return Target(model.name, model.default_model)


@contextlib.asynccontextmanager
async def asking(
    *models: ChatModel,
    fallbacks: Sequence[Target] = (),
    limits: StreamLimits | None = None,
    chance: Callable[[], float] = lambda: 1.0,
) -> AsyncIterator[Asked]:
    """A router over these models whose pauses are as long as they can be."""
    catalog = Catalog(models, models[0].name)
    try:
        yield Asked(Router(catalog, fallbacks, limits, random_fraction=chance))
    finally:
        await catalog.aclose()


Scenario = Callable[[FakeProvider, Asked, Callable[[], Coroutine[Any, Any, Completion]]], Coroutine[Any, Any, None]]


def asked(name: str, scenario: Scenario, limits: StreamLimits | None = None) -> None:
    """Runs a scenario: a provider, a router that knows its adapter alone, and what asks it."""

    async def main() -> None:
        async with FakeProvider() as provider:
            model = adapter(name, provider)
            async with asking(model, limits=limits) as router:
                await scenario(provider, router, lambda: router.reply(target_of(model)))

    run(main())


class Pair(NamedTuple):
    """A router with two providers, the second of which is asked when the first fails."""

    first: FakeProvider
    second: FakeProvider
    asked: Asked


def paired(
    scenario: Callable[[Pair], Coroutine[Any, Any, None]],
    window: int | None = None,
    fallbacks: Sequence[Target] = (SECOND,),
) -> None:
    """Runs a scenario with two providers, the first of which takes so many tokens."""

    async def main() -> None:
        async with FakeProvider() as first, FakeProvider() as second:
            models = OpenAIModel(KEY, first.openai_base_url, "gpt", window), GroqModel(KEY, second.groq_base_url, "oss")
            async with asking(*models, fallbacks=fallbacks) as router:
                await scenario(Pair(first, second, router))

    run(main())


async def failing(ask: Callable[[], Coroutine[Any, Any, Completion]]) -> AppError:
    """The error that a reply ends with."""
    with pytest.raises(AppError) as caught:
        await ask()
    return caught.value


async def failed(router: Asked, target: Target = FIRST, **more: Any) -> AppError:
    """The error that a reply ends with which this target is asked for first."""
    return await failing(lambda: router.reply(target, **more))


def attempts(router: Asked) -> list[Attempt]:
    """What was done for the last reply."""
    assert router.call is not None
    return router.call.attempts


def seconds() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()
