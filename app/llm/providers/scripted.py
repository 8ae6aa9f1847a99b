"""A model that does as it is told: for tests, demos and load, without a provider."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from app.domain.messages import FinishReason, Usage
from app.domain.token_estimate import estimated_tokens
from app.errors import ProviderFailed, ProviderTruncated
from app.llm.base import ChatRequest, Chunk

SLOW_SECONDS = 0.05
WORDS = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Script:
    """How a scripted model behaves: what comes when, and how it ends."""

    seconds_between: float = 0.0
    fails_after: int | None = None
    stalls_after: int | None = None
    cut_after: int | None = None


SCRIPTS = {
    "echo": Script(),
    "slow": Script(seconds_between=SLOW_SECONDS),
    "fail": Script(fails_after=0),
    "fail-midway": Script(fails_after=1),
    "stall": Script(stalls_after=0),
    "stall-midway": Script(stalls_after=1),
    "cut": Script(cut_after=1),
}


class ScriptedModel:
    """Repeats the last message, word by word; the model's name says how.

    `echo` at once, `slow` a word each 50 ms, `fail` and `fail-midway` with provider-error before or after the
    first word, `stall` and `stall-midway` for ever, `cut` ends after one word without a finish reason.
    """

    name = "scripted"
    models = tuple(SCRIPTS)
    concurrency = None
    remote = False
    cites = True
    present = True

    def __init__(self, default_model: str = "echo", context_tokens: int = 128_000) -> None:
        self.default_model = default_model
        self._context_tokens = context_tokens

    def context_window(self, _model: str) -> int:
        """See `ChatModel.context_window`."""
        return self._context_tokens

    async def prepare(self) -> None:
        """See `ChatModel.prepare`: there is nothing to find out."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """See `ChatModel.stream`."""
        script = SCRIPTS[request.model]
        words = WORDS.findall(request.messages[-1]["content"])[: request.max_tokens]
        for place, word in enumerate(words):
            await perform(script, place)
            yield Chunk(text=word)
        await perform(script, len(words))
        sent = "".join(message["content"] for message in request.messages)
        usage = Usage(estimated_tokens(sent), len(words))
        yield Chunk(finish_reason=FinishReason.STOP, usage=usage)

    async def aclose(self) -> None:
        """There is nothing to free."""


async def perform(script: Script, place: int) -> None:
    """What happens before the word at this place."""
    if place == script.fails_after:
        raise ProviderFailed
    if place == script.cut_after:
        raise ProviderTruncated
    if place == script.stalls_after:
        await asyncio.Event().wait()
    await asyncio.sleep(script.seconds_between)
