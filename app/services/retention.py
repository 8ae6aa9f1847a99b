from __future__ import annotations

import asyncio
import logging

from app.db import idempotency
from app.db.engine import Database
from app.domain.ids import now_ms
from app.errors import DatabaseUnavailable

LOOK_SECONDS = 600.0

log = logging.getLogger(__name__)


class Retention:
    """Lets go of what is kept for a time only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """Looks, for ever."""
        while True:
            try:
                await self._database.transact(idempotency.forget, now_ms())
            except DatabaseUnavailable:
                log.warning("cannot let old idempotency keys go: the database is out of reach")
            await asyncio.sleep(LOOK_SECONDS)
