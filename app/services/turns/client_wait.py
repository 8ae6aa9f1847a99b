from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from app.errors import DatabaseUnavailable
from app.services.replies.stream import ReplyStream
from app.services.runtime.backoff import Backoff
from app.services.runtime.timings import Timings

T = TypeVar("T")


class ClientWait:
    """The time since the first of the failures of some work on replies, which clients wait through."""

    def __init__(self, timings: Timings, now: Callable[[], float] = time.monotonic) -> None:
        self._timings = timings
        self._now = now
        self._since: float | None = None

    def note_failure(self, error: Exception, streams: Iterable[ReplyStream]) -> None:
        """Start the wait, with a first failure; after `Timings.client_wait`, give up waiting for the end of replies."""
        if self._since is None:
            self._since = self._now()
        if self._now() >= self._since + self._timings.client_wait:
            for stream in streams:
                stream.give_up_waiting(error)

    def note_success(self) -> None:
        """End the wait, after a success."""
        self._since = None


async def read_while_clients_wait(timings: Timings, read: Callable[[], Awaitable[T]]) -> T:
    """Retry a read while the database is unavailable, and return its result.

    Raises:
        DatabaseUnavailable: it was unavailable for longer than clients wait.
    """
    deadline = time.monotonic() + timings.client_wait
    backoff = Backoff(timings.first_backoff, timings.longest_backoff)
    while True:
        try:
            return await read()
        except DatabaseUnavailable:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(backoff.pause())
