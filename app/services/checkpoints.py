from __future__ import annotations

import asyncio
import logging

from app.db import turns
from app.db.engine import Database
from app.db.turns import Checkpoint
from app.errors import DatabaseUnavailable
from app.services.generation import work_of
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
        dirty = [self._checkpoint(message_id, reply) for message_id, reply in self._dirty().items()]
        if dirty:
            await self._database.transact(turns.checkpoint, self._process_id, dirty)
        self._saved = self._still_running() | {each.message_id: len(each.text) for each in dirty}

    def _checkpoint(self, message_id: str, reply: Reply) -> Checkpoint:
        told = reply.call is not None and message_id not in self._saved
        return Checkpoint(message_id, reply.text(), work_of(reply, reply.call) if told and reply.call else None)

    def _dirty(self) -> dict[str, Reply]:
        """The replies that have grown, and those for which a model is being asked since the last look."""
        return {
            message_id: reply
            for message_id, reply in self._running.replies.items()
            if reply.length > self._saved.get(message_id, 0 if reply.call is None or not reply.call.prompt else -1)
        }

    def _still_running(self) -> dict[str, int]:
        running = self._running.replies
        return {message_id: size for message_id, size in self._saved.items() if message_id in running}
