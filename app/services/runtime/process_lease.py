from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app.db import process_leases
from app.db.database import Database
from app.db.process_leases import LEASE_MS
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings

log = logging.getLogger(__name__)


class ProcessLease:
    """The lease of this process, by which other processes know that it is alive."""

    def __init__(
        self, database: Database, process_id: str, timings: Timings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.process_id = process_id
        self._database = database
        self._timings = timings
        self._now = now
        self._renewed_at = self._grace_until = now()

    @property
    def expired(self) -> bool:
        """True if the lease may have expired, so that other processes may take over the work of this one."""
        return self._now() >= self._renewed_at + LEASE_MS / 1000

    @property
    def may_recover(self) -> bool:
        """True if work without a lease may be taken over.

        This process holds its own lease, and the others have had the time to renew theirs after an outage.
        """
        return not self.expired and self._now() >= self._grace_until

    def poller(self) -> Poller:
        longest_backoff = self._timings.longest_heartbeat_backoff
        return Poller("lease renewal", self.renew, self._timings.heartbeat, longest_backoff=longest_backoff)

    async def start(self) -> None:
        """Take the lease."""
        if self._database.kind == "sqlite":
            await self._database.write(process_leases.delete_earlier_boots, LEASE_MS)
        self._renewed_at = self._now()
        await self._database.write(process_leases.heartbeat, self.process_id, LEASE_MS)
        self.begin_grace_period(self._timings.lease_grace)

    async def renew(self) -> None:
        """Renew the lease; begin a grace period if that is so late that other leases may have expired too."""
        began_at = self._now()
        held = await self._database.write(process_leases.heartbeat, self.process_id, LEASE_MS)
        gap = self._now() - self._renewed_at
        if not held:  # by the database's clock: it was set, or this host stood still, and others may have too
            self.begin_grace_period(LEASE_MS / 1000)
        elif gap > 2 * self._timings.heartbeat:  # an outage: leases renewed earlier than this one have expired in it
            self.begin_grace_period(gap)
        self._renewed_at = began_at

    def begin_grace_period(self, seconds: float) -> None:
        """Recover no work of other processes for so many seconds, in which they can renew their leases."""
        self._grace_until = self._now() + seconds

    async def release(self) -> None:
        """End the lease, so that other processes take over at once; log a failure, as it expires anyway."""
        self._renewed_at = self._now() - LEASE_MS / 1000
        try:
            await self._database.write(process_leases.release, self.process_id)
        except Exception as error:  # this is the last thing that the process does, and not needed
            log.warning("cannot end the lease, which expires by itself", exc_info=error)
