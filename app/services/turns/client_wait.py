from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from app.errors import DatabaseUnavailable
from app.services.replies.stream import ReplyStream
from app.services.runtime.backoff import Backoff

T = TypeVar("T")

CLIENT_WAIT_SECONDS = 30.0
"""Seconds for which clients wait for what cannot be read or written; many give up after a minute."""


class ClientWait:
    """The time for which some work on replies has failed without a success."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since: float | None = None

    def note(self, error: Exception, streams: Iterable[ReplyStream]) -> None:
        """Note a failure; after 30 seconds of failures, give up waiting for the end of these replies."""
        if self._since is None:
            self._since = self._now()
        if self._now() >= self._since + CLIENT_WAIT_SECONDS:
            for stream in streams:
                stream.give_up_waiting(error)

    def end(self) -> None:
        """Note a success."""
        self._since = None


async def while_clients_wait(read: Callable[[], Awaitable[T]]) -> T:
    """Retry a read while the database is unavailable, and return its result.

    Raises:
        DatabaseUnavailable: it was unavailable for longer than clients wait.
    """
    deadline, backoff = time.monotonic() + CLIENT_WAIT_SECONDS, Backoff()
    while True:
        try:
            return await read()
        except DatabaseUnavailable:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(backoff.pause())
