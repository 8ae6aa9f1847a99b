from __future__ import annotations

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 5.0


class Backoff:
    """Pauses between tries that fail, each twice as long as the one before, up to a bound."""

    def __init__(self, first: float | None = None, longest: float | None = None) -> None:
        self._first = FIRST_SECONDS if first is None else first
        self._longest = LONGEST_SECONDS if longest is None else longest
        self._next = self._first

    def pause(self) -> float:
        """Seconds to wait after one more failure."""
        seconds = min(self._next, self._longest)
        self._next = 2 * seconds
        return seconds

    def reset(self) -> None:
        """Start with the shortest pause again, after a success."""
        self._next = self._first
