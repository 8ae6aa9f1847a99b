from __future__ import annotations


class Backoff:
    """Pauses between failed tries: each twice as long as the one before, up to a bound; in seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def pause(self) -> float:
        """Return the pause after one more failure."""
        seconds = min(self._next, self._longest)
        self._next = 2 * seconds
        return seconds

    def reset(self) -> None:
        """Start with the shortest pause again, after a success."""
        self._next = self._first
