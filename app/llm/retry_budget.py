from __future__ import annotations

from collections import Counter
from collections.abc import Callable

MINUTE = 60
SHARE = 0.1
ALWAYS_A_MINUTE = 10


class RetryBudget:
    """Keeps retries from becoming a storm: a tenth of the calls of the last minute, though never under ten.

    As Google's SRE book advises against overload, chapter 21.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._calls: Counter[int] = Counter()
        self._retries: Counter[int] = Counter()

    def count_call(self) -> None:
        """Says that a provider is asked for the first time by a turn."""
        self._calls[int(self._now())] += 1
        self._forget(self._calls)

    def take(self) -> bool:
        """Whether one more retry may be made; it is counted then."""
        for counter in (self._calls, self._retries):
            self._forget(counter)
        allowed = self._retries.total() < max(ALWAYS_A_MINUTE, SHARE * self._calls.total())
        self._retries[int(self._now())] += allowed
        return allowed

    def _forget(self, counter: Counter[int]) -> None:
        horizon = self._now() - MINUTE
        while counter and (oldest := next(iter(counter))) < horizon:
            del counter[oldest]
