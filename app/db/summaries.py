"""Summaries of the earlier messages of conversations: immutable rows, so that a prompt record can name its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.db.transaction import Row, Statement, Transaction, first_row
from app.domain.citations import without_marks
from app.domain.messages import NO_UPPER_BOUND
from app.domain.turns import HistoryMessage, Summary

LATEST = """
SELECT c.system_prompt, c.revision, c.owner_id, s.summary_id, s.last_sequence, s.content
FROM conversations c LEFT JOIN summaries s ON s.summary_id = (
SELECT l.summary_id FROM summaries l WHERE l.conversation_id = c.conversation_id AND l.last_sequence < $2
ORDER BY l.last_sequence DESC LIMIT 1)
WHERE c.conversation_id = $1"""
BY_ID = "SELECT summary_id, last_sequence, content FROM summaries WHERE summary_id = $1"
NEXT = """
SELECT sequence_number, content, answers, grounded IS NOT NULL FROM messages
WHERE conversation_id = $1 AND sequence_number > $2 AND sequence_number <= $3 AND content <> ''
AND deleted_at IS NULL AND superseded_by IS NULL ORDER BY sequence_number LIMIT $4"""
LOCK_REVISION = """
UPDATE conversations SET revision = revision WHERE conversation_id = $1 AND revision = $2 RETURNING 1"""
INSERT = """
INSERT INTO summaries (summary_id, conversation_id, last_sequence, content, created_at)
SELECT $1, c.conversation_id, $3, $4, $5 FROM conversations c WHERE c.conversation_id = $2 AND NOT EXISTS (
SELECT 1 FROM summaries s WHERE s.conversation_id = $2 AND s.last_sequence >= $3)"""
BUMP_REVISION = "UPDATE conversations SET revision = revision + 1 WHERE conversation_id = $1"
DELETE = "DELETE FROM summaries WHERE conversation_id = $1 AND last_sequence >= $2"


class SummaryState(NamedTuple):
    """A conversation with its latest summary."""

    system_prompt: str | None
    revision: int
    """Counter of changes to existing messages."""
    owner_id: str
    summary: Summary | None


def summary_state(conversation_id: str, before: int = NO_UPPER_BOUND) -> Transaction[SummaryState | None]:
    """Read a conversation with its latest summary of messages before a sequence number; None where it was deleted."""
    row = yield from first_row(Statement(LATEST, (conversation_id, before)))
    if row is None:
        return None
    summary = None if row[3] is None else Summary(str(row[3]), row[4], row[5])
    return SummaryState(row[0], row[1], str(row[2]), summary)


def summary_by_id(summary_id: str) -> Transaction[Summary | None]:
    """Read a summary; None where it was deleted."""
    row = yield from first_row(Statement(BY_ID, (summary_id,)))
    return None if row is None else Summary(str(row[0]), row[1], row[2])


def messages_between(conversation_id: str, after: int, up_to: int, limit: int) -> Transaction[list[HistoryMessage]]:
    """Read at most `limit` messages with text after one sequence number and up to another, in order."""
    rows = yield Statement(NEXT, (conversation_id, after, up_to, limit))
    return history_messages(rows)


def history_messages(rows: Sequence[Row]) -> list[HistoryMessage]:
    """Build history messages without the citation marks of grounded replies.

    Args:
        rows: Sequence number, content, answered sequence number, and whether the reply is from a rag conversation.
    """
    return [HistoryMessage(row[0], without_marks(row[1]) if row[3] else row[1], row[2]) for row in rows]


def insert_summary(conversation_id: str, revision: int, summary: Summary, now: int) -> Transaction[bool]:
    """Insert a summary, unless one that reaches as far exists; False where a message has changed since `revision`."""
    if not (yield Statement(LOCK_REVISION, (conversation_id, revision), locks=conversation_id)):
        return False
    yield Statement(INSERT, (summary.summary_id, conversation_id, summary.last, summary.content, now))
    return True


def delete_summaries(conversation_id: str, sequence_number: int) -> Transaction[None]:
    """Delete the summaries that cover a changed message, and invalidate those being written.

    The conversation is locked by the caller.
    """
    yield Statement(BUMP_REVISION, (conversation_id,))
    yield Statement(DELETE, (conversation_id, sequence_number))
