from __future__ import annotations

import logging

from app.db import conversations
from app.db.database import Database
from app.domain.messages import Message, Status
from app.domain.titles import title_in_reply, title_request
from app.errors import DatabaseUnavailable
from app.llm.base import Target
from app.services.replies.background import BackgroundCompletions
from app.services.replies.turn_run import TurnRun
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings

MAX_CHARACTERS = 2_000
"""Length at which a model's reply is cut off: more than any title has."""

FIRST_REPLY = 2
"""Sequence number of a conversation's first reply."""

log = logging.getLogger(__name__)


class TitleWriter:
    """Generates conversation titles with a model after the first turn, in the background."""

    def __init__(
        self,
        database: Database,
        completions: BackgroundCompletions,
        tasks: TaskOwner,
        target: Target,
        timings: Timings,
    ) -> None:
        self._database = database
        self._retry = DatabaseRetry(database, timings)
        self._completions = completions
        self._tasks = tasks
        self._target = target

    def on_turn_finished(self, run: TurnRun) -> None:
        """Start a title if the first turn of the conversation has completed."""
        reply, prompt = run.reply, run.prompt
        if prompt and reply.sequence_number == FIRST_REPLY and reply.status is Status.COMPLETED:
            self._tasks.spawn(self._title(run.owner_id, reply, prompt.question))

    async def _title(self, owner_id: str, reply: Message, question: str) -> None:
        messages = title_request(question, reply.content)
        conversation_id = reply.conversation_id
        try:
            if not await self._database.read(conversations.awaits_title, conversation_id):
                return  # the title would be paid for and not used
            text = await self._completions.complete(self._target, messages, MAX_CHARACTERS, owner_id, conversation_id)
            title = title_in_reply(text or "")
            if title is not None:
                await self._retry.write(conversations.retitle, conversation_id, title)
        except DatabaseUnavailable:
            log.warning("cannot title a conversation: the database is out of reach")
