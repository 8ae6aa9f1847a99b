from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app.db import process_leases
from app.db.database import LEASE_MS, Database
from app.services.runtime.polling import Poller

HEARTBEAT_SECONDS = 3.0
"""With the retries a lease outlasts ten seconds of trouble, wherever between two heartbeats these begin."""
LONGEST_RETRY_SECONDS = 1.0
START_SECONDS = 2 * LONGEST_RETRY_SECONDS
"""Seconds for which a new process judges nobody: the outage of its start may have ended the leases of others, which
they renew as soon as it is over."""

log = logging.getLogger(__name__)


class ProcessLease:
    """The lease of this process, by which others know that it lives."""

    def __init__(self, database: Database, process_id: str, now: Callable[[], float] = time.monotonic) -> None:
        self.process_id = process_id
        self._database = database
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
        return Poller("lease renewal", self.renew, HEARTBEAT_SECONDS, longest_retry=LONGEST_RETRY_SECONDS)

    async def start(self) -> None:
        """Make the lease; from here on others see that this process lives."""
        if self._database.kind == "sqlite":
            await self._database.write(process_leases.forget_earlier_boots, LEASE_MS)
        self._renewed_at = self._now()
        await self._database.write(process_leases.heartbeat, self.process_id, LEASE_MS)
        self._may_judge_at = self._now() + START_SECONDS

    async def renew(self) -> None:
        """Renew the lease, and note when that came so late that others may have come too late."""
        began_at = self._now()
        held = await self._database.write(process_leases.heartbeat, self.process_id, LEASE_MS)
        gap = self._now() - self._renewed_at
        if not held:  # by the database's clock: it was set, or this host stood still, and others may have too
            self._may_judge_at = self._now() + LEASE_MS / 1000
        elif gap > 2 * HEARTBEAT_SECONDS:  # an outage, in which leases that were renewed earlier than this one ended
            self._may_judge_at = self._now() + gap
        self._renewed_at = began_at

    async def resign(self) -> None:
        """End the lease, so that others take over at once what is left."""
        try:
            await self._database.write(process_leases.resign, self.process_id)
        except Exception as error:  # this is the last thing that the process does, and not needed
            log.warning("cannot end the lease, which runs out by itself", exc_info=error)
