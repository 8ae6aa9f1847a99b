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
from app.llm.calls import CallLimits, ModelCall
from app.llm.router import Router
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.timings import Timings

log = logging.getLogger(__name__)


class TextBuffer:
    """A sink that keeps the text of a completion, without its reasoning, up to a number of characters."""

    def __init__(self, max_characters: int) -> None:
        self.text = ""
        self._max_characters = max_characters

    def append(self, text: str) -> None:
        self.text += text

    def append_reasoning(self, text: str) -> None:
        """Discard the reasoning."""

    def retract(self) -> str:
        """Return the text so far and start again, since nothing of it is published before the end."""
        text, self.text = self.text, ""
        return text

    def is_full(self) -> bool:
        return len(self.text) >= self._max_characters


class BackgroundCompletions:
    """Completions for titles, summaries and query rewrites; their usage is recorded for the conversation's owner."""

    def __init__(self, database: Database, router: Router, timings: Timings, timeout_seconds: float = 60) -> None:
        self.router = router
        self._database = database
        self._retry = DatabaseRetry(database, timings)
        self._timeout_seconds = timeout_seconds

    async def complete(
        self,
        target: Target,
        messages: Sequence[PromptMessage],
        max_characters: int,
        owner_id: str,
        conversation_id: str,
    ) -> str | None:
        """Return a model's reply, stopped after about `max_characters`; None if it failed (logged) or is empty."""
        buffer = TextBuffer(max_characters)
        limits = CallLimits(asyncio.get_running_loop().time() + self._timeout_seconds, should_stop=buffer.is_full)
        call = ModelCall(target, lambda window: fixed_prompt(messages, window), buffer, limits)
        try:
            completion = await self.router.complete(call)
        except AppError as error:
            log.warning("a background completion failed", extra={"code": error.code, "model": target.model})
            completion = None
        except BaseException:  # a cancellation does not wait for the end of a database outage
            await self._database.write(usage.record, owner_id, conversation_id, None, call.attempts)
            raise
        await self._retry.write(usage.record, owner_id, conversation_id, None, call.attempts)
        if completion is None or completion.finish_reason is FinishReason.CONTENT_FILTER:
            return None
        return buffer.text.strip() or None


def fixed_prompt(messages: Sequence[PromptMessage], window: Window) -> Prompt:
    """Build a prompt that cannot be shortened.

    Raises:
        MessageTooLong: it does not fit into the window.
    """
    tokens = sum(message_tokens(message["content"]) for message in messages)
    if tokens > window.prompt_budget:
        raise MessageTooLong("The text is too long for the model.")
    record = PromptRecord(question_number=0, tokens=window.calibrated(tokens), correction=window.correction)
    return Prompt(list(messages), record, tokens, tokens)
