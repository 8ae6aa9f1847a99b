"""Queries that accept a turn: locking its conversation, allocating sequence numbers, inserting its messages."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.db.messages import OWNED
from app.db.transaction import Statement, Transaction, first_row
from app.db.turns import REQUEST_CANCEL
from app.domain.messages import Message, Sampling, Status
from app.domain.turns import AcceptedTurn

ALLOCATE = f"""
UPDATE conversations SET last_sequence = last_sequence + $5, message_count = message_count + $5,
updated_at = CASE WHEN updated_at < $3 THEN $3 ELSE updated_at END,
title_source = CASE WHEN title IS NULL AND CAST($4 AS TEXT) IS NOT NULL THEN 'message' ELSE title_source END,
title = COALESCE(title, $4)
WHERE conversation_id = $1 AND {OWNED}
RETURNING last_sequence, title, system_prompt, provider, model, temperature, max_tokens, mode,
CAST(document_ids AS TEXT), owner_id,
EXISTS (SELECT 1 FROM summaries s WHERE s.conversation_id = conversations.conversation_id)"""
UNFINISHED = """
SELECT message_id FROM messages WHERE conversation_id = $1 AND status IN ('queued', 'in_progress')
ORDER BY sequence_number"""
# The first condition on the status is the one of the partial index.
CANCEL_QUEUED = """
UPDATE messages SET status = 'cancelled', completed_at = $2
WHERE conversation_id = $1 AND status IN ('queued', 'in_progress') AND status = 'queued'
RETURNING message_id, process_id"""
INTO = """
INSERT INTO messages (message_id, conversation_id, sequence_number, role, content, status, answers, process_id,
provider, model, temperature, max_tokens, mode, document_ids, retrieval_mode, grounded, created_at, started_at,
completed_at) VALUES"""
REPLY = "($1, $2, $3, 'assistant', '', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, NULL)"
QUESTION = """
($17, $2, $5, 'user', $18, 'completed', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, $15, NULL, $15)"""
INSERT_REPLY = f"{INTO} {REPLY}"
INSERT_TURN = f"{INTO} {QUESTION}, {REPLY}"
OWNER_OF_CONVERSATION = f"SELECT owner_id FROM conversations WHERE conversation_id = $1 AND {OWNED}"


class LockedConversation(NamedTuple):
    """A conversation that is locked for the rest of the transaction."""

    last_sequence: int
    """The last of the sequence numbers that were allocated."""
    title: str | None
    system_prompt: str | None
    sampling: Sampling
    mode: str
    document_ids: str | None
    """JSON."""
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
    row = yield from first_row(Statement(ALLOCATE, (conversation_id, owner, now, title, count), locks=conversation_id))
    if row is None:
        return None
    last_sequence, title, system_prompt, *sampling, mode, document_ids, owner_id, summarised = row
    return LockedConversation(
        last_sequence, title, system_prompt, Sampling(*sampling), mode, document_ids, str(owner_id), bool(summarised)
    )


def unfinished_replies(conversation_id: str) -> Transaction[list[str]]:
    """List the ids of the queued and running replies of a conversation, in sequence order."""
    return [str(row[0]) for row in (yield Statement(UNFINISHED, (conversation_id,)))]


def cancel_queued(conversation_id: str, now: int) -> Transaction[list[CancelledReply]]:
    """Cancel the queued replies of a locked conversation."""
    rows = yield Statement(CANCEL_QUEUED, (conversation_id, now))
    return [CancelledReply(str(message_id), process_id and str(process_id)) for message_id, process_id in rows]


def request_cancellation(conversation_id: str, now: int) -> Transaction[list[str]]:
    """Request the end of the running reply of a conversation; return the ids, at most one."""
    return [str(row[0]) for row in (yield Statement(REQUEST_CANCEL, (conversation_id, now)))]


def insert_turn(turn: AcceptedTurn, conversation: LockedConversation, process_id: str) -> Transaction[None]:
    """Insert the question and the empty reply of a turn."""
    values = reply_values(turn, conversation, process_id)
    yield Statement(INSERT_TURN, (*values, turn.question.message_id, turn.question.content))


def insert_reply(turn: AcceptedTurn, conversation: LockedConversation, process_id: str) -> Transaction[None]:
    """Insert the empty reply of a turn whose question is stored already."""
    yield Statement(INSERT_REPLY, reply_values(turn, conversation, process_id))


def reply_values(turn: AcceptedTurn, conversation: LockedConversation, process_id: str) -> tuple[Any, ...]:
    """Return the columns of a reply, in the order of `REPLY`."""
    reply, resolved = turn.reply, turn.resolved
    return (
        reply.message_id,
        reply.conversation_id,
        reply.sequence_number,
        reply.status,
        turn.question.sequence_number,
        process_id,
        resolved.provider,
        resolved.model,
        resolved.temperature,
        resolved.max_tokens,
        conversation.mode,
        conversation.document_ids,
        turn.retrieval_request and turn.retrieval_request.mode,
        reply.grounded,
        reply.created_at,
        started_at(reply),
    )


def started_at(reply: Message) -> int | None:
    return reply.created_at if reply.status is Status.IN_PROGRESS else None


def owner_of_conversation(owner: str | None, conversation_id: str) -> Transaction[str | None]:
    """Return the id of the row of a conversation's user; None if the owner has no such conversation."""
    row = yield from first_row(Statement(OWNER_OF_CONVERSATION, (conversation_id, owner)))
    return None if row is None else str(row[0])
