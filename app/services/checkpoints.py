from __future__ import annotations

import asyncio
import logging

from app.db import turns
from app.db.engine import Database
from app.domain.messages import Status
from app.errors import DatabaseUnavailable
from app.services.replies import Reply
from app.services.turns import Turns

CHECKPOINT_SECONDS = 1.0

log = logging.getLogger(__name__)


class Checkpoints:
    """Saves the text so far of all running turns once a second, in one transaction."""

    def __init__(self, database: Database, turns: Turns, process_id: str) -> None:
        self._database = database
        self._turns = turns
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
        """Saves what has grown; a turn that turns out not to be ours any more, or gone, is stopped."""
        running = dict(self._turns.running)
        if not running:
            return
        texts = [(message_id, reply.text()) for message_id, reply in self._dirty().items()]
        if texts:
            await self._database.transact(turns.checkpoint, self._process_id, texts)
        self._saved = self._still_running() | {message_id: len(text) for message_id, text in texts}
        # Also of those with nothing to save: a model that is silent and a turn that waits may do so for long.
        mine = await self._database.query(turns.unfinished, self._process_id)
        for message_id in running.keys() - mine:
            self._turns.stop(running[message_id], Status.CANCELLED)

    def _dirty(self) -> dict[str, Reply]:
        return {
            message_id: reply
            for message_id, reply in self._turns.running.items()
            if reply.length > self._saved.get(message_id, 0)
        }

    def _still_running(self) -> dict[str, int]:
        running = self._turns.running
        return {message_id: size for message_id, size in self._saved.items() if message_id in running}
