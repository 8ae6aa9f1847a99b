"""Who is asked for a reply, how often, and who is asked instead: the only loop that retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from app.domain.ids import now_ms
from app.domain.messages import FinishReason, Usage
from app.domain.prompt import Prompt, Window
from app.domain.usage import CANCELLED, COMPLETED
from app.errors import (
    AppError,
    ContextTooLong,
    InternalError,
    MessageTooLong,
    ModelNotFound,
    ProviderTimeout,
    ProviderUnavailable,
    TurnFailed,
)
from app.llm.attempt_recorder import AttemptRecorder
from app.llm.base import ChatModel, ChatRequest, Target
from app.llm.calls import ModelCall
from app.llm.catalog import Catalog
from app.llm.circuit_breaker import Breaker, Breakers
from app.llm.retry_budget import RetryBudget
from app.llm.stream_consumer import StreamConsumer, StreamLimits
from app.llm.think_tags import Unopened
from app.llm.token_calibration import TokenCalibration

PAUSES = (0.25, 0.5, None)
"""The longest pause, in seconds, behind each attempt at one provider; there is none behind the last."""

PATIENCE_SECONDS = 2
"""A `Retry-After` up to this is waited for even where somebody else could be asked."""


class Completion(NamedTuple):
    """How a reply ended well."""

    finish_reason: FinishReason | None
    usage: Usage


class ModelInfo(NamedTuple):
    """A model that may be asked for."""

    provider: str
    model: str
    context_window: int
    """Tokens of prompt and reply together."""
    default: bool
    """Whether it answers when nobody is named."""
    available: bool
    """Whether it is there, and has not just failed again and again."""


class Router:
    """Gets a reply from the first provider that begins one.

    Until a text or a thought has come, a provider that fails by no fault of the request is asked again after a pause
    of random length (Brooker, "Exponential Backoff and Jitter"), then the next one is. After that nobody is: what was
    begun is paid for, and has been read.
    """

    def __init__(
        self,
        catalog: Catalog,
        fallbacks: Sequence[Target] = (),
        limits: StreamLimits | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.catalog = catalog
        self.limits = limits or StreamLimits()
        self.sizes = TokenCalibration()
        self._fallbacks = fallbacks
        self._chance = chance
        self._now = asyncio.get_running_loop().time
        self.breakers = Breakers(self._now)
        self._budget = RetryBudget(self._now)
        self._unopened = Unopened()

    def window(self, target: Target, max_tokens: int | None) -> Window:
        """How much a model is believed to take.

        Raises:
            UnknownModel: the provider is not there.
        """
        return self.sizes.window(self.catalog[target.provider], target, max_tokens)

    @property
    def fallbacks(self) -> list[Target]:
        """The targets after a failure, in order; where no model is named it is the provider's default."""
        return [Target(name, model or self.catalog[name].default_model) for name, model in self._fallbacks]

    def offers(self) -> list[ModelInfo]:
        """What may be asked for by name, and whether it is well."""
        default = Target(self.catalog.default.name, self.catalog.default.default_model)
        return [
            ModelInfo(
                *target,
                context_window=self.catalog[target.provider].context_window(target.model),
                default=target == default,
                available=self.catalog[target.provider].present and not self.breakers.open(target),
            )
            for target in dict.fromkeys([*self.catalog.targets(), *self.fallbacks])
        ]

    async def answer(self, call: ModelCall) -> Completion:
        """Has a reply written; gives why it ended, and its tokens.

        Whatever happens, `call` tells what was done and what was sent.

        Raises:
            MessageTooLong: no model takes so much.
            UnknownModel: the provider is not there, or says that its model is not.
            TurnFailed: why the last one that was asked failed.
        """
        failure: AppError = ProviderUnavailable()
        chain = self._chain(call.target)
        for place, target in enumerate(chain):
            others = any(not self.breakers.open(each) for each in chain[place + 1 :])
            made = len(call.attempts)
            try:
                return await self._ask(target, call, fallback=others)
            except (TurnFailed, MessageTooLong) as error:
                if place == 0:
                    failure = self._told(error, target)
                elif len(call.attempts) > made and is_transient(error):
                    failure = error  # who was not even asked, or is set up wrong, says less than who failed before
                if call.started or self._now() >= call.deadline or not (place or may_be_answered_elsewhere(error)):
                    raise
        raise failure

    def _told(self, error: AppError, target: Target) -> AppError:
        """An error as its caller is told it, who has named the target."""
        if isinstance(error, ModelNotFound):
            known = [offer.model for offer in self.offers() if offer.provider == target.provider]
            error.detail = f"{target.provider} has no model {target.model!r}; choose {' or '.join(known)}."
        return error

    def _chain(self, first: Target) -> list[Target]:
        return list(dict.fromkeys([first, *self.fallbacks]))

    async def _ask(self, target: Target, call: ModelCall, *, fallback: bool) -> Completion:
        """Asks one provider, at most three times."""
        model = self.catalog[target.provider]
        self._budget.count_call()
        for pause in PAUSES:
            try:
                return await self._fitted(model, target, call)
            except TurnFailed as error:
                seconds = self._seconds(error, pause, call, fallback=fallback)
                if seconds is None or self.breakers.open(target) or not self._budget.take():
                    raise
            await asyncio.sleep(seconds)
        raise AssertionError("the last pause is None")

    def _seconds(self, error: TurnFailed, pause: float | None, call: ModelCall, *, fallback: bool) -> float | None:
        """How long to wait before the same provider is asked again; None for not at all."""
        if pause is None or call.started or not error.transient:
            return None
        if fallback and (error.elsewhere or (isinstance(error, ProviderTimeout) and error.phase == "first-token")):
            return None  # that was long enough
        seconds = pause * self._chance()
        if error.provider_retry_after is not None:
            if fallback and error.provider_retry_after > PATIENCE_SECONDS:
                return None
            seconds += error.provider_retry_after
        return seconds if self._now() + seconds < call.deadline else None

    async def _fitted(self, model: ChatModel, target: Target, call: ModelCall) -> Completion:
        """One attempt; where the provider finds the prompt too long, a second with half of the history."""
        window = self.sizes.window(model, target, call.max_tokens)
        prompt = call.build_prompt(window)
        try:
            return await self._attempt(model, target, call, prompt)
        except ContextTooLong as error:
            if error.limit is not None:
                self.sizes.refused(target, replace(window, tokens=error.limit))
            smaller = window.halved(prompt)
            if smaller is None or call.started:
                raise
        ending = await self._attempt(model, target, call, call.build_prompt(smaller))
        self.sizes.refused(target, smaller)
        return ending

    async def _attempt(self, model: ChatModel, target: Target, call: ModelCall, prompt: Prompt) -> Completion:
        breaker = self.breakers[target]
        breaker.enter()
        call.target_used, call.prompt = target, prompt
        listener = StreamConsumer(call, self.limits, hold=target in self._unopened)
        entry = AttemptRecorder(target, prompt, listener, model.remote, self._now(), now_ms())
        outcome, error = CANCELLED, None
        try:
            request = ChatRequest(target.model, prompt.messages, call.temperature, call.max_tokens)
            await listener.listen(model, request)
            outcome = COMPLETED
        except Exception as failed:
            error = failed if isinstance(failed, AppError) else InternalError()
            outcome = error.code
            raise
        finally:
            call.attempts.append(entry.attempt(self._now(), outcome, error))
            update_breaker(breaker, listener, outcome, error)
            if listener.unopened:
                self._unopened.learn(target)
        if listener.usage is not None:
            self.sizes.learn(target, prompt, listener.usage.input_tokens)
        return Completion(listener.finish_reason, entry.usage())


def is_transient(error: AppError) -> bool:
    """Whether somebody else may do better: another provider, or one with a larger window."""
    return isinstance(error, MessageTooLong) or (isinstance(error, TurnFailed) and error.transient)


def may_be_answered_elsewhere(error: AppError) -> bool:
    """Return whether the fallbacks are tried: also where this provider refuses what others may accept (no funds)."""
    return is_transient(error) or (isinstance(error, TurnFailed) and error.elsewhere)


def update_breaker(breaker: Breaker, listener: StreamConsumer, outcome: str, error: AppError | None) -> None:
    """Tells a breaker what an attempt says about its provider."""
    if isinstance(error, TurnFailed) and error.transient:
        breaker.failure()
    elif outcome == COMPLETED or listener.first_at is not None:
        breaker.success()
    else:
        breaker.leave()
