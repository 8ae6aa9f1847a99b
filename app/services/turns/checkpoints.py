from __future__ import annotations

from typing import NamedTuple

from app.db import turns
from app.db.database import Database
from app.db.turns import Checkpoint
from app.domain.prompt import PromptRecord
from app.llm.base import Target
from app.services.replies.generation import record_of
from app.services.replies.stream import ReplyStream
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings
from app.services.turns.executor import TurnExecutor


class SavedState(NamedTuple):
    """How far a reply is."""

    length: int = 0
    author: Target | None = None
    context: PromptRecord | None = None
    """What was told for it last, and whom: another provider may have been asked since."""


def saved_state(reply: ReplyStream) -> SavedState:
    """How far a reply is now."""
    if reply.call is None:
        return SavedState(reply.length)
    return SavedState(reply.length, reply.call.author, reply.call.prompt and reply.call.prompt.context)


class CheckpointWriter:
    """Saves the text so far of all running turns once a second, in one transaction."""

    def __init__(self, database: Database, running: TurnExecutor, process_id: str, timings: Timings) -> None:
        self._database = database
        self._running = running
        self._process_id = process_id
        self._timings = timings
        self._saved: dict[str, SavedState] = {}

    def poller(self) -> Poller:
        """Make the poller that saves the text of running turns."""
        return Poller("checkpoints", self.save, self._timings.checkpoint)

    async def save(self) -> None:
        """Saves what has changed."""
        running = self._running.replies
        states = {message_id: saved_state(reply) for message_id, reply in running.items()}
        dirty = [
            message_id for message_id, state in states.items() if state != self._saved.get(message_id, SavedState())
        ]
        if dirty:
            found = [self._checkpoint(message_id, running[message_id]) for message_id in dirty]
            await self._database.write(turns.checkpoint, self._process_id, found)
        self._saved = states

    def _checkpoint(self, message_id: str, reply: ReplyStream) -> Checkpoint:
        known = self._saved.get(message_id, SavedState())
        told = reply.call is not None and saved_state(reply)[1:] != known[1:]
        return Checkpoint(message_id, reply.text(), record_of(reply, reply.call) if told and reply.call else None)
