from __future__ import annotations

import asyncio

from app.db import schema
from app.db.engine import Database
from app.errors import DatabaseUnavailable, Draining, Unavailable
from app.services.running import Running

PATIENCE_SECONDS = 2.0
"""Whoever asks for readiness waits no longer than that, however long statements may take."""


class Health:
    """Whether this process can serve."""

    def __init__(self, database: Database, running: Running) -> None:
        self._database = database
        self._running = running

    async def check(self) -> None:
        """Does nothing when all is well.

        Raises:
            Draining: the process is going away.
            DatabaseUnavailable: the database is out of reach.
            Unavailable: its schema is not the one of this release.
        """
        if self._running.draining:
            raise Draining
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                current = await self._database.query(schema.current)
        except TimeoutError as error:
            raise DatabaseUnavailable from error
        if not current:
            raise Unavailable("The database's schema is not the one of this release.")
