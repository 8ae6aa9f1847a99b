from __future__ import annotations

from app.db import idempotency
from app.db.database import Database
from app.domain.ids import now_ms
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings


class KeyExpiry:
    """Lets go of what is kept for a time only."""

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings

    def poller(self) -> Poller:
        """Make the poller that deletes idempotency keys."""
        return Poller("retention", self.forget, self._timings.maintenance, bounded=False, required=False)

    async def forget(self) -> None:
        """Delete the idempotency keys whose time is over."""
        await self._database.write(idempotency.expire, now_ms())
