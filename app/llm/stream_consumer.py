"""One attempt's stream: timeouts, length limits, and the split of reasoning from text."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass

from app.domain.messages import FinishReason, Usage
from app.domain.token_estimate import twentieths
from app.errors import EmptyReply, Phase, ProviderTimeout
from app.llm.base import ChatModel, ChatRequest, Chunk
from app.llm.calls import ModelCall
from app.llm.think_tags import ReasoningSplitter, Split

USAGE_SECONDS = 2.0
"""Seconds after the finish reason in which a provider may report the usage and end the stream."""

HOLD_SECONDS = 2.0
"""Seconds for which a reply's beginning is held back where the model closes reasoning that it never opened."""

EXPLAINING_REASONS = {FinishReason.LENGTH, FinishReason.CONTENT_FILTER}
"""Finish reasons that explain an empty reply."""

REASONING_MODEL = re.compile(r"(^|/)(o\d|gpt-5|gpt-oss)|reason|think|-r1", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Timeouts of a model, in seconds, and the length of its reply; `total` counts from the turn's start."""

    first_token: float = 60
    first_token_reasoning: float = 180
    idle: float = 30
    total: float = 300
    characters: int = 500_000
    """Characters of text, and again of reasoning, at which the reply is cut off."""

    def first_token_of(self, model: str) -> float:
        """Return the timeout for this model's first token."""
        return self.first_token_reasoning if REASONING_MODEL.search(model) else self.first_token


class StreamConsumer:
    """Reads the stream of one attempt within its timeouts, and passes text and reasoning to the call's sink."""

    def __init__(self, call: ModelCall, limits: StreamLimits, *, hold: bool = False) -> None:
        self.first_at: float | None = None
        """Time of the first text or reasoning, by the event loop's clock."""
        self.usage: Usage | None = None
        """The usage that the provider reported; None again once more of the reply has come after it."""
        self.finish_reason: FinishReason | None = None
        self._call = call
        self._limits = limits
        self._now = asyncio.get_running_loop().time
        self._reset_at = 0.0
        self._has_text = False
        self._splitter = ReasoningSplitter(self._retract, hold=hold)
        self._release_timer: asyncio.TimerHandle | None = None
        self._text_left = self._reasoning_left = limits.characters

    @property
    def twentieths(self) -> int:
        """Size of the reply so far, see `ModelCall.twentieths`; earlier attempts of the call have received nothing."""
        return self._call.twentieths

    async def consume(self, model: ChatModel, request: ChatRequest) -> None:
        """Read the reply to its end, or until a limit of the call is reached.

        Raises:
            ProviderTimeout: one of the timeouts has passed.
            EmptyReply: the model has stopped without text, and without a reason for that.
            TurnFailed: as the model raises it.
        """
        first_token_at = self._now() + self._limits.first_token_of(request.model)
        try:
            async with asyncio.timeout_at(min(first_token_at, self._call.limits.deadline)) as clock:
                await self._read_chunks(model, request, clock)
        except TimeoutError as error:
            if self.finish_reason is None:
                raise ProviderTimeout(self._timeout_phase()) from error
        finally:
            if self._release_timer is not None:
                self._release_timer.cancel()
            self._emit(self._splitter.flush())
        if not self._has_text and self.finish_reason not in EXPLAINING_REASONS:
            raise EmptyReply

    async def _read_chunks(self, model: ChatModel, request: ChatRequest, clock: asyncio.Timeout) -> None:
        async with contextlib.aclosing(model.stream(request)) as chunks:
            async for chunk in chunks:
                if self._handle(chunk):
                    self.finish_reason = FinishReason.LENGTH
                    return
                self._reset_timeout(clock, chunk)

    def _reset_timeout(self, clock: asyncio.Timeout, chunk: Chunk) -> None:
        """Give the model its idle time again; not for each of a thousand tokens a second, so up to 1/16 more."""
        now = self._now()
        if chunk.finish_reason is None and (chunk.text or chunk.reasoning):
            if self.finish_reason is not None:  # the reply continues after its finish reason
                self.finish_reason, self._reset_at = None, 0.0
        else:
            self.finish_reason = chunk.finish_reason or self.finish_reason
        may_end = self.first_at is not None or self.finish_reason in EXPLAINING_REASONS
        if self.finish_reason is not None and may_end:  # Open WebUI sends `stop` with its first, empty chunk
            clock.reschedule(min(now + USAGE_SECONDS, self._call.limits.deadline))
        elif self.first_at is not None and now >= self._reset_at:
            self._reset_at = now + self._limits.idle / 16
            clock.reschedule(min(self._reset_at + self._limits.idle, self._call.limits.deadline))

    def _handle(self, chunk: Chunk) -> bool:
        """Emit a chunk; return True to end the reply here."""
        has_content = chunk.text or chunk.reasoning
        self.usage = chunk.usage or (None if has_content else self.usage)
        if self.first_at is None and has_content:
            self._call.started = True
            self.first_at = self._now()
        text, reasoning = self._splitter.feed(chunk.text)
        self._emit(Split(text, chunk.reasoning + reasoning))
        if self._splitter.is_holding and self._release_timer is None:
            self._release_timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._release)
        if self._text_left < 0 or self._reasoning_left < 0:
            return True
        should_stop = self._call.limits.should_stop
        return chunk.finish_reason is None and should_stop is not None and should_stop()

    def _emit(self, split: Split) -> None:
        """Pass text and reasoning to the sink, cut to the characters left."""
        text, reasoning = split.text[: max(0, self._text_left)], split.reasoning[: max(0, self._reasoning_left)]
        self._text_left -= len(split.text)
        self._reasoning_left -= len(split.reasoning)
        self._call.twentieths += twentieths(text) + twentieths(reasoning)
        self._has_text = self._has_text or text != ""
        self._call.sink.append(text)
        if reasoning:
            self._call.sink.append_reasoning(reasoning)

    def _release(self) -> None:
        self._emit(self._splitter.release())

    def _retract(self) -> str | None:
        """Take the emitted text back, because it was reasoning; None if the sink cannot."""
        text = self._call.sink.retract()
        if text is not None:
            self._text_left += len(text)
            self._call.twentieths -= twentieths(text)
            self._has_text = False
        return text

    @property
    def closed_unopened_reasoning(self) -> bool:
        """True if the model has closed its reasoning without having opened it."""
        return self._splitter.closed_unopened

    def _timeout_phase(self) -> Phase:
        if self._now() >= self._call.limits.deadline:
            return "total"
        return "first-token" if self.first_at is None else "idle"
