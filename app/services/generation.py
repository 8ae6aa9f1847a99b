"""Asking a model, with our own clocks; how it ends is always an outcome."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass

from app.domain.messages import Status, Usage
from app.domain.text import estimated_tokens
from app.domain.turns import Outcome
from app.errors import AppError, InternalError, Phase, ProviderTimeout
from app.llm.base import ChatModel, ChatRequest, Chunk
from app.services.replies import Reply, failure_of

REASONING_MODEL = re.compile(r"(^|/)(o\d|gpt-5|gpt-oss)|reason|think|-r1", re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a model may take, in seconds; the whole turn counts from its start."""

    first_token: float = 60
    first_token_reasoning: float = 180
    idle: float = 30
    total: float = 300

    def before_first(self, model: str) -> float:
        """Seconds until the first token of this model."""
        return self.first_token_reasoning if REASONING_MODEL.search(model) else self.first_token


async def generate(model: ChatModel, request: ChatRequest, reply: Reply, limits: Limits) -> Outcome:
    """Lets a model write a reply and gives how that ended; only a cancellation is raised."""
    try:
        last = await Listener(reply, limits).listen(model, request)
    except AppError as error:
        return failed(reply, request, error)
    except Exception:
        log.exception("a turn failed on %s", model.name)
        return failed(reply, request, InternalError())
    usage = last.usage or estimated_usage(request, reply)
    return Outcome(Status.COMPLETED, reply.text(), last.finish_reason, usage)


def failed(reply: Reply, request: ChatRequest, error: AppError) -> Outcome:
    """The outcome of a failure; the text so far is kept."""
    cause = type(error.__cause__).__name__  # its words may hold a key, or what another customer said
    log.warning("a turn failed", extra={"code": error.code, "model": request.model, "cause": cause})
    usage = estimated_usage(request, reply) if reply.length else None
    return Outcome(Status.FAILED, reply.text(), usage=usage, error=failure_of(error))


def estimated_usage(request: ChatRequest, reply: Reply) -> Usage:
    """Usage by characters, where the provider gave none."""
    sent = sum(len(message["content"]) for message in request.messages)
    return Usage(estimated_tokens(sent), estimated_tokens(reply.length), estimated=True)


class Listener:
    """Follows one stream of chunks against three clocks."""

    def __init__(self, reply: Reply, limits: Limits) -> None:
        self._reply = reply
        self._limits = limits
        self._now = asyncio.get_running_loop().time
        self._deadline = self._now() + limits.total
        self._rewind_at = 0.0
        self._begun = False

    async def listen(self, model: ChatModel, request: ChatRequest) -> Chunk:
        """Appends what arrives; gives the finish reason and the usage.

        Raises:
            ProviderTimeout: one of the clocks ran out.
            TurnFailed: what the model raises.
        """
        last = Chunk()
        first_token = self._limits.before_first(request.model)
        try:
            async with asyncio.timeout(min(first_token, self._limits.total)) as clock:
                async with contextlib.aclosing(model.stream(request)) as chunks:
                    async for chunk in chunks:
                        self._wind(clock)
                        last = self._take(chunk, last)
        except TimeoutError as error:
            raise ProviderTimeout(self._phase()) from error
        return last

    def _wind(self, clock: asyncio.Timeout) -> None:
        """Gives the model its idle time again; not for each of a thousand tokens a second, so up to 1/16 more."""
        now = self._now()
        if now >= self._rewind_at:
            self._rewind_at = now + self._limits.idle / 16
            clock.reschedule(min(self._rewind_at + self._limits.idle, self._deadline))

    def _take(self, chunk: Chunk, last: Chunk) -> Chunk:
        self._begun = True
        self._reply.append(chunk.text)
        if chunk.finish_reason is None and chunk.usage is None:
            return last
        return Chunk(finish_reason=chunk.finish_reason or last.finish_reason, usage=chunk.usage or last.usage)

    def _phase(self) -> Phase:
        if self._now() >= self._deadline:
            return "total"
        return "idle" if self._begun else "first-token"
