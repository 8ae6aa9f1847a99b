"""Circuit breakers (Nygard, Release It!, chapter 5): a model that fails repeatedly is not called for a while."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from app.errors import ProviderUnavailable
from app.llm.base import Target

FAILURE_THRESHOLD = 5
WINDOW_SECONDS = 30.0
OPEN_SECONDS = 30.0
MAX_BREAKERS = 1_000


class CircuitBreaker:
    """Opens after five failures in 30 seconds without a success between; 30 seconds later it lets one probe through."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failed_at: deque[float] = deque(maxlen=FAILURE_THRESHOLD)
        self._opened_at: float | None = None
        self._probing = False

    @property
    def is_idle(self) -> bool:
        """True if it is closed without recent failures, and can be replaced by a new one."""
        return self._opened_at is None and not any(at > self._now() - WINDOW_SECONDS for at in self._failed_at)

    @property
    def is_open(self) -> bool:
        """True if a call would be refused now."""
        return self._opened_at is not None and (self._probing or self._seconds_left() > 0)

    def begin_call(self) -> None:
        """Begin a call; `record_success`, `record_failure` or `record_neither` has to follow.

        Raises:
            ProviderUnavailable: it is open; `retry_after` says when it lets the next probe through.
        """
        if self._opened_at is None:
            return
        if self.is_open:
            refusal = ProviderUnavailable()
            refusal.retry_after = max(1, math.ceil(self._seconds_left()))
            raise refusal
        self._probing = True

    def record_success(self) -> None:
        self._failed_at.clear()
        self._opened_at, self._probing = None, False

    def record_failure(self) -> None:
        """End a call that failed by no fault of the request."""
        now = self._now()
        self._failed_at.append(now)
        full = len(self._failed_at) == FAILURE_THRESHOLD and self._failed_at[0] > now - WINDOW_SECONDS
        if full or self._probing:
            self._opened_at, self._probing = now, False

    def record_neither(self) -> None:
        """End a call whose outcome shows nothing about the provider."""
        self._probing = False

    def _seconds_left(self) -> float:
        return 0.0 if self._opened_at is None else self._opened_at + OPEN_SECONDS - self._now()


class CircuitBreakers:
    """One breaker for each model that is called."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._breakers: dict[Target, CircuitBreaker] = {}

    def __getitem__(self, target: Target) -> CircuitBreaker:
        """Return the breaker of a target; idle ones are dropped beyond `MAX_BREAKERS`: callers may name any model."""
        if target not in self._breakers and len(self._breakers) >= MAX_BREAKERS:
            self._breakers = {each: breaker for each, breaker in self._breakers.items() if not breaker.is_idle}
        return self._breakers.setdefault(target, CircuitBreaker(self._now))

    def __len__(self) -> int:
        return len(self._breakers)

    def is_open(self, target: Target) -> bool:
        """Return whether a call of the target would be refused now."""
        return target in self._breakers and self._breakers[target].is_open
