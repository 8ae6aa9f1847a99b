"""Circuit breakers (Nygard, Release It!, chapter 5): who fails again and again is left alone for a while."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from app.errors import ProviderUnavailable
from app.llm.base import Target

FAILURES = 5
WITHIN_SECONDS = 30.0
OPEN_SECONDS = 30.0
MANY = 1_000


class Breaker:
    """Opens after five failures in 30 seconds without a success between; 30 seconds later one call may probe."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failed_at: deque[float] = deque(maxlen=FAILURES)
        self._opened_at: float | None = None
        self._probing = False

    @property
    def well(self) -> bool:
        """Whether it has nothing to remember."""
        return self._opened_at is None and not any(at > self._now() - WITHIN_SECONDS for at in self._failed_at)

    @property
    def open(self) -> bool:
        """Whether a call would be refused now."""
        return self._opened_at is not None and (self._probing or self._seconds_left() > 0)

    def enter(self) -> None:
        """Says that a call begins; `success`, `failure` or `leave` has to follow.

        Raises:
            ProviderUnavailable: it is open; a retry may help when it lets the next probe through.
        """
        if self._opened_at is None:
            return
        if self.open:
            refusal = ProviderUnavailable()
            refusal.retry_after = max(1, math.ceil(self._seconds_left()))
            raise refusal
        self._probing = True

    def success(self) -> None:
        """The provider answers."""
        self._failed_at.clear()
        self._opened_at, self._probing = None, False

    def failure(self) -> None:
        """The provider failed, by no fault of the request."""
        now = self._now()
        self._failed_at.append(now)
        many = len(self._failed_at) == FAILURES and self._failed_at[0] > now - WITHIN_SECONDS
        if many or self._probing:
            self._opened_at, self._probing = now, False

    def leave(self) -> None:
        """The call says nothing about the provider."""
        self._probing = False

    def _seconds_left(self) -> float:
        return 0.0 if self._opened_at is None else self._opened_at + OPEN_SECONDS - self._now()


class Breakers:
    """A breaker for each provider and model that is asked."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._breakers: dict[Target, Breaker] = {}

    def __getitem__(self, target: Target) -> Breaker:
        """The breaker of a target; those of models that nobody fails at are forgotten, since callers may name any."""
        if target not in self._breakers and len(self._breakers) >= MANY:
            self._breakers = {each: breaker for each, breaker in self._breakers.items() if not breaker.well}
        return self._breakers.setdefault(target, Breaker(self._now))

    def open(self, target: Target) -> bool:
        """Whether a target is left alone now."""
        return target in self._breakers and self._breakers[target].open
