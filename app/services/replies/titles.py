from __future__ import annotations

import logging

from app.db import conversations
from app.db.database import Database
from app.domain.messages import Message, Status
from app.domain.titles import title_request, title_written
from app.errors import DatabaseUnavailable
from app.llm.base import Target
from app.services.replies.background import BackgroundCompletions
from app.services.replies.turn_run import TurnRun
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings

MAX_CHARACTERS = 2_000
"""More than any title has; a model that goes on is not listened to."""

FIRST_REPLY = 2
"""Its sequence number."""

log = logging.getLogger(__name__)


class TitleWriter:
    """Has a model title conversations, once their first turn has ended."""

    def __init__(
        self,
        database: Database,
        asides: BackgroundCompletions,
        tasks: TaskOwner,
        target: Target,
        timings: Timings,
    ) -> None:
        self._database = database
        self._retry = DatabaseRetry(database, timings)
        self._asides = asides
        self._tasks = tasks
        self._target = target

    def after(self, run: TurnRun) -> None:
        """Looks at a turn that has ended; only the first one, if it has completed, gives a title."""
        message, sent = run.message, run.prompt
        if sent and message.sequence_number == FIRST_REPLY and message.status is Status.COMPLETED:
            self._tasks.spawn(self._title(run.owner_id, message, sent.asked))

    async def _title(self, owner_id: str, message: Message, question: str) -> None:
        asked = title_request(question, message.content)
        conversation_id = message.conversation_id
        try:
            if not await self._database.read(conversations.awaits_title, conversation_id):
                return  # a model's would be paid for, and not be used
            written = await self._asides.write(self._target, asked, MAX_CHARACTERS, owner_id, conversation_id)
            title = title_written(written or "")
            if title is not None:
                await self._retry.write(conversations.retitle, conversation_id, title)
        except DatabaseUnavailable:
            log.warning("cannot title a conversation: the database is out of reach")
