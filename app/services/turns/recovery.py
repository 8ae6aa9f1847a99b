from __future__ import annotations

import asyncio
import contextlib
import logging

from app.db import process_leases, turn_recovery
from app.db.database import Database
from app.db.process_leases import LEASE_MS
from app.domain.ids import now_ms
from app.domain.messages import Message, Status
from app.errors import DatabaseUnavailable, Draining, Overloaded
from app.services.runtime.polling import Poller
from app.services.runtime.process_lease import ProcessLease
from app.services.runtime.timings import Timings
from app.services.turns.executor import TurnExecutor

BATCH_TURNS = 100
PARALLEL_TURNS = 4

log = logging.getLogger(__name__)


class TurnRecovery:
    """Interrupts or adopts the unfinished turns of processes that lost their lease."""

    def __init__(self, database: Database, executor: TurnExecutor, lease: ProcessLease, timings: Timings) -> None:
        self._database = database
        self._executor = executor
        self._lease = lease
        self._timings = timings

    def poller(self) -> Poller:
        # A process may leave any number of turns.
        return Poller("turn recovery", self.recover, self._timings.recovery, bounded=False, required=False)

    async def recover(self) -> None:
        """Interrupt or adopt all stalled turns."""
        if not self._lease.may_recover or self._executor.draining:
            return
        with contextlib.suppress(Draining, Overloaded):  # then others adopt the queued turns
            while await self._recover_batch() == BATCH_TURNS:
                pass
        await self._database.write(process_leases.delete_expired, self._lease.process_id, LEASE_MS)

    async def _recover_batch(self) -> int:
        """Interrupt or adopt up to 100 stalled turns; return their number.

        A turn that cannot be recovered, as its conversation is locked or its row cannot be read, holds up no other.
        """
        stalled = await self._database.read(turn_recovery.stalled_turns, self._lease.process_id, BATCH_TURNS)
        parallel = asyncio.Semaphore(PARALLEL_TURNS)
        results = await asyncio.gather(
            *(self._try_recover(parallel, reply) for reply in stalled), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results.count(True)

    async def _try_recover(self, parallel: asyncio.Semaphore, reply: Message) -> bool:
        """Interrupt or adopt a turn; log other errors than refusals, and return False for them."""
        async with parallel:
            try:
                await self._recover_turn(reply)
            except (DatabaseUnavailable, Draining, Overloaded):
                raise
            except Exception:
                log.exception("cannot recover a turn", extra={"message_id": reply.message_id})
                return False
        return True

    async def _recover_turn(self, reply: Message) -> None:
        if reply.status is Status.QUEUED:
            await self._executor.adopt(reply)
            return
        args = self._lease.process_id, reply, now_ms()
        ids = {"conversation_id": reply.conversation_id, "message_id": reply.message_id}
        try:
            interrupted = await self._database.write(turn_recovery.mark_interrupted, *args)
        except DatabaseUnavailable:
            raise
        except Exception:  # a row of another release, perhaps
            log.exception("the record of a stalled turn cannot be read", extra=ids)
            interrupted = await self._database.write(turn_recovery.mark_interrupted_without_usage, *args)
        if interrupted:
            log.warning("the turn of a dead process was interrupted", extra=ids)
