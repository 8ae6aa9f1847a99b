from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from app.db import turns
from app.db.database import Database
from app.domain.ids import now_ms
from app.services.replies.stream import ReplyStream
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings
from app.services.turns.capacity import Capacity, CapacityReservation
from app.services.turns.client_wait import ClientWait


class TurnQueue:
    """The turns of this process that wait: for an earlier turn of their conversation, or for a slot.

    First in order, then a slot, then the start: looked for after each turn's end, and every half second since
    the turn in front may be another process's.
    """

    def __init__(self, database: Database, slots: Capacity, process_id: str, timings: Timings) -> None:
        self._database = database
        self._slots = slots
        self._process_id = process_id
        self._timings = timings
        self._waiting: dict[str, QueuedTurn] = {}
        self._nudged = asyncio.Event()
        self._delay = ClientWait(timings)

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, reply: ReplyStream, claim: CapacityReservation) -> bool:
        """Waits until the turn is in progress, with its slot taken; False when it was stopped before."""
        waiter = QueuedTurn(reply, claim)
        self._waiting[reply.message.message_id] = waiter
        self._nudged.set()
        try:
            return await waiter.started
        finally:
            del self._waiting[reply.message.message_id]

    def leave(self, message_id: str) -> None:
        """Lets a stopped turn wait no longer."""
        waiter = self._waiting.get(message_id)
        if waiter is not None and not waiter.started.done():
            waiter.started.set_result(False)

    def nudge(self) -> None:
        """Looks at once who may start."""
        if self._waiting:
            self._nudged.set()

    def poller(self) -> Poller:
        """Make the poller that starts the turns whose time has come."""
        return Poller("starting of turns", self.poll, self._timings.queue_poll, wakeup=self._nudged)

    async def poll(self) -> None:
        """Start the turns that are first in order and get a slot."""
        if not self._waiting:
            self._delay.end()
            return
        started: list[str] = []
        try:
            started = await self._database.write(turns.start, self._process_id, self._with_slot, now_ms())
            self._delay.end()
        except Exception as error:
            self._delay.note(error, [waiter.reply for waiter in self._waiting.values()])
            raise
        finally:
            for message_id, waiter in list(self._waiting.items()):
                if message_id in started:
                    waiter.start()
                else:
                    waiter.claim.give_slot_back()

    def _with_slot(self, message_ids: Sequence[str]) -> Iterable[str]:
        for message_id in message_ids:
            waiter = self._waiting.get(message_id)
            if waiter is not None and waiter.claim.take(str(waiter.reply.sampling.provider)):
                yield message_id


class QueuedTurn:
    """A turn in the line."""

    def __init__(self, reply: ReplyStream, claim: CapacityReservation) -> None:
        self.reply = reply
        self.claim = claim
        self.started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Lets the turn go on, in progress."""
        if not self.started.done():
            self.started.set_result(True)
