from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

MAX_AT_WORK = 1_024
MAX_WAITING = 1_024


class Slots:
    """How many turns may be at work in this process: in all, and for each provider."""

    def __init__(self, limit_of: Callable[[str], int | None], total: int = MAX_AT_WORK) -> None:
        self._limit_of = limit_of
        self._total = total
        self._taken: Counter[str] = Counter()
        # Scripts ask from SQLite's thread while turns end in the event loop's.
        self._lock = threading.Lock()

    def take(self, provider: str) -> bool:
        """Takes a slot, if there is one."""
        limit = self._limit_of(provider)
        with self._lock:
            full = self._taken.total() >= self._total
            if full or (limit is not None and self._taken[provider] >= limit):
                return False
            self._taken[provider] += 1
            return True

    def give_back(self, provider: str) -> None:
        """Frees a slot that was taken."""
        with self._lock:
            self._taken[provider] -= 1


class Claim:
    """At most one slot, taken inside a transaction that may be run twice or rolled back."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._provider: str | None = None

    def take(self, provider: str) -> bool:
        """Whether the claim has its slot now."""
        if self._provider is None and self._slots.take(provider):
            self._provider = provider
        return self._provider is not None

    def give_back(self) -> None:
        """Frees the slot, if one was taken."""
        if self._provider is not None:
            self._slots.give_back(self._provider)
            self._provider = None
