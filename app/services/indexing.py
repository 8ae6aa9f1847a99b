from __future__ import annotations

import asyncio
import logging

from app.db.engine import Database
from app.db.vector_indexes import keep_vector_indexes
from app.errors import DatabaseUnavailable

LOOK_SECONDS = 600.0

log = logging.getLogger(__name__)


class Indexing:
    """Keeps indexes for those users who have so many documents that they need one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """Looks, for ever; a search without an index takes longer, no more."""
        while True:
            try:
                await keep_vector_indexes(self._database)
            except DatabaseUnavailable:
                log.warning("cannot look after the indexes: the database is out of reach")
            await asyncio.sleep(LOOK_SECONDS)
