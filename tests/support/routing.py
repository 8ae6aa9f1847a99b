"""Replies as the router gets them, without a service or a database around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from app.domain.context import prompt
from app.domain.turns import History, HistoryMessage
from app.llm.base import ChatModel, Target
from app.llm.calls import Call
from app.llm.catalog import Catalog
from app.llm.groq import GroqModel
from app.llm.listener import Limits
from app.llm.openai import OpenAIModel
from app.llm.router import Ending, Router
from tests.support.provider import FakeProvider

KEY = "sk-Zq8vT3kLw0secret"
ADAPTERS = ("openai", "groq", "further")


@dataclass
class Heard:
    """A sink."""

    text: str = ""
    reasoning: str = ""

    def append(self, text: str) -> None:
        self.text += text

    def think(self, text: str) -> None:
        self.reasoning += text


@dataclass
class Asked:
    """A router, and what has been asked of it."""

    router: Router
    heard: Heard = field(default_factory=Heard)
    call: Call | None = None

    async def reply(self, target: Target, *, question: str = "Hello", history: Sequence[HistoryMessage] = ()) -> Ending:
        """A reply, asked for anew."""
        self.heard = Heard()
        messages = [*history, (len(history) + 1, question, None)]
        self.call = Call(
            target,
            lambda window: prompt(History(None, messages), len(messages), window),
            self.heard,
            asyncio.get_running_loop().time() + self.router.limits.total,
        )
        return await self.router.answer(self.call)

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
    *models: ChatModel, fallbacks: Sequence[Target] = (), limits: Limits | None = None
) -> AsyncIterator[Asked]:
    """A router over these models whose pauses are as long as they can be."""
    catalog = Catalog(models, models[0].name)
    try:
        yield Asked(Router(catalog, fallbacks, limits, chance=lambda: 1.0))
    finally:
        await catalog.aclose()
