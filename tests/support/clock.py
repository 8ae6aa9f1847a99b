"""Clocks that do not depend on what else the machine does.

By the virtual one an hour's pause takes a moment, and takes exactly an hour; the fair one goes by real time, but stands
still while this process gets no processor.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import pytest

from app.db.sqlite import file
from app.db.sqlite.file import FileConnection

T = TypeVar("T")
EPOCH_IN_JULIAN_DAYS = 2440587.5
GRACE_SECONDS = 0.002
"""Time for the kernel to move bytes from one end of a connection to the other."""
TICK_SECONDS = 0.01


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while callbacks run, and then jumps to the next timer.

    Sockets of this process are real; no time passes while a thread works.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._threads = 0
        super().__init__(JumpingSelector(self))

    def time(self) -> float:
        """Seconds since the loop was created."""
        return self._seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """See asyncio."""
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: object) -> None:
        self._threads -= 1

    def jump(self, seconds: float) -> None:
        """Advance the time, unless a thread works."""
        if not self._threads:
            self._seconds += seconds


class JumpingSelector(selectors.DefaultSelector):
    """Waits for sockets, never for the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See selectors."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(min(timeout, GRACE_SECONDS))
        if not ready:
            self._loop.jump(timeout)
        return ready


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class WallClock:
    """The wall clock of Python, and of SQLite's functions on connections that are opened later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        """Seconds by which it is wrong."""
        self._real = time.time_ns
        monkeypatch.setattr(time, "time_ns", self.time_ns)
        clock = self

        class Connection(FileConnection):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.create_function("julianday", 1, lambda _: EPOCH_IN_JULIAN_DAYS + clock.time_ns() / (86_400 * 1e9))
                self.create_function("unixepoch", -1, lambda *_: clock.time_ns() // 1_000_000_000)

        monkeypatch.setattr(file, "FileConnection", Connection)

    def time_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return self._real() + int(self.seconds * 1e9)


class FairClock:
    """Counts seconds, except those in which other processes kept this one from running."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._counting = asyncio.create_task(self._count())

    def stop(self) -> None:
        self._counting.cancel()

    async def _count(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            self.seconds += min(now - before, 2 * TICK_SECONDS)
            before = now


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Limit the time of a block as `asyncio.timeout` does, on a fair clock."""
    clock, limit = FairClock(), asyncio.timeout(None)

    async def expire() -> None:
        while clock.seconds < seconds:  # noqa: ASYNC110  the clock sets no event
            await asyncio.sleep(TICK_SECONDS)
        limit.reschedule(asyncio.get_running_loop().time())

    async with limit:
        expiring = asyncio.create_task(expire())
        try:
            yield
        finally:
            expiring.cancel()
            clock.stop()
