from __future__ import annotations

import asyncio
import logging

from app.db import turns
from app.db.engine import Database
from app.domain.messages import Status
from app.errors import DatabaseUnavailable
from app.services.running import Running

LOOK_SECONDS = 0.5

log = logging.getLogger(__name__)


class Stops:
    """Finds the turns of this process that others have cancelled, deleted or taken over, and stops them."""

    def __init__(self, database: Database, running: Running, process_id: str) -> None:
        self._database = database
        self._running = running
        self._process_id = process_id

    async def run(self) -> None:
        """Looks, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except DatabaseUnavailable:
                log.warning("cannot see which turns are to be stopped: the database is out of reach")

    async def look(self) -> None:
        """Stops what is to be stopped; how each ended is then read from its row."""
        running = dict(self._running.replies)
        if not running:
            return
        mine = await self._database.query(turns.unfinished, self._process_id)
        for message_id, reply in running.items():
            if mine.get(message_id, True):
                self._running.stop(reply, Status.CANCELLED)
