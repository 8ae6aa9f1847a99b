from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import Overloaded, RateLimited


@dataclass(frozen=True, slots=True)
class CapacityLimits:
    """Numbers of turns that a process accepts."""

    at_work: int
    waiting: int
    waiting_of_user: int


class Capacity:
    """Counts the turns of this process: at work, in all and per provider, and waiting, in all and per user."""

    def __init__(self, provider_limit: Callable[[str], int | None], limits: CapacityLimits) -> None:
        """Set the limits; `provider_limit` returns a provider's own number of slots, None for no limit."""
        self._provider_limit = provider_limit
        self._limits = limits
        self._at_work: Counter[str] = Counter()
        self._waiting = 0
        self._waiting_of: Counter[str] = Counter()
        # Transactions call from SQLite's thread while turns end in the event loop's.
        self._lock = threading.Lock()

    @property
    def is_idle(self) -> bool:
        """True if no turn has a slot or a place in the queue."""
        with self._lock:
            return not (self._at_work.total() or self._waiting or self._waiting_of)

    def reserve(self) -> CapacityReservation:
        """Return a reservation for one more turn; it may be refused later, when its provider and user are known.

        Raises:
            Overloaded: there is no room for any user.
        """
        with self._lock:
            if self._waiting >= self._limits.waiting and self._at_work.total() >= self._limits.at_work:
                raise Overloaded
        return CapacityReservation(self)

    def refusal(self, owner_id: str | None) -> RateLimited | Overloaded:
        """Return the error for a turn of this user (None: a new user) when there is no room."""
        with self._lock:
            return RateLimited() if self._share_is_used(owner_id) else Overloaded()

    def acquire_slot(self, provider: str) -> bool:
        """Take a slot of a provider; return False if there is none."""
        limit = self._provider_limit(provider)
        with self._lock:
            full = self._at_work.total() >= self._limits.at_work
            if full or (limit is not None and self._at_work[provider] >= limit):
                return False
            self._at_work[provider] += 1
            return True

    def release_slot(self, provider: str) -> None:
        with self._lock:
            self._at_work[provider] -= 1

    def enqueue(self, owner_id: str, *, adopted: bool, freed: int = 0) -> None:
        """Take a place in the queue, where `freed` places of the user are about to be released.

        Raises:
            RateLimited: the user has no place left; never for an adopted turn, which was accepted already.
            Overloaded: the process has no place left.
        """
        with self._lock:
            if not adopted and self._share_is_used(owner_id, freed):
                raise RateLimited
            if self._waiting - freed >= self._limits.waiting:
                raise Overloaded
            self._waiting += 1
            self._waiting_of[owner_id] += 1

    def dequeue(self, owner_id: str) -> None:
        """Release a place in the queue."""
        with self._lock:
            self._waiting -= 1
            self._waiting_of[owner_id] -= 1
            if not self._waiting_of[owner_id]:
                del self._waiting_of[owner_id]

    def _share_is_used(self, owner_id: str | None, freed: int = 0) -> bool:
        return owner_id is not None and self._waiting_of[owner_id] - freed >= self._limits.waiting_of_user


class CapacityReservation:
    """At most one slot and one place in the queue, taken in a transaction that may run twice or be rolled back.

    So each method may be called again: a second call changes nothing.
    """

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._queued_for: str | None = None
        """Id of the user's row for which it holds a place in the queue."""
        self._provider: str | None = None
        """The provider whose slot it holds."""

    def assign(self, provider: str, owner_id: str, *, first: bool, freed: int) -> bool:
        """Take a slot, or else a place in the queue; return whether the turn can start at once.

        Args:
            provider: The provider whose slot it needs.
            owner_id: The id of the user's row.
            first: False if another turn of the conversation has to end before.
            freed: The number of the user's queued turns here that are cancelled for it.

        Raises:
            RateLimited: it would have to wait, and its user has no place left.
            Overloaded: it would have to wait, and the process has no place left.
        """
        if first and self.acquire_slot(provider):
            self.dequeue()
            return True
        self.enqueue(owner_id, freed=freed)
        self.release_slot()
        return False

    def enqueue(self, owner_id: str, *, adopted: bool = False, freed: int = 0) -> None:
        """Take a place in the queue; raises what `Capacity.enqueue` does."""
        if self._queued_for != owner_id:  # a new user may have another row when the transaction runs again
            self.dequeue()
            self._capacity.enqueue(owner_id, adopted=adopted, freed=freed)
            self._queued_for = owner_id

    def dequeue(self) -> None:
        """Release the place in the queue, if any."""
        if self._queued_for is not None:
            self._capacity.dequeue(self._queued_for)
            self._queued_for = None

    def acquire_slot(self, provider: str) -> bool:
        """Take a slot; return whether the reservation has one now."""
        if self._provider is None and self._capacity.acquire_slot(provider):
            self._provider = provider
        return self._provider is not None

    def release_slot(self) -> None:
        """Release the slot, if any."""
        if self._provider is not None:
            self._capacity.release_slot(self._provider)
            self._provider = None

    def release(self) -> None:
        """Release the slot and the place in the queue."""
        self.release_slot()
        self.dequeue()
