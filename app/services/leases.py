from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from app.db import leases, turns
from app.db.engine import LEASE_MS, Database
from app.domain.ids import now_ms
from app.domain.messages import Message, Status
from app.errors import DatabaseUnavailable, Draining, Overloaded
from app.services.polling import Poller
from app.services.running import Running

HEARTBEAT_SECONDS = 3.0
"""With the retries a lease outlasts ten seconds of trouble, wherever between two heartbeats these begin."""
LONGEST_RETRY_SECONDS = 1.0
SWEEP_SECONDS = 2.5
"""Dead processes are found well within five seconds of their lease's end."""
SWEEP_BATCH = 100

log = logging.getLogger(__name__)


class Leases:
    """Keeps this process's lease, and ends or adopts the turns of processes that lost theirs."""

    def __init__(
        self, database: Database, running: Running, process_id: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._running = running
        self._process_id = process_id
        self._now = now
        self._renewed_at = self._may_judge_at = now()

    @property
    def expired(self) -> bool:
        """Whether this process's own lease may be over, so that others may end its turns."""
        return self._now() >= self._renewed_at + LEASE_MS / 1000

    @property
    def may_judge(self) -> bool:
        """Whether the other processes have had the time to renew their leases, so that one without it is dead."""
        return not self.expired and self._now() >= self._may_judge_at

    def pollers(self) -> list[Poller]:
        """Make what renews the lease, and what looks for turns without a living process."""
        return [
            Poller("lease renewal", self.renew, HEARTBEAT_SECONDS, longest_retry=LONGEST_RETRY_SECONDS),
            Poller("recovery of turns", self.sweep, SWEEP_SECONDS, longest_round=None, required=False),
        ]

    async def start(self) -> None:
        """Make the lease; from here on others see that this process lives."""
        if self._database.kind == "sqlite":
            await self._database.transact(leases.forget_earlier_boots, LEASE_MS)
        self._renewed_at = self._now()
        await self._database.transact(leases.heartbeat, self._process_id, LEASE_MS)

    async def renew(self) -> None:
        """Renew the lease."""
        began_at = self._now()
        held = await self._database.transact(leases.heartbeat, self._process_id, LEASE_MS)
        if not held or self.expired:
            # By either clock all processes may have lost their leases: they get the time to renew before any is judged.
            self._may_judge_at = self._now() + LEASE_MS / 1000
        self._renewed_at = began_at

    async def sweep(self) -> None:
        """End or adopt all turns without a living process."""
        if not self.may_judge or self._running.draining:
            return
        with contextlib.suppress(Draining, Overloaded):  # then others adopt what waits
            while await self._take_up() == SWEEP_BATCH:
                pass
        await self._database.transact(leases.forget_dead_processes, self._process_id, LEASE_MS)

    async def resign(self) -> None:
        """End the lease, so that others take over at once what is left."""
        try:
            await self._database.transact(leases.resign, self._process_id)
        except Exception as error:  # this is the last thing that the process does, and not needed
            log.warning("cannot end the lease, which runs out by itself", exc_info=error)

    async def _take_up(self) -> int:
        """End or adopt some turns without a living process; return how many."""
        found = await self._database.query(turns.abandoned, self._process_id, SWEEP_BATCH)
        taken_up = 0
        for reply in found:
            try:
                await self._take_up_one(reply)
                taken_up += 1
            except (DatabaseUnavailable, Draining, Overloaded):
                raise
            except Exception:  # one row that cannot be read may not keep all others unfinished
                log.exception("cannot take up a turn", extra={"message_id": reply.message_id})
        return taken_up

    async def _take_up_one(self, reply: Message) -> None:
        if reply.status is Status.QUEUED:
            await self._running.adopt(reply)
            return
        what = self._process_id, reply, now_ms()
        try:
            await self._database.transact(turns.interrupt, *what)
        except DatabaseUnavailable:
            raise
        except Exception:  # a row of another release, perhaps
            log.exception("what a dead process did for a turn cannot be read", extra={"message_id": reply.message_id})
            await self._database.transact(turns.interrupt_unrecorded, *what)
