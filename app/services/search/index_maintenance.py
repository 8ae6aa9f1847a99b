from __future__ import annotations

from app.db.database import Database
from app.db.vector_indexes import keep_vector_indexes
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings


class IndexMaintenance:
    """Keeps indexes for those users who have so many documents that they need one."""

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings

    def poller(self) -> Poller:
        """Make the poller that keeps the indexes; a search without one takes longer, no more."""
        return Poller("indexing", self.keep, self._timings.maintenance, bounded=False, required=False)

    async def keep(self) -> None:
        """Build the indexes that are missing, and drop those that are not needed any more."""
        await keep_vector_indexes(self._database)
