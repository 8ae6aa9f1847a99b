"""Summaries of the earlier messages of conversations: rows that never change, so that a reply can name its own."""

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
AS_READ = """
UPDATE conversations SET revision = revision WHERE conversation_id = $1 AND revision = $2 RETURNING 1"""
INSERT = """
INSERT INTO summaries (summary_id, conversation_id, last_sequence, content, created_at)
SELECT $1, c.conversation_id, $3, $4, $5 FROM conversations c WHERE c.conversation_id = $2 AND NOT EXISTS (
SELECT 1 FROM summaries s WHERE s.conversation_id = $2 AND s.last_sequence >= $3)"""
REVISE = "UPDATE conversations SET revision = revision + 1 WHERE conversation_id = $1"
DROP = "DELETE FROM summaries WHERE conversation_id = $1 AND last_sequence >= $2"


class State(NamedTuple):
    """A conversation, as far as its summary goes."""

    system_prompt: str | None
    revision: int
    """Counts the changes to messages that were there already."""
    owner_id: str
    summary: Summary | None


def state(conversation_id: str, before: int = NO_UPPER_BOUND) -> Transaction[State | None]:
    """A conversation with its latest summary that covers nothing from a sequence number on; None when it is gone."""
    row = yield from first_row(Statement(LATEST, (conversation_id, before)))
    if row is None:
        return None
    summary = None if row[3] is None else Summary(str(row[3]), row[4], row[5])
    return State(row[0], row[1], str(row[2]), summary)


def summary_by_id(summary_id: str) -> Transaction[Summary | None]:
    """A summary, unless it was dropped since."""
    row = yield from first_row(Statement(BY_ID, (summary_id,)))
    return None if row is None else Summary(str(row[0]), row[1], row[2])


def following(conversation_id: str, after: int, to: int, limit: int) -> Transaction[list[HistoryMessage]]:
    """Messages behind a sequence number up to another, in order."""
    rows = yield Statement(NEXT, (conversation_id, after, to, limit))
    return told_messages(rows)


def told_messages(rows: Sequence[Row]) -> list[HistoryMessage]:
    """Messages as models are told them: without the marks by which earlier replies cited passages of their own."""
    return [(row[0], without_marks(row[1]) if row[3] else row[1], row[2]) for row in rows]


def store(conversation_id: str, revision: int, summary: Summary, now: int) -> Transaction[bool]:
    """Keeps a summary; not where a message has changed since it was read, or another was quicker."""
    if not (yield Statement(AS_READ, (conversation_id, revision), locks=conversation_id)):
        return False
    yield Statement(INSERT, (summary.summary_id, conversation_id, summary.last, summary.content, now))
    return True


def forget(conversation_id: str, sequence_number: int) -> Transaction[None]:
    """Drops the summaries that cover a message which changes, and those in the making; the conversation is locked."""
    yield Statement(REVISE, (conversation_id,))
    yield Statement(DROP, (conversation_id, sequence_number))
