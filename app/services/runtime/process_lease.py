from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app.db import process_leases
from app.db.database import LEASE_MS, Database
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings

log = logging.getLogger(__name__)


class ProcessLease:
    """The lease of this process, by which others know that it lives."""

    def __init__(
        self, database: Database, process_id: str, timings: Timings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.process_id = process_id
        self._database = database
        self._timings = timings
        self._now = now
        self._renewed_at = self._may_judge_at = now()

    @property
    def expired(self) -> bool:
        """Return whether this process's own lease may be over, so that others may end its turns."""
        return self._now() >= self._renewed_at + LEASE_MS / 1000

    @property
    def may_judge(self) -> bool:
        """Return whether the other processes have had the time to renew their leases, so that one without is dead."""
        return not self.expired and self._now() >= self._may_judge_at

    def poller(self) -> Poller:
        """Make the poller that renews the lease."""
        longest_retry = self._timings.longest_heartbeat_retry
        return Poller("lease renewal", self.renew, self._timings.heartbeat, longest_retry=longest_retry)

    async def start(self) -> None:
        """Make the lease; from here on others see that this process lives."""
        if self._database.kind == "sqlite":
            await self._database.write(process_leases.delete_earlier_boots, LEASE_MS)
        self._renewed_at = self._now()
        await self._database.write(process_leases.heartbeat, self.process_id, LEASE_MS)
        self._may_judge_at = self._now() + self._timings.lease_grace

    async def renew(self) -> None:
        """Renew the lease, and note when that came so late that others may have come too late."""
        began_at = self._now()
        held = await self._database.write(process_leases.heartbeat, self.process_id, LEASE_MS)
        gap = self._now() - self._renewed_at
        if not held:  # by the database's clock: it was set, or this host stood still, and others may have too
            self._may_judge_at = self._now() + LEASE_MS / 1000
        elif gap > 2 * self._timings.heartbeat:  # an outage: leases renewed earlier than this one have expired in it
            self._may_judge_at = self._now() + gap
        self._renewed_at = began_at

    async def resign(self) -> None:
        """End the lease, so that others take over at once what is left."""
        try:
            await self._database.write(process_leases.release, self.process_id)
        except Exception as error:  # this is the last thing that the process does, and not needed
            log.warning("cannot end the lease, which runs out by itself", exc_info=error)
