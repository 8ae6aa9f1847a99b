"""Queries that accept a turn: locking its conversation, allocating sequence numbers, inserting its messages."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, func, literal, null, select, update

from app.db.expressions import insert_values, parameter
from app.db.models import ConversationRow, MessageRow, SummaryRow
from app.db.predicates import owned_by_caller, unfinished
from app.db.transaction import Transaction, execute, fetch_one, fetch_value
from app.db.turns import REQUEST_CANCEL, later_update
from app.domain.conversations import TitleSource
from app.domain.messages import Message, Role, Sampling, Status
from app.domain.turns import AcceptedTurn

BY_ID = ConversationRow.conversation_id == bindparam("conversation_id")
OF_CONVERSATION = MessageRow.conversation_id == bindparam("conversation_id")
COUNT = parameter(ConversationRow.last_sequence, "count")
NEW_TITLE = parameter(ConversationRow.title, "new_title")
ALLOCATE = (
    update(ConversationRow)
    .where(BY_ID, owned_by_caller(ConversationRow))
    .values(
        last_sequence=ConversationRow.last_sequence + COUNT,
        message_count=ConversationRow.message_count + COUNT,
        updated_at=later_update(),
        title_source=case(
            (and_(ConversationRow.title.is_(None), NEW_TITLE.is_not(None)), TitleSource.MESSAGE.value),
            else_=ConversationRow.title_source,
        ),
        title=func.coalesce(ConversationRow.title, NEW_TITLE),
    )
    .returning(
        ConversationRow.last_sequence,
        ConversationRow.title,
        ConversationRow.system_prompt,
        ConversationRow.provider,
        ConversationRow.model,
        ConversationRow.temperature,
        ConversationRow.max_tokens,
        ConversationRow.mode,
        ConversationRow.document_ids,
        ConversationRow.owner_id,
        # By the parameter: SQLite would take the table's column for the subquery's.
        select(SummaryRow.summary_id)
        .where(SummaryRow.conversation_id == bindparam("conversation_id"))
        .exists()
        .label("summarised"),
    )
)
UNFINISHED = select(MessageRow.message_id).where(OF_CONVERSATION, unfinished()).order_by(MessageRow.sequence_number)
# The first condition on the status is the one of the partial index.
CANCEL_QUEUED = (
    update(MessageRow)
    .where(OF_CONVERSATION, unfinished(), MessageRow.status == Status.QUEUED)
    .values(status=Status.CANCELLED, completed_at=bindparam("now"))
    .returning(MessageRow.message_id, MessageRow.process_id)
)
GIVEN = (
    "message_id",
    "conversation_id",
    "sequence_number",
    "status",
    "answers",
    "process_id",
    "provider",
    "model",
    "temperature",
    "max_tokens",
    "mode",
    "document_ids",
    "retrieval_mode",
    "grounded",
    "created_at",
    "started_at",
)
REPLY = {name: parameter(getattr(MessageRow, name)) for name in GIVEN} | {
    "role": literal(Role.ASSISTANT.value),
    "content": literal(""),
    "completed_at": null(),
}
QUESTION = dict.fromkeys(REPLY, null()) | {
    "message_id": parameter(MessageRow.message_id, "question_id"),
    "conversation_id": parameter(MessageRow.conversation_id),
    "sequence_number": parameter(MessageRow.answers),
    "role": literal(Role.USER.value),
    "content": parameter(MessageRow.content, "question"),
    "status": literal(Status.COMPLETED.value),
    "created_at": parameter(MessageRow.created_at),
    "completed_at": parameter(MessageRow.created_at),
}
INSERT_REPLY = insert_values(MessageRow, REPLY)
INSERT_TURN = insert_values(MessageRow, QUESTION, REPLY)
OWNER_OF_CONVERSATION = select(ConversationRow.owner_id).where(BY_ID, owned_by_caller(ConversationRow))


class LockedConversation(NamedTuple):
    """A conversation that is locked for the rest of the transaction."""

    last_sequence: int
    """The last of the sequence numbers that were allocated."""
    title: str | None
    system_prompt: str | None
    sampling: Sampling
    mode: str
    document_ids: list[str] | None
    owner_id: str
    """The id of the user's row."""
    summarised: bool
    """True if the conversation has a summary."""


class CancelledReply(NamedTuple):
    """A queued reply that was cancelled."""

    message_id: str
    process_id: str | None
    """The process in whose queue it was, if any."""


def allocate_sequence_numbers(
    owner: str | None, conversation_id: str, count: int, title: str | None, now: int
) -> Transaction[LockedConversation | None]:
    """Lock a conversation and allocate its next sequence numbers; None if the owner has no such conversation.

    The title is set where there is none. The lock order of all transactions begins with the conversation's row.
    """
    row = yield from fetch_one(
        ALLOCATE,
        owner=owner,
        conversation_id=conversation_id,
        count=count,
        new_title=title,
        now=now,
        locks=conversation_id,
    )
    if row is None:
        return None
    return LockedConversation(
        last_sequence=row.last_sequence,
        title=row.title,
        system_prompt=row.system_prompt,
        sampling=Sampling(row.provider, row.model, row.temperature, row.max_tokens),
        mode=row.mode,
        document_ids=row.document_ids,
        owner_id=row.owner_id,
        summarised=row.summarised,
    )


def unfinished_replies(conversation_id: str) -> Transaction[list[str]]:
    """List the ids of the queued and running replies of a conversation, in sequence order."""
    return [row.message_id for row in (yield from execute(UNFINISHED, conversation_id=conversation_id))]


def cancel_queued(conversation_id: str, now: int) -> Transaction[list[CancelledReply]]:
    """Cancel the queued replies of a locked conversation."""
    rows = yield from execute(CANCEL_QUEUED, conversation_id=conversation_id, now=now)
    return [CancelledReply(*row) for row in rows]


def request_cancellation(conversation_id: str, now: int) -> Transaction[list[str]]:
    """Request the end of the running reply of a conversation; return the ids, at most one."""
    return [row.message_id for row in (yield from execute(REQUEST_CANCEL, conversation_id=conversation_id, now=now))]


def insert_turn(turn: AcceptedTurn, conversation: LockedConversation, process_id: str) -> Transaction[None]:
    """Insert the question and the empty reply of a turn."""
    values = reply_values(turn, conversation, process_id)
    question = turn.question
    yield from execute(INSERT_TURN, **values, question_id=question.message_id, question=question.content)


def insert_reply(turn: AcceptedTurn, conversation: LockedConversation, process_id: str) -> Transaction[None]:
    """Insert the empty reply of a turn whose question is stored already."""
    yield from execute(INSERT_REPLY, **reply_values(turn, conversation, process_id))


def reply_values(turn: AcceptedTurn, conversation: LockedConversation, process_id: str) -> dict[str, Any]:
    """Return the parameters of `INSERT_REPLY`."""
    reply, resolved = turn.reply, turn.resolved
    return {
        "message_id": reply.message_id,
        "conversation_id": reply.conversation_id,
        "sequence_number": reply.sequence_number,
        "status": reply.status,
        "answers": turn.question.sequence_number,
        "process_id": process_id,
        "provider": resolved.provider,
        "model": resolved.model,
        "temperature": resolved.temperature,
        "max_tokens": resolved.max_tokens,
        "mode": conversation.mode,
        "document_ids": conversation.document_ids,
        "retrieval_mode": turn.retrieval_request and turn.retrieval_request.mode,
        "grounded": reply.grounded,
        "created_at": reply.created_at,
        "started_at": started_at(reply),
    }


def started_at(reply: Message) -> int | None:
    return reply.created_at if reply.status is Status.IN_PROGRESS else None


def owner_of_conversation(owner: str | None, conversation_id: str) -> Transaction[str | None]:
    """Return the id of the row of a conversation's user; None if the owner has no such conversation."""
    return (yield from fetch_value(OWNER_OF_CONVERSATION, owner=owner, conversation_id=conversation_id))
