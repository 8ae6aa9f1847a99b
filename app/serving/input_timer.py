from __future__ import annotations

import asyncio
from collections.abc import Callable


class InputTimer:
    """Bounds a wait for bytes of a client.

    Bytes that come restart the wait without another timer: a body arrives in thousands of pieces. While the service
    itself does not read (`paused`), nothing is counted.
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
        """Begin a wait, in place of the one before it."""
        self.stop()
        self._seconds = seconds
        self.restart()
        self._timer = self._loop.call_later(seconds, self._check)

    def restart(self) -> None:
        """Count the seconds from now on."""
        self._since = self._loop.time()

    def stop(self) -> None:
        """End the wait."""
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
