"""Clocks that do not depend on what else the machine does.

By the virtual one an hour's pause takes a moment, and takes exactly an hour; the fair one goes by real time, but stands
still while this process gets no processor.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import pytest

from app.db.sqlite.database import SqliteDatabase

T = TypeVar("T")
EPOCH_IN_JULIAN_DAYS = 2440587.5
GRACE_SECONDS = 0.002
"""For what the kernel has yet to carry from one end of a connection to the other."""
TICK_SECONDS = 0.01


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while there is something to do, and then jumps to the next timer.

    Sockets of this process are real; a thread at work is waited for without letting time pass.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._threads = 0
        super().__init__(JumpingSelector(self))

    def time(self) -> float:
        """Seconds since the loop was made."""
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
        """Lets time pass, unless a thread is at work."""
        if not self._threads:
            self._seconds += seconds


class JumpingSelector(selectors.DefaultSelector):
    """Waits for sockets, though never for the clock."""

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
    """Runs a coroutine by a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


async def set_wall_clock(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Moves the wall clock by so many seconds for a database: Python's, and that of SQLite's functions."""
    real = time.time_ns

    def moved() -> int:
        return real() + int(seconds * 1e9)

    def move(connection: sqlite3.Connection, _: None) -> None:
        connection.create_function("julianday", 1, lambda _: EPOCH_IN_JULIAN_DAYS + moved() / (86_400 * 1e9))
        connection.create_function("unixepoch", -1, lambda *_: moved() // 1_000_000_000)

    for thread in (database._writer, database._reader):
        await thread.call(move, None)
    monkeypatch.setattr(time, "time_ns", moved)


class FairClock:
    """Seconds since it was made, without those in which other processes kept this one from running."""

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
    """As `asyncio.timeout`, by a fair clock."""
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
