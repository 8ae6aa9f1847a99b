from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.serving.input_timer import InputTimer


class Clock:
    """An event loop's clock that moves when it is told to, and its timers."""

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
        """Lets time pass, and calls what is due."""
        self.now += seconds
        due = [each for each in self.timers if each[0] <= self.now]
        self.timers = [each for each in self.timers if each[0] > self.now]
        for _, call, handle in due:
            if not handle.over:
                call()


class Handle:
    """What `call_later` gives."""

    over = False

    def cancel(self) -> None:
        self.over = True


def timer_of(clock: Clock, *, paused: Callable[[], bool] = lambda: False) -> tuple[InputTimer, list[float]]:
    """A timer by such a clock, and the moments at which it has expired."""
    loop: Any = clock
    expired: list[float] = []
    return InputTimer(loop, paused, lambda: expired.append(clock.now)), expired


def test_silence_expires() -> None:
    """Where nothing comes the wait ends after its seconds, once."""
    clock = Clock()
    timer, expired = timer_of(clock)
    timer.start(10)
    for _ in range(40):
        clock.move(1)
    assert expired == [10]


def test_bytes_restart_the_wait() -> None:
    """Each byte gives the client its seconds again; it needs no timer of its own."""
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


def test_what_the_service_does_not_read_is_not_counted() -> None:
    """While the service itself reads nothing a client cannot be too slow."""
    clock, paused = Clock(), [True]
    timer, expired = timer_of(clock, paused=lambda: paused[0])
    timer.start(10)
    for _ in range(5):
        clock.move(10)
    assert expired == []
    paused[0] = False
    clock.move(10)
    assert expired == [60]


def test_a_wait_that_ended_does_not_expire() -> None:
    """What has been stopped, or followed by another wait, is over."""
    clock = Clock()
    timer, expired = timer_of(clock)
    timer.start(10)
    timer.start(20)
    clock.move(15)
    assert expired == []
    timer.stop()
    clock.move(15)
    assert expired == []
