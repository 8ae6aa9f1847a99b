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
from app.llm.think_tags import Split, Thinking

USAGE_SECONDS = 2.0
"""What a provider has, once it has said why the model stopped, to report the usage and end the stream."""

HOLD_SECONDS = 2.0
"""Seconds for which the beginning of a reply is held back where the model closes thinking that it never opened."""

SAYING_WHY = {FinishReason.LENGTH, FinishReason.CONTENT_FILTER}
"""Finish reasons that explain an empty reply."""

REASONING_MODEL = re.compile(r"(^|/)(o\d|gpt-5|gpt-oss)|reason|think|-r1", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How long a model may take, in seconds, and how much it may say; the whole turn counts from its start."""

    first_token: float = 60
    first_token_reasoning: float = 180
    idle: float = 30
    total: float = 300
    characters: int = 500_000
    """Of text, and of thinking; what comes after that is not waited for."""

    def before_first(self, model: str) -> float:
        """Seconds until the first token of this model."""
        return self.first_token_reasoning if REASONING_MODEL.search(model) else self.first_token


class StreamConsumer:
    """Follows one attempt against three clocks, and hands on what it says, up to a length."""

    def __init__(self, call: ModelCall, limits: StreamLimits, *, hold: bool = False) -> None:
        self.first_at: float | None = None
        """When the first text or thought came, by the event loop's clock."""
        self.usage: Usage | None = None
        """What the provider has reported; None again while more has come of the reply since."""
        self.finish_reason: FinishReason | None = None
        """Why the model stopped, once it has."""
        self._call = call
        self._limits = limits
        self._now = asyncio.get_running_loop().time
        self._rewind_at = 0.0
        self._written = False
        self._thinking = Thinking(self._retract, hold=hold)
        self._release_at: asyncio.TimerHandle | None = None
        self._text_left = self._thoughts_left = limits.characters

    @property
    def twentieths(self) -> int:
        """Size of what came, as `Call.twentieths`; once something has, there is no other attempt to have got it."""
        return self._call.twentieths

    async def listen(self, model: ChatModel, request: ChatRequest) -> None:
        """Lets the model write until it stops, or has said enough.

        Raises:
            ProviderTimeout: one of the clocks ran out.
            EmptyReply: the model has stopped without a text, and has not said why.
            TurnFailed: what the model raises.
        """
        first_token_at = self._now() + self._limits.before_first(request.model)
        try:
            async with asyncio.timeout_at(min(first_token_at, self._call.deadline)) as clock:
                await self._follow(model, request, clock)
        except TimeoutError as error:
            if self.finish_reason is None:
                raise ProviderTimeout(self._phase()) from error
        finally:
            if self._release_at is not None:
                self._release_at.cancel()
            self._hand_on(self._thinking.flush())
        if not self._written and self.finish_reason not in SAYING_WHY:
            raise EmptyReply

    async def _follow(self, model: ChatModel, request: ChatRequest, clock: asyncio.Timeout) -> None:
        async with contextlib.aclosing(model.stream(request)) as chunks:
            async for chunk in chunks:
                if self._take(chunk):
                    self.finish_reason = FinishReason.LENGTH
                    return
                self._wind(clock, chunk)

    def _wind(self, clock: asyncio.Timeout, chunk: Chunk) -> None:
        """Gives the model its idle time again; not for each of a thousand tokens a second, so up to 1/16 more."""
        now = self._now()
        if chunk.finish_reason is None and (chunk.text or chunk.reasoning):
            if self.finish_reason is not None:  # it goes on all the same
                self.finish_reason, self._rewind_at = None, 0.0
        else:
            self.finish_reason = chunk.finish_reason or self.finish_reason
        said = self.first_at is not None or self.finish_reason in SAYING_WHY
        if self.finish_reason is not None and said:  # some say `stop` with their first, empty chunk (Open WebUI)
            clock.reschedule(min(now + USAGE_SECONDS, self._call.deadline))
        elif self.first_at is not None and now >= self._rewind_at:
            self._rewind_at = now + self._limits.idle / 16
            clock.reschedule(min(self._rewind_at + self._limits.idle, self._call.deadline))

    def _take(self, chunk: Chunk) -> bool:
        """Hands a chunk on; whether the reply is to end here."""
        said = chunk.text or chunk.reasoning
        self.usage = chunk.usage or (None if said else self.usage)
        if self.first_at is None and said:
            self._call.started = True
            self.first_at = self._now()
        text, thought = self._thinking.feed(chunk.text)
        self._hand_on(Split(text, chunk.reasoning + thought))
        if self._thinking.holds and self._release_at is None:
            self._release_at = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._release)
        if self._text_left < 0 or self._thoughts_left < 0:
            return True
        return chunk.finish_reason is None and self._call.should_stop is not None and self._call.should_stop()

    def _hand_on(self, parted: Split) -> None:
        text, reasoning = parted.text[: max(0, self._text_left)], parted.reasoning[: max(0, self._thoughts_left)]
        self._text_left -= len(parted.text)
        self._thoughts_left -= len(parted.reasoning)
        self._call.twentieths += twentieths(text) + twentieths(reasoning)
        self._written = self._written or text != ""
        self._call.sink.append(text)
        if reasoning:
            self._call.sink.think(reasoning)

    def _release(self) -> None:
        self._hand_on(self._thinking.release())

    def _retract(self) -> str | None:
        """Takes the text back, as what turns out to be thinking."""
        text = self._call.sink.retract()
        if text is not None:
            self._text_left += len(text)
            self._call.twentieths -= twentieths(text)
            self._written = False
        return text

    @property
    def unopened(self) -> bool:
        """Return whether the model has closed its thinking without having opened it."""
        return self._thinking.unopened

    def _phase(self) -> Phase:
        if self._now() >= self._call.deadline:
            return "total"
        return "first-token" if self.first_at is None else "idle"
