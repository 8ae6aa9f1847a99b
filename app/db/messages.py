"""Queries of messages, which every turn runs."""

from __future__ import annotations

import orjson

from app.db import summaries
from app.db.transaction import Row, Statement, Transaction, first_row
from app.domain.messages import NO_UPPER_BOUND, Failure, FinishReason, Message, Role, Status, Usage

COLUMNS = (
    "m.message_id, m.conversation_id, m.role, m.content, m.sequence_number, m.status, m.created_at, "
    "m.provider, m.model, m.finish_reason, m.input_tokens, m.output_tokens, m.usage_estimated, "
    "CAST(m.citations AS TEXT), m.grounded, m.error_code, m.error_detail, m.completed_at, m.edited_at, "
    "m.answers, m.superseded_by"
)
OWNED = "owner_id IN (SELECT id FROM users WHERE user_id = COALESCE(CAST($2 AS TEXT), user_id))"
"""Predicate: the row belongs to the user $2, or, if $2 is NULL, to any user that is not erased."""

CONVERSATION_EXISTS = f"SELECT conversation_id FROM conversations WHERE conversation_id = $1 AND {OWNED}"
LOCK = f"UPDATE conversations SET message_count = message_count WHERE conversation_id = $1 AND {OWNED} RETURNING 1"
MESSAGE = f"""
SELECT {COLUMNS} FROM messages m JOIN conversations c ON c.conversation_id = m.conversation_id
WHERE m.message_id = $3 AND c.conversation_id = $1 AND c.{OWNED} AND m.deleted_at IS NULL"""
MESSAGE_BY_NUMBER = f"""
SELECT {COLUMNS} FROM messages m WHERE m.conversation_id = $1 AND m.sequence_number = $2 AND m.deleted_at IS NULL"""
LAST = """
SELECT message_id, answers FROM messages WHERE conversation_id = $1 AND deleted_at IS NULL
ORDER BY sequence_number DESC LIMIT 1"""
MESSAGE_BY_ID = f"SELECT {COLUMNS} FROM messages m WHERE m.message_id = $1"
PAGE = f"""
SELECT {COLUMNS} FROM messages m WHERE m.conversation_id = $1 AND m.deleted_at IS NULL
AND m.sequence_number > $2 AND m.sequence_number < $3 ORDER BY m.sequence_number {{order}} LIMIT $4"""
OLDEST_FIRST, NEWEST_FIRST = PAGE.replace("{order}", "ASC"), PAGE.replace("{order}", "DESC")
TURN_UNFINISHED = """
SELECT 1 FROM messages WHERE conversation_id = $1 AND (sequence_number = $2 OR answers = $2)
AND status IN ('queued', 'in_progress')"""
EDIT = "UPDATE messages SET content = $2, edited_at = $3 WHERE message_id = $1"
DELETE_TEXT = """
UPDATE messages SET content = '', citations = NULL, retrieval = NULL, reasoning = NULL, deleted_at = $2
WHERE message_id = $1"""
REASONING = """
SELECT message_id, reasoning FROM messages
WHERE conversation_id = $1 AND sequence_number >= $2 AND sequence_number <= $3 AND reasoning IS NOT NULL"""
DECREMENT_COUNT = "UPDATE conversations SET message_count = message_count - 1 WHERE conversation_id = $1"


def message_of(row: Row) -> Message:
    """Build a message from a row of `COLUMNS`."""
    usage = None if row[10] is None else Usage(row[10], row[11], bool(row[12]))
    return Message(
        message_id=str(row[0]),
        conversation_id=str(row[1]),
        role=Role(row[2]),
        content=row[3],
        sequence_number=row[4],
        status=Status(row[5]),
        created_at=row[6],
        provider=row[7],
        model=row[8],
        finish_reason=None if row[9] is None else FinishReason(row[9]),
        usage=usage,
        citations=[] if row[13] is None else orjson.loads(row[13]),
        grounded=None if row[14] is None else bool(row[14]),
        error=None if row[15] is None else Failure(row[15], row[16]),
        completed_at=row[17],
        edited_at=row[18],
        answers=row[19],
        superseded_by=None if row[20] is None else str(row[20]),
    )


def conversation_exists(owner: str | None, conversation_id: str) -> Transaction[bool]:
    """Return whether the owner (None: any) has this conversation."""
    return (yield from first_row(Statement(CONVERSATION_EXISTS, (conversation_id, owner)))) is not None


def owned_message(owner: str | None, conversation_id: str, message_id: str) -> Transaction[Message | None]:
    """Read a message of an owner (None: any); None if it is deleted or there is none."""
    row = yield from first_row(Statement(MESSAGE, (conversation_id, owner, message_id)))
    return None if row is None else message_of(row)


def message_by_id(message_id: str) -> Transaction[Message | None]:
    """Read a message of any owner, also a deleted one; None if there is none."""
    row = yield from first_row(Statement(MESSAGE_BY_ID, (message_id,)))
    return None if row is None else message_of(row)


def message_by_number(conversation_id: str, sequence_number: int) -> Transaction[Message | None]:
    """Read a message by its sequence number; None if it is deleted or there is none."""
    row = yield from first_row(Statement(MESSAGE_BY_NUMBER, (conversation_id, sequence_number)))
    return None if row is None else message_of(row)


def is_last_reply(reply: Message) -> Transaction[bool]:
    """Return whether a reply is the last in its conversation, apart from regenerated ones that have not superseded it.

    If the last message answers the same question, so do all after the reply: only last replies are regenerated.
    """
    row = yield from first_row(Statement(LAST, (reply.conversation_id,)))
    if row is None:
        return False
    message_id, answers = row
    return str(message_id) == reply.message_id or (answers == reply.answers and reply.superseded_by is None)


def latest(conversation_id: str, limit: int, before: int = NO_UPPER_BOUND) -> Transaction[list[Message]]:
    """List the last messages with a sequence number below `before`, in sequence order."""
    rows = yield Statement(NEWEST_FIRST, (conversation_id, 0, before, limit))
    return [message_of(row) for row in reversed(rows)]


def owned_page(
    owner: str | None, conversation_id: str, after: int, before: int, limit: int, descending: bool
) -> Transaction[list[Message] | None]:
    """List the messages between two sequence numbers, both excluded; None if the owner has no such conversation."""
    if not (yield from conversation_exists(owner, conversation_id)):
        return None
    sql = NEWEST_FIRST if descending else OLDEST_FIRST
    rows = yield Statement(sql, (conversation_id, after, before, limit))
    return [message_of(row) for row in rows]


def lock_conversation(owner: str | None, conversation_id: str) -> Transaction[bool]:
    """Lock a conversation for the rest of the transaction; return False if the owner has no such conversation."""
    return bool((yield Statement(LOCK, (conversation_id, owner), locks=conversation_id)))


def turn_is_unfinished(message: Message) -> Transaction[bool]:
    """Return whether the turn of a message is queued or in progress."""
    values = (message.conversation_id, message.sequence_number)
    return bool((yield Statement(TURN_UNFINISHED, values)))


def reasoning(conversation_id: str, first: int, last: int) -> Transaction[dict[str, str]]:
    """Return the reasoning of the replies between two sequence numbers, both included, by id."""
    rows = yield Statement(REASONING, (conversation_id, first, last))
    return {str(message_id): text for message_id, text in rows}


def edit(message: Message, content: str, now: int) -> Transaction[None]:
    """Replace the text of a message; the conversation has to be locked."""
    yield Statement(EDIT, (message.message_id, content, now))
    yield from summaries.delete_summaries(message.conversation_id, message.sequence_number)


def delete_text(message: Message, now: int) -> Transaction[None]:
    """Delete the text of a message; its row and sequence number stay. The conversation has to be locked."""
    yield Statement(DELETE_TEXT, (message.message_id, now))
    yield Statement(DECREMENT_COUNT, (message.conversation_id,))
    yield from summaries.delete_summaries(message.conversation_id, message.sequence_number)
