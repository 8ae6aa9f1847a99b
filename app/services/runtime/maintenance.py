from __future__ import annotations

from app.db import idempotency
from app.db.database import Database
from app.db.vector_indexes import update_vector_indexes
from app.domain.ids import now_ms
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings


class Maintenance:
    """Periodic upkeep of the database: expired idempotency keys and vector indexes."""

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings

    def pollers(self) -> list[Poller]:
        """Return a poller for each job; none is required, as turns do not need them."""
        jobs = {"key expiry": self.delete_expired_keys, "vector indexes": self.update_vector_indexes}
        interval = self._timings.maintenance
        return [Poller(name, job, interval, bounded=False, required=False) for name, job in jobs.items()]

    async def delete_expired_keys(self) -> None:
        await self._database.write(idempotency.expire, now_ms())

    async def update_vector_indexes(self) -> None:
        """Create missing indexes and drop obsolete ones; searches without one are slower, but complete."""
        await update_vector_indexes(self._database)
