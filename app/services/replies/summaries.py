from __future__ import annotations

import logging

from app.db import summaries
from app.db.database import Database
from app.db.summaries import State
from app.domain.ids import new_id, now_ms
from app.domain.prompt import PromptRecord
from app.domain.summaries import MAX_CHARACTERS, notes, request, upto
from app.domain.turns import Summary
from app.errors import DatabaseUnavailable
from app.llm.base import Target
from app.services.replies.background import BackgroundCompletions
from app.services.replies.turn_run import TurnRun
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings

MESSAGES_AT_ONCE = 500
STEPS = 4
"""How often in a row, where there is more than a model takes at once."""

log = logging.getLogger(__name__)


class SummaryWriter:
    """Has conversations summarised that have outgrown the model's window; no turn waits for that."""

    def __init__(self, database: Database, asides: BackgroundCompletions, tasks: TaskOwner, timings: Timings) -> None:
        self._database = database
        self._retry = DatabaseRetry(database, timings)
        self._asides = asides
        self._tasks = tasks
        self._at_work: set[str] = set()

    def after(self, run: TurnRun) -> None:
        """Looks at what a turn that has ended could not tell its model."""
        conversation_id = run.message.conversation_id
        target, context = run.target_used, run.prompt and run.prompt.context
        if target is None or context is None or context.cut <= context.summarised:
            return
        if conversation_id in self._at_work or self._asides.router.catalog[target.provider].concurrency is not None:
            return  # the few places of the embedded model belong to turns
        self._at_work.add(conversation_id)
        self._tasks.spawn(self._summarise(conversation_id, target, context))

    async def _summarise(self, conversation_id: str, target: Target, context: PromptRecord) -> None:
        try:
            for _ in range(STEPS):
                if await self._step(conversation_id, target, upto(context)):
                    break
        except DatabaseUnavailable:
            log.warning("cannot summarise a conversation: the database is out of reach")
        finally:
            self._at_work.discard(conversation_id)

    async def _step(self, conversation_id: str, target: Target, last: int) -> bool:
        """Summarises what follows the last summary, as much as the model takes; whether there is no more to do."""
        state = await self._database.read(summaries.state, conversation_id)
        covered = state.summary.last if state and state.summary else 0
        if state is None or covered >= last:
            return True
        found = await self._database.read(summaries.following, conversation_id, covered, last, MESSAGES_AT_ONCE)
        room = self._asides.router.window(target, None).room
        told, reached = notes(found, room)
        if not told:
            return True
        written = await self._asides.write(
            target, request(state.summary, told), MAX_CHARACTERS, state.owner_id, conversation_id
        )
        return written is None or not await self._stored(conversation_id, state, Summary(new_id(), reached, written))

    async def _stored(self, conversation_id: str, state: State, summary: Summary) -> bool:
        return await self._retry.write(summaries.store, conversation_id, state.revision, summary, now_ms())
