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
    """Graceful shutdown on SIGTERM or SIGINT: drain first, then stop the server, which responds until then.

    A second signal ends the drain and everything after it at once. The signal handlers are installed within the
    context manager, and only in the main thread.
    """

    def __init__(self, executor: TurnExecutor, tasks: TaskOwner, seconds: float) -> None:
        self._executor = executor
        self._tasks = tasks
        self._seconds = seconds
        self._deadline = math.inf
        self._signalled_at: float | None = None
        self._loop = asyncio.get_running_loop()
        self._drain_tasks = TaskOwner()
        # A signal without a handler keeps its default action, which ends the process.
        self._previous_handlers = {
            each: handler for each in (signal.SIGTERM, signal.SIGINT) if callable(handler := signal.getsignal(each))
        }

    @property
    def seconds_left(self) -> float:
        """Seconds left of the drain."""
        return min(self._seconds, max(0.0, self._deadline - time.monotonic()))

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for each in self._previous_handlers:
                signal.signal(each, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            for each, handler in self._previous_handlers.items():
                signal.signal(each, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at, self._deadline = now, now + self._seconds
            self._loop.call_soon_threadsafe(lambda: self._drain_tasks.spawn(self._drain(signal.Signals(number), frame)))
        elif now >= self._signalled_at + (SAME_SIGNAL_SECONDS if multiprocessing.parent_process() else 0):
            self._deadline = now
            self._loop.call_soon_threadsafe(self._drain_now)

    async def _drain(self, number: signal.Signals, frame: FrameType | None) -> None:
        unfinished = sum(run.started for run in self._executor.runs.values())
        if unfinished or len(self._tasks):
            log.info(
                "waiting for unfinished work (turns: %d, erasures and deletions: %d) for %g seconds at most; "
                "a second Ctrl+C or SIGTERM ends it now",
                *(unfinished, len(self._tasks), self._seconds),
            )
        try:
            await self._executor.drain(self._seconds)
        finally:
            self._previous_handlers[number](number, frame)

    def _drain_now(self) -> None:
        log.warning("ending now: running turns are kept as interrupted")
        self._drain_tasks.spawn(self._executor.drain(0))
        self._drain_tasks.spawn(self._tasks.drain(0))
