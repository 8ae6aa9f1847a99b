from __future__ import annotations

import logging

from app.db import summaries
from app.db.database import Database
from app.db.summaries import SummaryState
from app.domain.ids import new_id, now_ms
from app.domain.summaries import MAX_CHARACTERS, material, summarise_up_to, summary_request
from app.domain.turns import Summary
from app.errors import DatabaseUnavailable
from app.llm.base import Target
from app.services.replies.background import BackgroundCompletions
from app.services.replies.turn_run import TurnRun
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings

MESSAGES_PER_STEP = 500
MAX_STEPS = 4
"""Summaries in a row, for text that does not fit into one prompt."""

log = logging.getLogger(__name__)


class SummaryWriter:
    """Summarises conversations that have outgrown the model's window, in the background."""

    def __init__(
        self, database: Database, completions: BackgroundCompletions, tasks: TaskOwner, timings: Timings
    ) -> None:
        self._database = database
        self._retry = DatabaseRetry(database, timings)
        self._completions = completions
        self._tasks = tasks
        self._in_progress: set[str] = set()
        """Ids of conversations that are being summarised."""

    def on_turn_finished(self, run: TurnRun) -> None:
        """Start a summary if messages that no summary covers were dropped from the turn's prompt."""
        conversation_id, target = run.reply.conversation_id, run.target_used
        record = run.prompt and run.prompt.record
        if target is None or record is None or record.dropped_up_to <= record.summarised_up_to:
            return
        if conversation_id in self._in_progress:
            return
        if self._completions.router.catalog[target.provider].concurrency is not None:
            return  # the few slots of the embedded model belong to turns
        self._in_progress.add(conversation_id)
        self._tasks.spawn(self._summarise(conversation_id, target, summarise_up_to(record)))

    async def _summarise(self, conversation_id: str, target: Target, up_to: int) -> None:
        try:
            for _ in range(MAX_STEPS):
                if await self._step(conversation_id, target, up_to):
                    break
        except DatabaseUnavailable:
            log.warning("cannot summarise a conversation: the database is out of reach")
        finally:
            self._in_progress.discard(conversation_id)

    async def _step(self, conversation_id: str, target: Target, up_to: int) -> bool:
        """Summarise the messages after the last summary, as many as fit into a prompt; return True if none are left."""
        state = await self._database.read(summaries.summary_state, conversation_id)
        covered = state.summary.last if state and state.summary else 0
        if state is None or covered >= up_to:
            return True
        messages = await self._database.read(
            summaries.messages_between, conversation_id, covered, up_to, MESSAGES_PER_STEP
        )
        text, last = material(messages, self._completions.router.window(target, None).prompt_budget)
        if not text:
            return True
        content = await self._completions.complete(
            target, summary_request(state.summary, text), MAX_CHARACTERS, state.owner_id, conversation_id
        )
        return content is None or not await self._store(conversation_id, state, Summary(new_id(), last, content))

    async def _store(self, conversation_id: str, state: SummaryState, summary: Summary) -> bool:
        return await self._retry.write(summaries.insert_summary, conversation_id, state.revision, summary, now_ms())
