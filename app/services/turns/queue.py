from __future__ import annotations

import asyncio
from collections.abc import Mapping

from app.db import turns
from app.db.database import Database
from app.db.transaction import Transaction
from app.domain.ids import now_ms
from app.services.replies.turn_run import TurnRun
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings
from app.services.turns.capacity import Capacity, CapacityReservation
from app.services.turns.client_wait import ClientWait


class TurnQueue:
    """The queued turns of this process: each waits for the earlier turns of its conversation, then for a slot.

    The queue is polled after the end of each turn, and every half second since an earlier turn may run elsewhere.
    """

    def __init__(self, database: Database, capacity: Capacity, process_id: str, timings: Timings) -> None:
        self._database = database
        self._capacity = capacity
        self._process_id = process_id
        self._timings = timings
        self._queued: dict[str, QueuedTurn] = {}
        self._wakeup = asyncio.Event()
        self._client_wait = ClientWait(timings)

    def __len__(self) -> int:
        return len(self._queued)

    async def wait_for_start(self, run: TurnRun, reservation: CapacityReservation) -> bool:
        """Wait until the turn is in progress, with a slot; return False if it was removed before."""
        queued = QueuedTurn(run, reservation)
        self._queued[run.reply.message_id] = queued
        self._wakeup.set()
        try:
            return await queued.started
        finally:
            del self._queued[run.reply.message_id]

    def remove(self, message_id: str) -> None:
        """End the wait of a turn that was stopped."""
        queued = self._queued.get(message_id)
        if queued is not None:
            queued.finish(started=False)

    def wake(self) -> None:
        """Poll at once."""
        if self._queued:
            self._wakeup.set()

    def poller(self) -> Poller:
        return Poller("turn queue", self.poll, self._timings.queue_poll, wakeup=self._wakeup)

    async def poll(self) -> None:
        """Start the queued turns that are first in their conversation and get a slot."""
        if not self._queued:
            self._client_wait.note_success()
            return
        started: list[str] = []
        try:
            started = await self._database.write(start_eligible, self._process_id, self._queued, now_ms())
            self._client_wait.note_success()
        except Exception as error:
            self._client_wait.note_failure(error, [queued.run.stream for queued in self._queued.values()])
            raise
        finally:
            for message_id, queued in list(self._queued.items()):
                if message_id in started:
                    queued.finish(started=True)
                else:
                    queued.reservation.release_slot()


class QueuedTurn:
    """A turn in the queue."""

    def __init__(self, run: TurnRun, reservation: CapacityReservation) -> None:
        self.run = run
        self.reservation = reservation
        self.started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def finish(self, *, started: bool) -> None:
        """End the wait, unless it has ended."""
        if not self.started.done():
            self.started.set_result(started)


def start_eligible(process_id: str, queued: Mapping[str, QueuedTurn], now: int) -> Transaction[list[str]]:
    """Start those queued turns that are first in their conversation and get a slot; return their ids.

    A turn that was started before is started again: the acknowledgement of the first time may have been lost.
    """
    started: list[str] = []
    for message_id in (yield from turns.first_in_conversation(process_id)):
        turn = queued.get(message_id)
        if turn is None or not turn.reservation.acquire_slot(turn.run.resolved.provider):
            continue
        if (yield from turns.start(process_id, message_id, now)):
            started.append(message_id)
    return started
