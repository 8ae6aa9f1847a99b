from __future__ import annotations

from dataclasses import replace

from app.db import prompt_records, retrieval_records
from app.db.database import Database
from app.db.prompt_records import RecordedPrompt
from app.db.transaction import Transaction
from app.domain.messages import Message
from app.domain.principals import Principal
from app.domain.prompt_record import NO_RETRIEVAL, SentPrompt, omitted, sent_messages, sent_summary
from app.domain.retrieval import RetrievalResult
from app.errors import InvalidRequest
from app.services.messages import require_message


class PromptRecordService:
    """The prompts that were sent for replies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, principal: Principal, conversation_id: str, message_id: str) -> SentPrompt:
        """Return the prompt of a reply; without messages if no model was called.

        Raises:
            ConversationNotFound, MessageNotFound: the principal has no such conversation or message.
            InvalidRequest: the message is not a reply.
        """
        reply, recorded, retrieval = await self._database.read(
            reply_with_prompt, principal.user_id, conversation_id, message_id
        )
        if recorded is None:
            return SentPrompt(reply.provider, reply.model, retrieval=retrieval)
        prompt = recorded.prompt
        return SentPrompt(
            provider=recorded.provider,
            model=recorded.model,
            messages=sent_messages(prompt, recorded.nearby),
            summary=sent_summary(prompt, recorded.summary),
            estimated_tokens=prompt.tokens,
            omitted=omitted(prompt, recorded.nearby),
            retrieval=replace(retrieval, candidates=retrieval.candidates[: prompt.passage_count]),
        )


def reply_with_prompt(
    user_id: str | None, conversation_id: str, message_id: str
) -> Transaction[tuple[Message, RecordedPrompt | None, RetrievalResult]]:
    """Read a user's reply with its prompt and its retrieval result."""
    reply = yield from require_message(user_id, conversation_id, message_id)
    if reply.answers is None:
        raise InvalidRequest("Only a reply has a context; request that of the next message.")
    retrieval = None if reply.grounded is None else (yield from retrieval_records.retrieval_of(message_id))
    return reply, (yield from prompt_records.recorded_prompt(reply)), retrieval or NO_RETRIEVAL
