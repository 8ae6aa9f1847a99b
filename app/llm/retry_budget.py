from __future__ import annotations

from collections import Counter
from collections.abc import Callable

WINDOW_SECONDS = 60
RETRY_RATIO = 0.1
MIN_RETRIES = 10
"""Retries in a window that are allowed however few calls there are."""


class RetryBudget:
    """Limits retries to a tenth of the last minute's calls, at least ten, so that they cannot become a storm.

    Google's Site Reliability Engineering advises it against overload, in chapter 21.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._calls: Counter[int] = Counter()
        self._retries: Counter[int] = Counter()

    def count_call(self) -> None:
        """Count a turn's first call of a provider."""
        self._calls[int(self._now())] += 1
        self._forget(self._calls)

    def take(self) -> bool:
        """Take one retry from the budget; False when it is used up."""
        for counter in (self._calls, self._retries):
            self._forget(counter)
        allowed = self._retries.total() < max(MIN_RETRIES, RETRY_RATIO * self._calls.total())
        self._retries[int(self._now())] += allowed
        return allowed

    def _forget(self, counter: Counter[int]) -> None:
        horizon = self._now() - WINDOW_SECONDS
        while counter and (oldest := next(iter(counter))) < horizon:
            del counter[oldest]
