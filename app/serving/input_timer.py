from __future__ import annotations

import asyncio
from collections.abc import Callable


class InputTimer:
    """A time limit for the next bytes of a client.

    Bytes restart it without a new timer, since a body arrives in thousands of pieces. Time in which the service does
    not read (`paused`) does not count.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, paused: Callable[[], bool], expired: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._paused = paused
        self._expired = expired
        self._seconds = 0.0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Start the limit, in place of a running one."""
        self.stop()
        self._seconds = seconds
        self.restart()
        self._timer = self._loop.call_later(seconds, self._check)

    def restart(self) -> None:
        """Count the seconds from now."""
        self._since = self._loop.time()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        if self._paused():
            self.restart()
        left = self._since + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        else:
            self._timer = None
            self._expired()
