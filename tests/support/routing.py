"""Replies through the router, without a service or a database."""

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
class RecordingSink:
    """A sink that keeps what it gets."""

    has_reader: bool = False
    """True if a reader gets each piece as it comes."""
    text: str = ""
    reasoning: str = ""
    pieces: list[tuple[str, float]] = field(default_factory=list)
    """Each piece of text with its time in seconds."""

    def append(self, text: str) -> None:
        self.text += text
        if text:
            self.pieces.append((text, asyncio.get_running_loop().time()))

    def append_reasoning(self, text: str) -> None:
        self.reasoning += text

    def retract(self) -> str | None:
        if self.has_reader and self.text:
            return None
        text, self.text = self.text, ""
        return text


@dataclass
class RouterHarness:
    """A router with the call and the sink of its last reply."""

    router: Router
    sink: RecordingSink = field(default_factory=RecordingSink)
    has_reader: bool = False
    """True if readers get each piece as it comes."""
    call: ModelCall | None = None

    async def reply(
        self, target: Target, *, question: str = "Hello", history: Sequence[HistoryMessage] = ()
    ) -> Completion:
        """Generate a reply into a new sink."""
        self.sink = RecordingSink(self.has_reader)
        messages = [*history, HistoryMessage(len(history) + 1, question, None)]
        self.call = ModelCall(
            target,
            lambda window: build_prompt(History(None, messages), len(messages), window),
            self.sink,
            CallLimits(asyncio.get_running_loop().time() + self.router.limits.total),
        )
        return await self.router.complete(self.call)

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Provider and outcome of each attempt at the last reply."""
        return [(attempt.provider, attempt.outcome) for attempt in attempts(self)]


def adapter(name: str, provider: FakeProvider) -> ChatModel:
    """Return one of the adapters that use HTTP, for a fake provider."""
    if name == "groq":
        return GroqModel(KEY, provider.groq_base_url, "oss")
    if name == "openai":
        return OpenAIModel(KEY, provider.openai_base_url, "gpt")
    return OpenAIModel(KEY, provider.openai_base_url, "llama", name=name)


def target_of(model: ChatModel) -> Target:
    """Return the target of a request that names only the provider."""
    return Target(model.name, model.default_model)


@contextlib.asynccontextmanager
async def harness_of(
    *models: ChatModel,
    fallbacks: Sequence[Target] = (),
    limits: StreamLimits | None = None,
    random_fraction: Callable[[], float] = lambda: 1.0,
) -> AsyncIterator[RouterHarness]:
    """Open a router over these models; by default its pauses are the longest."""
    catalog = Catalog(models, models[0].name)
    try:
        yield RouterHarness(Router(catalog, fallbacks, limits, random_fraction))
    finally:
        await catalog.aclose()


Scenario = Callable[
    [FakeProvider, RouterHarness, Callable[[], Coroutine[Any, Any, Completion]]], Coroutine[Any, Any, None]
]


def run_with_adapter(name: str, scenario: Scenario, limits: StreamLimits | None = None) -> None:
    """Run a scenario with a provider, a router with its adapter alone, and the function that requests a reply."""

    async def main() -> None:
        async with FakeProvider() as provider:
            model = adapter(name, provider)
            async with harness_of(model, limits=limits) as harness:
                await scenario(provider, harness, lambda: harness.reply(target_of(model)))

    run(main())


class Pair(NamedTuple):
    """A router with two providers; the second one is the fallback."""

    first: FakeProvider
    second: FakeProvider
    harness: RouterHarness


def run_with_pair(
    scenario: Callable[[Pair], Coroutine[Any, Any, None]],
    window: int | None = None,
    fallbacks: Sequence[Target] = (SECOND,),
) -> None:
    """Run a scenario with two providers; `window` is the first one's context window in tokens."""

    async def main() -> None:
        async with FakeProvider() as first, FakeProvider() as second:
            models = OpenAIModel(KEY, first.openai_base_url, "gpt", window), GroqModel(KEY, second.groq_base_url, "oss")
            async with harness_of(*models, fallbacks=fallbacks) as harness:
                await scenario(Pair(first, second, harness))

    run(main())


async def error_of(complete: Callable[[], Coroutine[Any, Any, Completion]]) -> AppError:
    """Request a reply that fails, and return its error."""
    with pytest.raises(AppError) as caught:
        await complete()
    return caught.value


async def reply_error(harness: RouterHarness, target: Target = FIRST, **more: Any) -> AppError:
    """Request a reply of a target that fails, and return its error."""
    return await error_of(lambda: harness.reply(target, **more))


def attempts(harness: RouterHarness) -> list[Attempt]:
    """Return the attempts at the last reply."""
    assert harness.call is not None
    return harness.call.attempts


def seconds() -> float:
    """Return the virtual time."""
    return asyncio.get_running_loop().time()
