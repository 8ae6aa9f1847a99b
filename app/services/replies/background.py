from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from app.db import usage
from app.db.database import Database
from app.domain.messages import FinishReason
from app.domain.prompt import Prompt, PromptMessage, PromptRecord, Window, message_tokens
from app.errors import AppError, MessageTooLong
from app.llm.base import Target
from app.llm.calls import ModelCall
from app.llm.router import Router
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.timings import Timings

log = logging.getLogger(__name__)


class TextBuffer:
    """A short text in the making, and none of the thinking behind it."""

    def __init__(self, characters: int) -> None:
        self.text = ""
        self._characters = characters

    def append(self, text: str) -> None:
        """See `Sink.append`."""
        self.text += text

    def think(self, text: str) -> None:
        """See `Sink.think`."""

    def retract(self) -> str:
        """See `Sink.retract`: nobody reads a note before its end."""
        text, self.text = self.text, ""
        return text

    def full(self) -> bool:
        """Whether it is long enough."""
        return len(self.text) >= self._characters


class BackgroundCompletions:
    """Has short texts written beside the turns; what they cost is entered for the conversation's owner."""

    def __init__(self, database: Database, router: Router, timings: Timings, seconds: float = 60) -> None:
        self.router = router
        self._database = database
        self._retry = DatabaseRetry(database, timings)
        self._seconds = seconds

    async def write(
        self, target: Target, messages: Sequence[PromptMessage], characters: int, owner_id: str, conversation_id: str
    ) -> str | None:
        """What a model writes, about so many characters at most; None when it fails, which is logged."""
        note = TextBuffer(characters)
        deadline = asyncio.get_running_loop().time() + self._seconds
        call = ModelCall(target, lambda window: fixed_prompt(messages, window), note, deadline, should_stop=note.full)
        try:
            ending = await self.router.complete(call)
        except AppError as error:
            log.warning("a text beside a turn failed", extra={"code": error.code, "model": target.model})
            ending = None
        except BaseException:  # whoever cancels this waits for the end of no outage
            await self._database.write(usage.record, owner_id, conversation_id, None, call.attempts)
            raise
        await self._retry.write(usage.record, owner_id, conversation_id, None, call.attempts)
        if ending is None or ending.finish_reason is FinishReason.CONTENT_FILTER:
            return None
        return note.text.strip() or None


def fixed_prompt(messages: Sequence[PromptMessage], window: Window) -> Prompt:
    """Messages that are sent as they are.

    Raises:
        MessageTooLong: the model takes less.
    """
    tokens = sum(message_tokens(message["content"]) for message in messages)
    if tokens > window.room:
        raise MessageTooLong("The text is too long for the model.")
    context = PromptRecord(question=0, tokens=window.counted(tokens), correction=window.correction)
    return Prompt(list(messages), context, tokens, tokens)
