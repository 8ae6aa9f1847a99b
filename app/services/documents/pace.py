from __future__ import annotations

import math
import time
from collections.abc import Callable


class Pace:
    """The time that is left for the chunks of a document, estimated from the speed so far."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin now.

        Args:
            total: Number of chunks.
            clock: Returns the time in seconds.
        """
        self._total = total
        self._clock = clock
        self._began_at = clock()
        self._ends_at: float | None = None

    def measure(self, done: int) -> None:
        """Estimate the end, as so many chunks are done by now."""
        now = self._clock()
        self._ends_at = now + (now - self._began_at) / done * (self._total - done)

    @property
    def seconds_left(self) -> int | None:
        """Seconds to the end, at least 1; None before the first measurement."""
        return None if self._ends_at is None else max(1, math.ceil(self._ends_at - self._clock()))
