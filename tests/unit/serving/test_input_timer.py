from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.serving.input_timer import InputTimer


class Clock:
    """An event loop with a clock that a test advances."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None], Handle]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        handle = Handle()
        self.timers.append((self.now + seconds, call, handle))
        return handle

    def move(self, seconds: float) -> None:
        """Advance the clock and call the timers that are due."""
        self.now += seconds
        due = [each for each in self.timers if each[0] <= self.now]
        self.timers = [each for each in self.timers if each[0] > self.now]
        for _, call, handle in due:
            if not handle.over:
                call()


class Handle:
    """A timer handle, as returned by `call_later`."""

    over = False

    def cancel(self) -> None:
        self.over = True


def timer_of(clock: Clock, *, paused: Callable[[], bool] = lambda: False) -> tuple[InputTimer, list[float]]:
    """Return a timer on this clock and the list of moments at which it expires."""
    loop: Any = clock
    expired: list[float] = []
    return InputTimer(loop, paused, lambda: expired.append(clock.now)), expired


def test_silence_expires() -> None:
    """Without input the wait expires after its seconds, once."""
    clock = Clock()
    timer, expired = timer_of(clock)
    timer.start(10)
    for _ in range(40):
        clock.move(1)
    assert expired == [10]


def test_bytes_restart_the_wait() -> None:
    """Each byte restarts the wait without another timer of the event loop."""
    clock = Clock()
    timer, expired = timer_of(clock)
    timer.start(10)
    for _ in range(5):
        clock.move(9)
        timer.restart()
        assert len(clock.timers) == 1
    assert expired == []
    clock.move(10)
    assert expired == [55]


def test_paused_reading_does_not_count() -> None:
    """Time in which the service itself does not read is not counted."""
    clock, paused = Clock(), [True]
    timer, expired = timer_of(clock, paused=lambda: paused[0])
    timer.start(10)
    for _ in range(5):
        clock.move(10)
    assert expired == []
    paused[0] = False
    clock.move(10)
    assert expired == [60]


def test_stopped_wait_does_not_expire() -> None:
    """A wait that was stopped or replaced does not expire."""
    clock = Clock()
    timer, expired = timer_of(clock)
    timer.start(10)
    timer.start(20)
    clock.move(15)
    assert expired == []
    timer.stop()
    clock.move(15)
    assert expired == []
