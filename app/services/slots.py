from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from app.errors import Overloaded


class Slots:
    """How many turns this process takes: at work, in all and for each provider, and waiting."""

    def __init__(self, limit_of: Callable[[str], int | None], at_work: int, waiting: int) -> None:
        self._limit_of = limit_of
        self._max_at_work = at_work
        self._max_waiting = waiting
        self._at_work: Counter[str] = Counter()
        self._waiting = 0
        self._undecided = 0
        # Scripts ask from SQLite's thread while turns end in the event loop's.
        self._lock = threading.Lock()

    def claim(self) -> Claim:
        """Room for one more turn, which may yet have to be given up: that is known once its provider is.

        Raises:
            Overloaded: there is none, and the database need not be asked.
        """
        with self._lock:
            would_wait = max(0, self._at_work.total() + self._undecided + 1 - self._max_at_work)
            if self._waiting + would_wait > self._max_waiting:
                raise Overloaded
            self._undecided += 1
        return Claim(self)

    def decided(self) -> None:
        """Says that a claim is one of a slot or a place in the line now, or none any more."""
        with self._lock:
            self._undecided -= 1

    def take(self, provider: str) -> bool:
        """Takes a slot, if there is one."""
        limit = self._limit_of(provider)
        with self._lock:
            full = self._at_work.total() >= self._max_at_work
            if full or (limit is not None and self._at_work[provider] >= limit):
                return False
            self._at_work[provider] += 1
            return True

    def give_back(self, provider: str) -> None:
        """Frees a slot that was taken."""
        with self._lock:
            self._at_work[provider] -= 1

    def queue(self) -> bool:
        """Takes a place among those that wait, if there is one."""
        with self._lock:
            if self._waiting >= self._max_waiting:
                return False
            self._waiting += 1
            return True

    def leave(self) -> None:
        """Frees a place among those that wait."""
        with self._lock:
            self._waiting -= 1


class Claim:
    """At most one slot and one place in the line, taken inside a transaction that may be run twice or rolled back."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._decided = False
        self._waits = False
        self._provider: str | None = None

    def place(self, provider: str, first: bool) -> bool:
        """Whether the turn may start at once, being first in its conversation; else it has a place to wait at.

        Raises:
            Overloaded: it would have to wait, and there are enough who do.
        """
        if first and self.take(provider):
            self._leave()
        elif not self._waits and not self._slots.queue():
            raise Overloaded
        else:
            self._waits = True
            self.give_slot_back()
        self._decide()
        return not self._waits

    def take(self, provider: str) -> bool:
        """Whether the claim has its slot now."""
        if self._provider is None and self._slots.take(provider):
            self._provider = provider
        return self._provider is not None

    def start(self) -> None:
        """Leaves the line: the turn is at work."""
        self._leave()

    def give_slot_back(self) -> None:
        """Frees the slot, if one was taken."""
        if self._provider is not None:
            self._slots.give_back(self._provider)
            self._provider = None

    def give_back(self) -> None:
        """Frees all that was taken."""
        self.give_slot_back()
        self._leave()
        self._decide()

    def _leave(self) -> None:
        if self._waits:
            self._slots.leave()
            self._waits = False

    def _decide(self) -> None:
        if not self._decided:
            self._decided = True
            self._slots.decided()
