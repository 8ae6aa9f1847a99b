"""Background loops of the process: pollers, and the supervisor that runs them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from app.errors import DatabaseUnavailable
from app.services.runtime.backoff import Backoff
from app.services.runtime.timings import Timings

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Poller:
    """A function that is called at intervals; one call is a round."""

    name: str
    poll: Callable[[], Awaitable[None]]
    """Does one round. Any error that it raises is logged, and the next round is tried."""
    interval: float
    """Seconds between the end of a round and the start of the next."""
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    """Starts the next round at once when it is set; cleared before each round. It does not shorten a backoff."""
    longest_backoff: float | None = None
    """The longest pause after failed rounds, in seconds; by default the interval, but at least twice the first pause
    and at most `Timings.longest_poller_backoff`."""
    bounded: bool = True
    """True if a round is aborted after `Timings.longest_round`; False for work that may take any time."""
    required: bool = True
    """True if the process cannot serve while the rounds fail."""

    def backoff(self, timings: Timings) -> Backoff:
        """Return the pauses after failed rounds."""
        first = timings.first_poller_backoff
        longest = self.longest_backoff or min(max(self.interval, 2 * first), timings.longest_poller_backoff)
        return Backoff(min(self.interval, first, longest), longest)


class Supervisor:
    """Runs pollers until it is stopped: a failed round is retried, an ended task restarted."""

    def __init__(self, timings: Timings, now: Callable[[], float] = time.monotonic) -> None:
        self._timings = timings
        self._now = now
        self._tasks: dict[Poller, asyncio.Task[None]] = {}
        self._unfinished_since: dict[Poller, float] = {}
        """Start of the first round since the last finished one; without pollers whose last round has finished."""
        self._outage_logged_at: float | None = None
        self._stopped = False

    def start(self, pollers: Sequence[Poller]) -> None:
        for poller in pollers:
            self._start(poller)

    async def stop(self) -> None:
        """Cancel all pollers, in the middle of a round too, and wait for their end."""
        self._stopped = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def unfinished(self) -> list[str]:
        """Return the names of pollers that have not finished their last round: it runs, or has failed."""
        return [poller.name for poller in self._unfinished_since]

    def not_running(self) -> list[str]:
        """Return the names of pollers that do not work now.

        Those are the ones whose task has ended, and the required ones that have finished no round for
        `Timings.longest_round`: they hang, or each round fails.
        """
        latest_start = self._now() - self._timings.longest_round
        return [
            poller.name
            for poller, task in self._tasks.items()
            if task.done() or (poller.required and self._unfinished_since.get(poller, latest_start) < latest_start)
        ]

    def _start(self, poller: Poller) -> None:
        if self._stopped:
            return
        task = asyncio.create_task(self._run(poller), name=poller.name)
        task.add_done_callback(functools.partial(self._restart, poller))
        self._tasks[poller] = task

    def _restart(self, poller: Poller, task: asyncio.Task[None]) -> None:
        # Only a stop may end a task: otherwise it was cancelled by mistake, or there is a bug in this class.
        if self._stopped:
            return
        error = None if task.cancelled() else task.exception()
        log.error("the poller %r has ended, and is started again", poller.name, exc_info=error)
        asyncio.get_running_loop().call_later(self._timings.poller_restart, self._start, poller)

    async def _run(self, poller: Poller) -> None:
        backoff = poller.backoff(self._timings)
        while not self._stopped:
            poller.wakeup.clear()
            if await self._run_round(poller):
                backoff.reset()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(poller.interval):  # wait_for loses a stop that meets the wakeup
                        await poller.wakeup.wait()
            else:
                await asyncio.sleep(backoff.pause())

    async def _run_round(self, poller: Poller) -> bool:
        """Run one round, and return whether it finished without an error."""
        self._unfinished_since.setdefault(poller, self._now())
        try:
            async with asyncio.timeout(self._timings.longest_round if poller.bounded else None):
                await poller.poll()
        except DatabaseUnavailable as error:
            self._log_outage(poller, error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            log.exception("a round of the poller %r was cancelled", poller.name)  # a task that it awaited was
        except Exception:  # whatever it is, the next round may succeed
            log.exception("a round of the poller %r failed", poller.name)
        else:
            del self._unfinished_since[poller]
            return True
        return False

    def _log_outage(self, poller: Poller, error: DatabaseUnavailable) -> None:
        now = self._now()
        if self._outage_logged_at is None or now >= self._outage_logged_at + self._timings.outage_log:
            self._outage_logged_at = now
            extra = {"poller": poller.name, "reason": error.reason}
            log.warning("the database is out of reach: background work is retried", extra=extra)
