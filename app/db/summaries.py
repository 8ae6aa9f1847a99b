"""Summaries of the earlier messages of conversations: immutable rows, so that a prompt record can name its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import aliased

from app.db.expressions import insert_rows_of, parameter
from app.db.models import ConversationRow, MessageRow, SummaryRow
from app.db.predicates import readable
from app.db.transaction import Row, Transaction, execute, fetch_one
from app.domain.citations import without_marks
from app.domain.messages import NO_UPPER_BOUND
from app.domain.turns import HistoryMessage, Summary

BY_CONVERSATION = ConversationRow.conversation_id == bindparam("conversation_id")
OF_CONVERSATION = SummaryRow.conversation_id == bindparam("conversation_id")
Latest = aliased(SummaryRow)
LATEST_ID = (
    select(Latest.summary_id)
    .where(Latest.conversation_id == ConversationRow.conversation_id, Latest.last_sequence < bindparam("before"))
    .order_by(Latest.last_sequence.desc())
    .limit(1)
    .scalar_subquery()
)
LATEST = (
    select(
        ConversationRow.system_prompt,
        ConversationRow.revision,
        ConversationRow.owner_id,
        SummaryRow.summary_id,
        SummaryRow.last_sequence,
        SummaryRow.content,
    )
    .join(SummaryRow, SummaryRow.summary_id == LATEST_ID, isouter=True)
    .where(BY_CONVERSATION)
)
BY_ID = select(SummaryRow.summary_id, SummaryRow.last_sequence, SummaryRow.content).where(
    SummaryRow.summary_id == bindparam("summary_id")
)
HISTORY_COLUMNS = (
    MessageRow.sequence_number,
    MessageRow.content,
    MessageRow.answers,
    MessageRow.grounded.is_not(None).label("of_rag"),
)
NEXT = (
    select(*HISTORY_COLUMNS)
    .where(
        MessageRow.conversation_id == bindparam("conversation_id"),
        MessageRow.sequence_number > bindparam("after"),
        MessageRow.sequence_number <= bindparam("up_to"),
        readable(),
    )
    .order_by(MessageRow.sequence_number)
    .limit(bindparam("limit"))
)
LOCK_REVISION = (
    update(ConversationRow)
    .where(BY_CONVERSATION, ConversationRow.revision == bindparam("read_revision"))
    .values(revision=ConversationRow.revision)
    .returning(ConversationRow.conversation_id)
)
INSERT = insert_rows_of(
    SummaryRow,
    select(
        parameter(SummaryRow.summary_id).label("summary_id"),
        ConversationRow.conversation_id,
        parameter(SummaryRow.last_sequence).label("last_sequence"),
        parameter(SummaryRow.content).label("content"),
        parameter(SummaryRow.created_at).label("created_at"),
    ).where(
        BY_CONVERSATION,
        ~select(SummaryRow.summary_id)
        .where(OF_CONVERSATION, SummaryRow.last_sequence >= bindparam("last_sequence"))
        .exists(),
    ),
)
BUMP_REVISION = update(ConversationRow).where(BY_CONVERSATION).values(revision=ConversationRow.revision + 1)
DELETE = delete(SummaryRow).where(OF_CONVERSATION, SummaryRow.last_sequence >= bindparam("sequence_number"))


class SummaryState(NamedTuple):
    """A conversation with its latest summary."""

    system_prompt: str | None
    revision: int
    """Counter of changes to existing messages."""
    owner_id: str
    summary: Summary | None


def summary_state(conversation_id: str, before: int = NO_UPPER_BOUND) -> Transaction[SummaryState | None]:
    """Read a conversation with its latest summary of messages before a sequence number; None where it was deleted."""
    row = yield from fetch_one(LATEST, conversation_id=conversation_id, before=before)
    if row is None:
        return None
    summary = None if row.summary_id is None else Summary(row.summary_id, row.last_sequence, row.content)
    return SummaryState(row.system_prompt, row.revision, row.owner_id, summary)


def summary_by_id(summary_id: str) -> Transaction[Summary | None]:
    """Read a summary; None where it was deleted."""
    row = yield from fetch_one(BY_ID, summary_id=summary_id)
    return None if row is None else Summary(*row)


def messages_between(conversation_id: str, after: int, up_to: int, limit: int) -> Transaction[list[HistoryMessage]]:
    """Read at most `limit` messages with text after one sequence number and up to another, in order."""
    rows = yield from execute(NEXT, conversation_id=conversation_id, after=after, up_to=up_to, limit=limit)
    return history_messages(rows)


def history_messages(rows: Sequence[Row]) -> list[HistoryMessage]:
    """Build history messages from rows of `HISTORY_COLUMNS`, without the citation marks of grounded replies."""
    return [
        HistoryMessage(number, without_marks(content) if of_rag else content, answers)
        for number, content, answers, of_rag in rows
    ]


def insert_summary(conversation_id: str, revision: int, summary: Summary, now: int) -> Transaction[bool]:
    """Insert a summary, unless one that reaches as far exists; False where a message has changed since `revision`."""
    locked = yield from execute(
        LOCK_REVISION, conversation_id=conversation_id, read_revision=revision, locks=conversation_id
    )
    if not locked:
        return False
    yield from execute(
        INSERT,
        summary_id=summary.summary_id,
        conversation_id=conversation_id,
        last_sequence=summary.last,
        content=summary.content,
        created_at=now,
    )
    return True


def delete_summaries(conversation_id: str, sequence_number: int) -> Transaction[None]:
    """Delete the summaries that cover a changed message, and invalidate those being written.

    The conversation is locked by the caller.
    """
    yield from execute(BUMP_REVISION, conversation_id=conversation_id)
    yield from execute(DELETE, conversation_id=conversation_id, sequence_number=sequence_number)
