from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import Overloaded, RateLimited


@dataclass(frozen=True, slots=True)
class CapacityLimits:
    """Numbers of turns that a process takes."""

    at_work: int
    waiting: int
    waiting_of_user: int


class Capacity:
    """Counts the turns of this process: at work, in all and for each provider, and waiting, in all and of each user."""

    def __init__(self, limit_of: Callable[[str], int | None], bounds: CapacityLimits) -> None:
        self._limit_of = limit_of
        self._bounds = bounds
        self._at_work: Counter[str] = Counter()
        self._waiting = 0
        self._waiting_of: Counter[str] = Counter()
        # Scripts ask from SQLite's thread while turns end in the event loop's.
        self._lock = threading.Lock()

    def claim(self) -> CapacityReservation:
        """Room for one more turn, which may yet be refused: that is known once its provider and its user are.

        Raises:
            Overloaded: there is none, whoever the user is.
        """
        with self._lock:
            if self._waiting >= self._bounds.waiting and self._at_work.total() >= self._bounds.at_work:
                raise Overloaded
        return CapacityReservation(self)

    def refusal(self, owner_id: str | None) -> RateLimited | Overloaded:
        """Explain why a turn of this user, None for a new one, is refused where there is no room."""
        with self._lock:
            return RateLimited() if self._has_share(owner_id) else Overloaded()

    def take(self, provider: str) -> bool:
        """Takes a slot, if there is one."""
        limit = self._limit_of(provider)
        with self._lock:
            full = self._at_work.total() >= self._bounds.at_work
            if full or (limit is not None and self._at_work[provider] >= limit):
                return False
            self._at_work[provider] += 1
            return True

    def give_back(self, provider: str) -> None:
        """Frees a slot that was taken."""
        with self._lock:
            self._at_work[provider] -= 1

    def queue(self, owner_id: str, *, adopted: bool, freed: int = 0) -> None:
        """Takes a place among those that wait, of which `freed` are this user's and about to be left.

        Raises:
            RateLimited: the user has as many as one may have; an adopted turn was accepted already, and is taken.
            Overloaded: there is none left.
        """
        with self._lock:
            if not adopted and self._has_share(owner_id, freed):
                raise RateLimited
            if self._waiting - freed >= self._bounds.waiting:
                raise Overloaded
            self._waiting += 1
            self._waiting_of[owner_id] += 1

    def leave(self, owner_id: str) -> None:
        """Frees a place among those that wait."""
        with self._lock:
            self._waiting -= 1
            self._waiting_of[owner_id] -= 1
            if not self._waiting_of[owner_id]:
                del self._waiting_of[owner_id]

    def _has_share(self, owner_id: str | None, freed: int = 0) -> bool:
        return owner_id is not None and self._waiting_of[owner_id] - freed >= self._bounds.waiting_of_user


class CapacityReservation:
    """At most one slot and one place in the line, taken inside a transaction that may be run twice or rolled back."""

    def __init__(self, slots: Capacity) -> None:
        self._slots = slots
        self._waits_for: str | None = None
        """The user in whose name it has a place in the line."""
        self._provider: str | None = None

    def place(self, provider: str, owner_id: str, first: bool, freed: int) -> bool:
        """Whether the turn may start at once, being first in its conversation; else it has a place to wait at.

        Args:
            provider: Whose slot it needs.
            owner_id: Its user's row.
            first: Whether no other turn is in its way.
            freed: How many of its user's turns that wait here are stopped for it.

        Raises:
            RateLimited: it would have to wait, and its user has enough turns that do.
            Overloaded: it would have to wait, and there are enough who do.
        """
        if first and self.take(provider):
            self._leave()
            return True
        self.wait(owner_id, freed=freed)
        self.give_slot_back()
        return False

    def wait(self, owner_id: str, *, adopted: bool = False, freed: int = 0) -> None:
        """Takes a place in the line; raises what `Slots.queue` does."""
        if self._waits_for != owner_id:  # a user that is new may have another row when the transaction is run again
            self._leave()
            self._slots.queue(owner_id, adopted=adopted, freed=freed)
            self._waits_for = owner_id

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

    def _leave(self) -> None:
        if self._waits_for is not None:
            self._slots.leave(self._waits_for)
            self._waits_for = None
