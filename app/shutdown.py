from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import signal
import threading
import time
from types import FrameType
from typing import Self

from app.services.runtime.task_owner import TaskOwner
from app.services.turns.executor import TurnExecutor

SAME_SIGNAL_SECONDS = 2.0
"""Seconds in which a repeated signal counts as the same: a worker in a signalled group gets it from its parent too."""

log = logging.getLogger(__name__)


class Shutdown:
    """Drains with SIGTERM or SIGINT, and has the server end when that is done: until then it answers.

    A second signal ends the drain at once, and all that would be waited for behind it. Used as a context manager
    around the time in which signals are handled this way; outside of the main thread they are left alone.
    """

    def __init__(self, executor: TurnExecutor, tasks: TaskOwner, seconds: float) -> None:
        self._executor = executor
        self._tasks = tasks
        self._seconds = seconds
        self._deadline = math.inf
        self._asked_at: float | None = None
        self._loop = asyncio.get_running_loop()
        self._own = TaskOwner()
        # A signal that nobody handles is left to end the process.
        self._before = {
            each: handler for each in (signal.SIGTERM, signal.SIGINT) if callable(handler := signal.getsignal(each))
        }

    @property
    def seconds_left(self) -> float:
        """Seconds that may still be waited for anything."""
        return min(self._seconds, max(0.0, self._deadline - time.monotonic()))

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for each in self._before:
                signal.signal(each, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            for each, handler in self._before.items():
                signal.signal(each, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at, self._deadline = now, now + self._seconds
            self._loop.call_soon_threadsafe(lambda: self._own.spawn(self._drain(signal.Signals(number), frame)))
        elif now >= self._asked_at + (SAME_SIGNAL_SECONDS if multiprocessing.parent_process() else 0):
            self._deadline = now
            self._loop.call_soon_threadsafe(self._hurry)

    async def _drain(self, number: signal.Signals, frame: FrameType | None) -> None:
        at_work = sum(run.started for run in self._executor.runs.values())
        if at_work or len(self._tasks):
            log.info(
                "waiting for what is at work (turns: %d, erasures and removals: %d) for %g seconds at most; "
                "a second Ctrl+C or SIGTERM ends it now",
                *(at_work, len(self._tasks), self._seconds),
            )
        try:
            await self._executor.drain(self._seconds)
        finally:
            self._before[number](number, frame)

    def _hurry(self) -> None:
        log.warning("ending now: turns at work are kept as interrupted")
        self._own.spawn(self._executor.drain(0))
        self._own.spawn(self._tasks.drain(0))
