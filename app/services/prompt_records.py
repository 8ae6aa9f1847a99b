from __future__ import annotations

from dataclasses import replace

from app.db import prompt_records, retrieval_records
from app.db.database import Database
from app.db.prompt_records import RecordedPrompt
from app.db.transaction import Transaction
from app.domain.messages import Message
from app.domain.principals import Principal
from app.domain.prompt_record import NO_RETRIEVAL, SentContext, omitted, sent_messages, sent_summary
from app.domain.retrieval import RetrievalResult
from app.errors import InvalidRequest
from app.services.messages import require_message


class PromptRecords:
    """What models were told for replies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, who: Principal, conversation_id: str, message_id: str) -> SentContext:
        """What was sent for a reply; empty when nobody was asked.

        Raises:
            ConversationNotFound, MessageNotFound: the principal has none such.
            InvalidRequest: it is no reply.
        """
        reply, told, retrieval = await self._database.read(told_for, who.user_id, conversation_id, message_id)
        if told is None or told.work.context is None:
            return SentContext(reply.provider, reply.model, retrieval=retrieval)
        known = told.work.context
        return SentContext(
            provider=told.work.provider,
            model=told.work.model,
            messages=sent_messages(known, told.neighbours),
            summary=sent_summary(known, told.summary),
            estimated_tokens=known.tokens,
            omitted=omitted(known, told.neighbours),
            retrieval=replace(retrieval, candidates=retrieval.candidates[: known.passages]),
        )


def told_for(
    owner: str | None, conversation_id: str, message_id: str
) -> Transaction[tuple[Message, RecordedPrompt | None, RetrievalResult]]:
    """Reads what was told for a reply that the owner has, and what was looked up for it."""
    reply = yield from require_message(owner, conversation_id, message_id)
    if reply.answers is None:
        raise InvalidRequest("Only a reply has a context.")
    retrieval = None if reply.grounded is None else (yield from retrieval_records.of_message(message_id))
    return reply, (yield from prompt_records.told_for(reply)), retrieval or NO_RETRIEVAL
