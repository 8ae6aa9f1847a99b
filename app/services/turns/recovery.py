from __future__ import annotations

import asyncio
import contextlib
import logging

from app.db import process_leases, turns
from app.db.database import LEASE_MS, Database
from app.domain.ids import now_ms
from app.domain.messages import Message, Status
from app.errors import DatabaseUnavailable, Draining, Overloaded
from app.services.runtime.polling import Poller
from app.services.runtime.process_lease import ProcessLease
from app.services.runtime.timings import Timings
from app.services.turns.executor import TurnExecutor

SWEEP_BATCH = 100
LANES = 4
"""Turns that are taken up at once."""

log = logging.getLogger(__name__)


class TurnRecovery:
    """Ends or adopts the turns of processes that lost their lease."""

    def __init__(self, database: Database, running: TurnExecutor, lease: ProcessLease, timings: Timings) -> None:
        self._database = database
        self._running = running
        self._lease = lease
        self._timings = timings

    def poller(self) -> Poller:
        """Make the poller that takes such turns up; a process may leave any number of them."""
        return Poller("recovery of turns", self.sweep, self._timings.recovery, bounded=False, required=False)

    async def sweep(self) -> None:
        """End or adopt all turns without a living process."""
        if not self._lease.may_judge or self._running.draining:
            return
        with contextlib.suppress(Draining, Overloaded):  # then others adopt what waits
            while await self._take_up() == SWEEP_BATCH:
                pass
        await self._database.write(process_leases.forget_dead_processes, self._lease.process_id, LEASE_MS)

    async def _take_up(self) -> int:
        """End or adopt some turns without a living process; return how many.

        One that cannot be, as its conversation is locked or its row cannot be read, keeps no other unfinished.
        """
        found = await self._database.read(turns.stalled_turns, self._lease.process_id, SWEEP_BATCH)
        lanes = asyncio.Semaphore(LANES)
        results = await asyncio.gather(*(self._take_up_in(lanes, reply) for reply in found), return_exceptions=True)
        for refusal in results:
            if isinstance(refusal, BaseException):
                raise refusal
        return results.count(True)

    async def _take_up_in(self, lanes: asyncio.Semaphore, reply: Message) -> bool:
        """End or adopt a turn when its time comes; return False for one whose row cannot be read."""
        async with lanes:
            try:
                await self._take_up_one(reply)
            except (DatabaseUnavailable, Draining, Overloaded):
                raise
            except Exception:
                log.exception("cannot take up a turn", extra={"message_id": reply.message_id})
                return False
        return True

    async def _take_up_one(self, reply: Message) -> None:
        if reply.status is Status.QUEUED:
            await self._running.adopt(reply)
            return
        what = self._lease.process_id, reply, now_ms()
        ids = {"conversation_id": reply.conversation_id, "message_id": reply.message_id}
        try:
            interrupted = await self._database.write(turns.mark_interrupted, *what)
        except DatabaseUnavailable:
            raise
        except Exception:  # a row of another release, perhaps
            log.exception("what a dead process did for a turn cannot be read", extra=ids)
            interrupted = await self._database.write(turns.interrupt_unrecorded, *what)
        if interrupted:
            log.warning("the turn of a process that died was ended", extra=ids)
