"""Queries of messages, which every turn runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, or_, select, update

from app.db import summaries
from app.db.models import ConversationRow, MessageRow
from app.db.predicates import owned_by_caller, unfinished
from app.db.transaction import Row, Transaction, execute, fetch_one, fetch_value
from app.domain.documents import Citation
from app.domain.messages import NO_UPPER_BOUND, Failure, FinishReason, Message, Role, Status, Usage

COLUMNS = (
    MessageRow.message_id,
    MessageRow.conversation_id,
    MessageRow.role,
    MessageRow.content,
    MessageRow.sequence_number,
    MessageRow.status,
    MessageRow.created_at,
    MessageRow.provider,
    MessageRow.model,
    MessageRow.finish_reason,
    MessageRow.input_tokens,
    MessageRow.output_tokens,
    MessageRow.usage_estimated,
    MessageRow.citations,
    MessageRow.grounded,
    MessageRow.error_code,
    MessageRow.error_detail,
    MessageRow.completed_at,
    MessageRow.edited_at,
    MessageRow.answers,
    MessageRow.superseded_by,
)
"""The columns of `domain.messages.Message`."""

BY_ID = MessageRow.message_id == bindparam("message_id")
OF_CONVERSATION = MessageRow.conversation_id == bindparam("conversation_id")
NOT_DELETED = MessageRow.deleted_at.is_(None)
CONVERSATION_BY_ID = ConversationRow.conversation_id == bindparam("conversation_id")
OWNED_CONVERSATION = select(ConversationRow.conversation_id).where(CONVERSATION_BY_ID, owned_by_caller(ConversationRow))
LOCK = (
    update(ConversationRow)
    .where(CONVERSATION_BY_ID, owned_by_caller(ConversationRow))
    .values(message_count=ConversationRow.message_count)
    .returning(ConversationRow.conversation_id)
)
GET = (
    select(*COLUMNS)
    .join(ConversationRow, ConversationRow.conversation_id == MessageRow.conversation_id)
    .where(BY_ID, CONVERSATION_BY_ID, owned_by_caller(ConversationRow), NOT_DELETED)
)
GET_OF_ANY_OWNER = select(*COLUMNS).where(BY_ID)
GET_BY_NUMBER = select(*COLUMNS).where(
    OF_CONVERSATION, MessageRow.sequence_number == bindparam("sequence_number"), NOT_DELETED
)
LAST = (
    select(MessageRow.message_id, MessageRow.answers)
    .where(OF_CONVERSATION, NOT_DELETED)
    .order_by(MessageRow.sequence_number.desc())
    .limit(1)
)
TURN_UNFINISHED = select(MessageRow.message_id).where(
    OF_CONVERSATION,
    or_(
        MessageRow.sequence_number == bindparam("sequence_number"),
        MessageRow.answers == bindparam("sequence_number"),
    ),
    unfinished(),
)
EDIT = update(MessageRow).where(BY_ID).values(content=bindparam("content"), edited_at=bindparam("now"))
DELETE_TEXT = (
    update(MessageRow)
    .where(BY_ID)
    .values(content="", citations=None, retrieval=None, reasoning=None, deleted_at=bindparam("now"))
)
REASONING = select(MessageRow.message_id, MessageRow.reasoning).where(
    OF_CONVERSATION,
    MessageRow.sequence_number >= bindparam("first"),
    MessageRow.sequence_number <= bindparam("last"),
    MessageRow.reasoning.is_not(None),
)
DECREMENT_COUNT = (
    update(ConversationRow).where(CONVERSATION_BY_ID).values(message_count=ConversationRow.message_count - 1)
)


def page_query(*, descending: bool) -> Select[Any]:
    """Select messages of a conversation between two sequence numbers, both excluded."""
    number = MessageRow.sequence_number
    return (
        select(*COLUMNS)
        .where(OF_CONVERSATION, NOT_DELETED, number > bindparam("after"), number < bindparam("before"))
        .order_by(number.desc() if descending else number)
        .limit(bindparam("limit"))
    )


OLDEST_FIRST, NEWEST_FIRST = page_query(descending=False), page_query(descending=True)


def message_of(row: Row) -> Message:
    """Build a message from a row of `COLUMNS`."""
    usage = None if row.input_tokens is None else Usage(row.input_tokens, row.output_tokens, row.usage_estimated)
    return Message(
        message_id=row.message_id,
        conversation_id=row.conversation_id,
        role=Role(row.role),
        content=row.content,
        sequence_number=row.sequence_number,
        status=Status(row.status),
        created_at=row.created_at,
        provider=row.provider,
        model=row.model,
        finish_reason=None if row.finish_reason is None else FinishReason(row.finish_reason),
        usage=usage,
        citations=[Citation(**each) for each in row.citations or ()],
        grounded=row.grounded,
        error=None if row.error_code is None else Failure(row.error_code, row.error_detail),
        completed_at=row.completed_at,
        edited_at=row.edited_at,
        answers=row.answers,
        superseded_by=row.superseded_by,
    )


def conversation_exists(owner: str | None, conversation_id: str) -> Transaction[bool]:
    """Return whether the owner (None: any) has this conversation."""
    return (yield from fetch_value(OWNED_CONVERSATION, owner=owner, conversation_id=conversation_id)) is not None


def owned_message(owner: str | None, conversation_id: str, message_id: str) -> Transaction[Message | None]:
    """Read a message of an owner (None: any); None if it is deleted or there is none."""
    row = yield from fetch_one(GET, owner=owner, conversation_id=conversation_id, message_id=message_id)
    return None if row is None else message_of(row)


def message_by_id(message_id: str) -> Transaction[Message | None]:
    """Read a message of any owner, also a deleted one; None if there is none."""
    row = yield from fetch_one(GET_OF_ANY_OWNER, message_id=message_id)
    return None if row is None else message_of(row)


def message_by_number(conversation_id: str, sequence_number: int) -> Transaction[Message | None]:
    """Read a message by its sequence number; None if it is deleted or there is none."""
    row = yield from fetch_one(GET_BY_NUMBER, conversation_id=conversation_id, sequence_number=sequence_number)
    return None if row is None else message_of(row)


def is_last_reply(reply: Message) -> Transaction[bool]:
    """Return whether a reply is the last in its conversation, apart from regenerated ones that have not superseded it.

    If the last message answers the same question, so do all after the reply: only last replies are regenerated.
    """
    last = yield from fetch_one(LAST, conversation_id=reply.conversation_id)
    if last is None:
        return False
    return last.message_id == reply.message_id or (last.answers == reply.answers and reply.superseded_by is None)


def latest(conversation_id: str, limit: int, before: int = NO_UPPER_BOUND) -> Transaction[list[Message]]:
    """List the last messages with a sequence number below `before`, in sequence order."""
    rows = yield from execute(NEWEST_FIRST, conversation_id=conversation_id, after=0, before=before, limit=limit)
    return [message_of(row) for row in reversed(rows)]


def owned_page(
    owner: str | None, conversation_id: str, after: int, before: int, limit: int, descending: bool
) -> Transaction[list[Message] | None]:
    """List the messages between two sequence numbers, both excluded; None if the owner has no such conversation."""
    if not (yield from conversation_exists(owner, conversation_id)):
        return None
    query = NEWEST_FIRST if descending else OLDEST_FIRST
    rows = yield from execute(query, conversation_id=conversation_id, after=after, before=before, limit=limit)
    return [message_of(row) for row in rows]


def lock_conversation(owner: str | None, conversation_id: str) -> Transaction[bool]:
    """Lock a conversation for the rest of the transaction; return False if the owner has no such conversation."""
    locked = yield from execute(LOCK, owner=owner, conversation_id=conversation_id, locks=conversation_id)
    return bool(locked)


def turn_is_unfinished(message: Message) -> Transaction[bool]:
    """Return whether the turn of a message is queued or in progress."""
    found = yield from execute(
        TURN_UNFINISHED, conversation_id=message.conversation_id, sequence_number=message.sequence_number
    )
    return bool(found)


def reasoning(conversation_id: str, first: int, last: int) -> Transaction[dict[str, str]]:
    """Return the reasoning of the replies between two sequence numbers, both included, by id."""
    rows = yield from execute(REASONING, conversation_id=conversation_id, first=first, last=last)
    return dict(rows)


def edit(message: Message, content: str, now: int) -> Transaction[None]:
    """Replace the text of a message; the conversation has to be locked."""
    yield from execute(EDIT, message_id=message.message_id, content=content, now=now)
    yield from summaries.delete_summaries(message.conversation_id, message.sequence_number)


def delete_text(message: Message, now: int) -> Transaction[None]:
    """Delete the text of a message; its row and sequence number stay. The conversation has to be locked."""
    yield from execute(DELETE_TEXT, message_id=message.message_id, now=now)
    yield from execute(DECREMENT_COUNT, conversation_id=message.conversation_id)
    yield from summaries.delete_summaries(message.conversation_id, message.sequence_number)
