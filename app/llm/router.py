"""Retries, circuit breakers and fallbacks around model calls: the only place where calls are retried."""

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
from app.llm.circuit_breaker import CircuitBreaker, CircuitBreakers
from app.llm.retry_budget import RetryBudget
from app.llm.stream_consumer import StreamConsumer, StreamLimits
from app.llm.think_tags import UnopenedReasoning
from app.llm.token_calibration import TokenCalibration

MAX_DELAYS = (0.25, 0.5, None)
"""Longest delay after each attempt at one model, in seconds; None after the last attempt."""

MAX_REQUESTED_DELAY = 2
"""Seconds up to which a provider's `Retry-After` is waited for even where a fallback could be called."""


class Completion(NamedTuple):
    """The end of a successful reply."""

    finish_reason: FinishReason | None
    usage: Usage


class ModelInfo(NamedTuple):
    """A model that clients may name."""

    provider: str
    model: str
    context_window: int
    """Tokens of prompt and reply together."""
    default: bool
    """True for the model of requests that name none."""
    available: bool
    """False if its provider is not installed, or its circuit breaker is open."""


class Router:
    """Calls models for replies, with retries, circuit breakers and fallbacks.

    Until text or reasoning has come, a failure that is no fault of the request is retried after a delay of random
    length (Brooker, "Exponential Backoff and Jitter"), then the next fallback is called. After that the failure is
    final: a reply that has begun is paid for, and may have been read.
    """

    def __init__(
        self,
        catalog: Catalog,
        fallbacks: Sequence[Target] = (),
        limits: StreamLimits | None = None,
        random_fraction: Callable[[], float] = random.random,
    ) -> None:
        self.catalog = catalog
        self.limits = limits or StreamLimits()
        self._fallbacks = fallbacks
        self._random_fraction = random_fraction
        self._now = asyncio.get_running_loop().time
        self._unopened_reasoning = UnopenedReasoning()
        self.reset()

    def reset(self) -> None:
        """Forget failures, retries and calibrations; tests begin with it."""
        self._breakers = CircuitBreakers(self._now)
        self._retry_budget = RetryBudget(self._now)
        self._calibration = TokenCalibration()

    def window(self, target: Target, max_tokens: int | None) -> Window:
        """Return the window for a prompt to a model; `max_tokens` of it are the reply's.

        Raises:
            UnknownModel: the provider is not configured.
        """
        return self._calibration.window(self.catalog[target.provider], target, max_tokens)

    @property
    def fallbacks(self) -> list[Target]:
        """The fallbacks in order; one without a model has the provider's default model."""
        return [Target(name, model or self.catalog[name].default_model) for name, model in self._fallbacks]

    def models(self) -> list[ModelInfo]:
        """List the models that are known by name, fallbacks included."""
        default = Target(self.catalog.default.name, self.catalog.default.default_model)
        return [
            ModelInfo(
                *target,
                context_window=self.catalog[target.provider].context_window(target.model),
                default=target == default,
                available=self.catalog[target.provider].present and not self._breakers.is_open(target),
            )
            for target in dict.fromkeys([*self.catalog.targets(), *self.fallbacks])
        ]

    async def complete(self, call: ModelCall) -> Completion:
        """Generate a reply into the call's sink; the call records the attempts, even when it fails.

        Raises:
            MessageTooLong: the prompt fits no model.
            UnknownModel: the provider is not configured, or has no such model.
            TurnFailed: the failure of the first model, or of a fallback that failed later with a transient error.
        """
        failure: AppError = ProviderUnavailable()
        chain = list(dict.fromkeys([call.target, *self.fallbacks]))
        for index, target in enumerate(chain):
            has_fallback = any(not self._breakers.is_open(each) for each in chain[index + 1 :])
            attempts_before = len(call.attempts)
            try:
                if call.substitute is not None and not self.catalog[target.provider].cites:
                    await call.substitute()
                    return Completion(FinishReason.STOP, Usage(0, 0))
                return await self._call_with_retries(target, call, has_fallback=has_fallback)
            except (TurnFailed, MessageTooLong) as error:
                if index == 0:
                    failure = self._with_known_models(error, target)
                elif len(call.attempts) > attempts_before and is_transient(error):
                    failure = error  # a fallback that was not called, or is misconfigured, explains less
                if call.started or self._now() >= call.limits.deadline or not (index or allows_fallback(error)):
                    raise
        raise failure

    def _with_known_models(self, error: AppError, target: Target) -> AppError:
        """Add the known models to a ModelNotFound error, for the client that named the target."""
        if isinstance(error, ModelNotFound):
            known = [info.model for info in self.models() if info.provider == target.provider]
            error.detail = f"{target.provider} has no model {target.model!r}; choose {' or '.join(known)}."
        return error

    async def _call_with_retries(self, target: Target, call: ModelCall, *, has_fallback: bool) -> Completion:
        """Call one model, with as many attempts as `MAX_DELAYS` has entries."""
        model = self.catalog[target.provider]
        self._retry_budget.count_call()
        for max_delay in MAX_DELAYS:
            try:
                return await self._attempt_with_fit(model, target, call)
            except TurnFailed as error:
                delay = self._retry_delay(error, max_delay, call, has_fallback=has_fallback)
                if delay is None or self._breakers.is_open(target) or not self._retry_budget.take():
                    raise
            await asyncio.sleep(delay)
        raise AssertionError("the last delay is None")

    def _retry_delay(
        self, error: TurnFailed, max_delay: float | None, call: ModelCall, *, has_fallback: bool
    ) -> float | None:
        """Return the seconds before the same model is called again; None for no retry."""
        if max_delay is None or call.started or not error.transient:
            return None
        timed_out = isinstance(error, ProviderTimeout) and error.phase == "first-token"
        if has_fallback and (error.fallback_at_once or timed_out):
            return None
        delay = max_delay * self._random_fraction()
        if error.provider_retry_after is not None:
            if has_fallback and error.provider_retry_after > MAX_REQUESTED_DELAY:
                return None
            delay += error.provider_retry_after
        return delay if self._now() + delay < call.limits.deadline else None

    async def _attempt_with_fit(self, model: ChatModel, target: Target, call: ModelCall) -> Completion:
        """Make an attempt; where the provider refuses the prompt as too long, another with half of the history."""
        window = self._calibration.window(model, target, call.max_tokens)
        prompt = call.build_prompt(window)
        try:
            return await self._attempt(model, target, call, prompt)
        except ContextTooLong as error:
            if error.limit is not None:
                self._calibration.lower_limit(target, replace(window, tokens=error.limit))
            smaller = window.halved(prompt)
            if smaller is None or call.started:
                raise
        completion = await self._attempt(model, target, call, call.build_prompt(smaller))
        self._calibration.lower_limit(target, smaller)
        return completion

    async def _attempt(self, model: ChatModel, target: Target, call: ModelCall, prompt: Prompt) -> Completion:
        """Send one request to a model, and record it in the call, the breaker and the calibration."""
        breaker = self._breakers[target]
        breaker.begin_call()
        call.target_used, call.prompt = target, prompt
        consumer = StreamConsumer(call, self.limits, hold=target in self._unopened_reasoning)
        recorder = AttemptRecorder(target, prompt, consumer, model.remote, self._now(), now_ms())
        outcome, error = CANCELLED, None
        try:
            request = ChatRequest(target.model, prompt.messages, call.temperature, call.max_tokens)
            await consumer.consume(model, request)
            outcome = COMPLETED
        except Exception as failed:
            error = failed if isinstance(failed, AppError) else InternalError()
            outcome = error.code
            raise
        finally:
            call.attempts.append(recorder.record(self._now(), outcome, error))
            update_breaker(breaker, consumer, outcome, error)
            if consumer.closed_unopened_reasoning:
                self._unopened_reasoning.add(target)
        if consumer.usage is not None:
            self._calibration.observe(target, prompt, consumer.usage.input_tokens)
        return Completion(consumer.finish_reason, recorder.usage())


def is_transient(error: AppError) -> bool:
    """Return whether the same request may succeed later, or at another model with a larger window."""
    return isinstance(error, MessageTooLong) or (isinstance(error, TurnFailed) and error.transient)


def allows_fallback(error: AppError) -> bool:
    """Return whether fallbacks are tried: also where only this provider refuses, as without funds."""
    return is_transient(error) or (isinstance(error, TurnFailed) and error.fallback_at_once)


def update_breaker(breaker: CircuitBreaker, consumer: StreamConsumer, outcome: str, error: AppError | None) -> None:
    """Record an attempt in its breaker."""
    if isinstance(error, TurnFailed) and error.transient:
        breaker.record_failure()
    elif outcome == COMPLETED or consumer.first_at is not None:
        breaker.record_success()
    else:
        breaker.record_neither()
