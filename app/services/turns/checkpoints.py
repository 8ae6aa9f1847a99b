from __future__ import annotations

from typing import NamedTuple

from app.db import turns
from app.db.database import Database
from app.db.turns import Checkpoint
from app.domain.prompt import PromptRecord
from app.llm.base import Target
from app.services.replies.turn_run import TurnRun
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings
from app.services.turns.executor import TurnExecutor


class SavedState(NamedTuple):
    """The state of a reply at a checkpoint."""

    length: int = 0
    target: Target | None = None
    prompt: PromptRecord | None = None
    """Of the prompt that was sent last: with a fallback it changes."""


def state_of(run: TurnRun) -> SavedState:
    return SavedState(run.stream.length, run.target_used, run.prompt and run.prompt.record)


class CheckpointWriter:
    """Saves the text so far of all running turns once a second, in one transaction."""

    def __init__(self, database: Database, executor: TurnExecutor, process_id: str, timings: Timings) -> None:
        self._database = database
        self._executor = executor
        self._process_id = process_id
        self._timings = timings
        self._saved: dict[str, SavedState] = {}

    def poller(self) -> Poller:
        return Poller("checkpoints", self.save, self._timings.checkpoint)

    async def save(self) -> None:
        """Save the replies that have changed since the last checkpoint."""
        states: dict[str, SavedState] = {}
        changed: list[Checkpoint] = []
        for message_id, run in self._executor.runs.items():
            states[message_id] = state = state_of(run)
            saved = self._saved.get(message_id, SavedState())
            if state != saved:
                record = run.record() if state[1:] != saved[1:] else None
                changed.append(Checkpoint(message_id, run.stream.text(), record))
        if changed:
            await self._database.write(turns.checkpoint, self._process_id, changed)
        self._saved = states
