from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from app.db import leases, turns
from app.db.engine import LEASE_MS, Database
from app.domain.ids import now_ms
from app.domain.messages import Status
from app.errors import DatabaseUnavailable, Draining, Overloaded
from app.services.running import Running

HEARTBEAT_SECONDS = 5.0
AGAIN_SECONDS = 1.0
SWEEP_SECONDS = 2.5
"""Who died is found well within five seconds of the lease's end."""
SWEEP_BATCH = 100

log = logging.getLogger(__name__)


class Leases:
    """Keeps this process's lease, and ends or adopts the turns of processes that lost theirs."""

    def __init__(self, database: Database, running: Running, process_id: str) -> None:
        self._database = database
        self._running = running
        self._process_id = process_id
        self._renewed_at = time.monotonic()
        self._may_sweep_at = time.monotonic()

    @property
    def may_judge(self) -> bool:
        """Whether others have had the time to renew their leases, so that who has none is dead."""
        return time.monotonic() >= self._may_sweep_at

    async def renew(self) -> None:
        """Makes or renews the lease."""
        await self._database.transact(leases.heartbeat, self._process_id, LEASE_MS)
        now = time.monotonic()
        if now - self._renewed_at > LEASE_MS / 1000:
            # The database was away for all of us: give the others the time to renew before judging them.
            self._may_sweep_at = now + LEASE_MS / 1000
        self._renewed_at = now

    async def run(self) -> None:
        """Renews, for ever."""
        while True:
            try:
                await self.renew()
                await asyncio.sleep(HEARTBEAT_SECONDS)
            except DatabaseUnavailable:
                log.warning("cannot renew the lease: the database is out of reach")
                await asyncio.sleep(AGAIN_SECONDS)

    async def sweep(self) -> None:
        """Looks for turns without a living process, for ever."""
        while True:
            with contextlib.suppress(DatabaseUnavailable, Draining, Overloaded):  # all of which are told elsewhere
                await self._sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    async def resign(self) -> None:
        """Ends the lease, so that others take over at once what is left."""
        try:
            await self._database.transact(leases.resign, self._process_id)
        except DatabaseUnavailable:
            log.warning("cannot end the lease: the database is out of reach; it runs out by itself")

    async def _sweep(self) -> None:
        if not self.may_judge or self._running.draining:
            return
        while await self._take_up() == SWEEP_BATCH:
            pass
        await self._database.transact(leases.forget_dead_processes, LEASE_MS)

    async def _take_up(self) -> int:
        """Ends or adopts some turns without a living process; gives how many there were."""
        found = await self._database.query(turns.abandoned, SWEEP_BATCH)
        for reply in found:
            if reply.status is Status.QUEUED:
                await self._running.adopt(reply)
            elif await self._database.transact(turns.interrupt, reply, now_ms()):
                ids = {"conversation_id": reply.conversation_id, "message_id": reply.message_id}
                log.warning("the turn of a process that died was ended", extra=ids)
        return len(found)
