"""A model that follows a script: for tests, demos and load tests, without a provider."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from app.domain.messages import FinishReason, Usage
from app.domain.token_estimate import estimated_tokens
from app.errors import ProviderFailed, ProviderTruncated
from app.llm.base import ChatRequest, Chunk
from app.llm.context_windows import DEFAULT_WINDOW
from app.llm.providers.spec import ModelOptions, ProviderSpec

SLOW_SECONDS = 0.05
WORDS = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Script:
    """The pace of a reply, and the word index at which it fails, stalls or is cut off; None for not at all."""

    seconds_between: float = 0.0
    fails_at: int | None = None
    stalls_at: int | None = None
    cut_at: int | None = None


SCRIPTS = {
    "echo": Script(),
    "slow": Script(seconds_between=SLOW_SECONDS),
    "fail": Script(fails_at=0),
    "fail-midway": Script(fails_at=1),
    "stall": Script(stalls_at=0),
    "stall-midway": Script(stalls_at=1),
    "cut": Script(cut_at=1),
}


class ScriptedModel:
    """Repeats the last message word by word, in the way that the model's name says.

    `echo` at once, `slow` a word each 50 ms, `fail` and `fail-midway` with provider-error before or after the
    first word, `stall` and `stall-midway` until cancelled, `cut` ends after one word without a finish reason.
    """

    name = "scripted"
    models = tuple(SCRIPTS)
    concurrency = None
    remote = False
    cites = True
    present = True

    def __init__(self, default_model: str = "echo", context_tokens: int = DEFAULT_WINDOW) -> None:
        self.default_model = default_model
        self._context_tokens = context_tokens

    def context_window(self, _model: str) -> int:
        return self._context_tokens

    async def prepare(self) -> None: ...

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        script = SCRIPTS[request.model]
        words = WORDS.findall(request.messages[-1]["content"])[: request.max_tokens]
        for index, word in enumerate(words):
            await perform(script, index)
            yield Chunk(text=word)
        await perform(script, len(words))
        sent = "".join(message["content"] for message in request.messages)
        usage = Usage(estimated_tokens(sent), len(words))
        yield Chunk(finish_reason=FinishReason.STOP, usage=usage)

    async def aclose(self) -> None: ...


async def perform(script: Script, index: int) -> None:
    """Fail, stall or pause before the word at an index, as the script says."""
    if index == script.fails_at:
        raise ProviderFailed
    if index == script.cut_at:
        raise ProviderTruncated
    if index == script.stalls_at:
        await asyncio.Event().wait()
    await asyncio.sleep(script.seconds_between)


def build(_settings: object, options: ModelOptions) -> ScriptedModel:
    return ScriptedModel(options.model, options.context_window or DEFAULT_WINDOW)


SPEC: ProviderSpec[object] = ProviderSpec(
    name=ScriptedModel.name,
    default_model="echo",
    build=build,
    models=lambda _settings: ScriptedModel.models,
    only_when_named=True,
)
