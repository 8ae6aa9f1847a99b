from __future__ import annotations

import asyncio
import logging

from app.db import turns
from app.db.engine import Database
from app.errors import DatabaseUnavailable
from app.services.replies import Reply
from app.services.running import Running

CHECKPOINT_SECONDS = 1.0

log = logging.getLogger(__name__)


class Checkpoints:
    """Saves the text so far of all running turns once a second, in one transaction."""

    def __init__(self, database: Database, running: Running, process_id: str) -> None:
        self._database = database
        self._running = running
        self._process_id = process_id
        self._saved: dict[str, int] = {}

    async def run(self) -> None:
        """Saves, for ever."""
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            try:
                await self.save()
            except DatabaseUnavailable:
                log.warning("cannot save the text of running turns: the database is out of reach")

    async def save(self) -> None:
        """Saves what has grown."""
        texts = [(message_id, reply.text()) for message_id, reply in self._dirty().items()]
        if texts:
            await self._database.transact(turns.checkpoint, self._process_id, texts)
        self._saved = self._still_running() | {message_id: len(text) for message_id, text in texts}

    def _dirty(self) -> dict[str, Reply]:
        return {
            message_id: reply
            for message_id, reply in self._running.replies.items()
            if reply.length > self._saved.get(message_id, 0)
        }

    def _still_running(self) -> dict[str, int]:
        running = self._running.replies
        return {message_id: size for message_id, size in self._saved.items() if message_id in running}
