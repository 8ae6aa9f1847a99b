"""Invariants of docs/architecture.md, as queries for the rows that break them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, Text, func, not_, or_, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import aliased

from app.db.checks import documents
from app.db.database import Kind
from app.db.models import AttemptRow, ConversationRow, MessageRow, SummaryRow, UserRow
from app.db.predicates import lease_is_live, unfinished
from app.db.transaction import Transaction, execute
from app.domain.messages import WHITE_SPACE, Role, Status

Owned: TypeAlias = type[AttemptRow] | type[ConversationRow]
IDS = select(ConversationRow.conversation_id)
MESSAGE_IDS = select(MessageRow.message_id)
MESSAGES = MessageRow.conversation_id == ConversationRow.conversation_id
REPLY = MessageRow.role == Role.ASSISTANT
LATER = aliased(MessageRow)


def has_text(message: type[MessageRow]) -> ColumnElement[bool]:
    """Build the condition that a message has more than white space."""
    return func.trim(message.content, WHITE_SPACE) != ""


def has_owner(row: Owned) -> ColumnElement[bool]:
    """Build the condition that a row's user exists."""
    return select(UserRow.id).where(UserRow.id == row.owner_id).exists()


CHECKS: Mapping[str, Select[Any]] = {
    "conversation {} has gaps or duplicates in its sequence numbers": (
        IDS.outerjoin(MessageRow, MESSAGES)
        .group_by(ConversationRow.conversation_id, ConversationRow.last_sequence)
        .having(
            or_(
                func.count(MessageRow.message_id) != ConversationRow.last_sequence,
                func.coalesce(func.max(MessageRow.sequence_number), 0) != ConversationRow.last_sequence,
            )
        )
    ),
    "conversation {} has a wrong message_count": (
        IDS.outerjoin(MessageRow, MESSAGES & MessageRow.deleted_at.is_(None))
        .group_by(ConversationRow.conversation_id, ConversationRow.message_count)
        .having(func.count(MessageRow.message_id) != ConversationRow.message_count)
    ),
    "conversation {} has more than one turn in progress": (
        select(MessageRow.conversation_id)
        .where(MessageRow.status == Status.IN_PROGRESS)
        .group_by(MessageRow.conversation_id)
        .having(func.count() > 1)
    ),
    "message {} is completed without a finish reason": MESSAGE_IDS.where(
        REPLY, MessageRow.status == Status.COMPLETED, MessageRow.finish_reason.is_(None)
    ),
    "message {} has ended without completed_at": MESSAGE_IDS.where(
        not_(unfinished()), MessageRow.completed_at.is_(None)
    ),
    "message {} is not superseded by a later reply with text to the same question": MESSAGE_IDS.where(
        MessageRow.superseded_by.is_not(None),
        ~select(LATER.message_id)
        .where(
            LATER.message_id == MessageRow.superseded_by,
            LATER.conversation_id == MessageRow.conversation_id,
            LATER.answers == MessageRow.answers,
            LATER.sequence_number > MessageRow.sequence_number,
            not_(unfinished(LATER)),
            or_(LATER.deleted_at.is_not(None), has_text(LATER)),
        )
        .exists(),
    ),
    # As text: PostgreSQL before 18 has no least UUID.
    "message {} is one of several replies to a question of which none is superseded": (
        select(func.min(sql_cast(MessageRow.message_id, Text)).label("message_id"))
        .where(
            REPLY,
            not_(unfinished()),
            MessageRow.deleted_at.is_(None),
            MessageRow.superseded_by.is_(None),
            has_text(MessageRow),
        )
        .group_by(MessageRow.conversation_id, MessageRow.answers)
        .having(func.count() > 1)
    ),
    "message {} is unfinished and its process has no lease": MESSAGE_IDS.where(
        unfinished(), not_(lease_is_live(MessageRow.process_id))
    ),
    "message {} belongs to no conversation": MESSAGE_IDS.where(
        ~select(ConversationRow.conversation_id).where(MESSAGES).exists()
    ),
    "summary {} covers messages that do not exist": (
        select(SummaryRow.summary_id)
        .outerjoin(ConversationRow, ConversationRow.conversation_id == SummaryRow.conversation_id)
        .where(
            or_(
                ConversationRow.conversation_id.is_(None),
                SummaryRow.last_sequence > ConversationRow.last_sequence,
            )
        )
    ),
    "attempt {} belongs to no user": select(AttemptRow.attempt_id).where(not_(has_owner(AttemptRow))),
    "conversation {} belongs to no user": IDS.where(not_(has_owner(ConversationRow))),
}


def findings(kind: Kind) -> Transaction[list[str]]:
    """Return a sentence for each row that breaks an invariant, those of documents included."""
    found = []
    document_checks = yield from documents.check_queries(kind)
    for sentence, query in {**CHECKS, **document_checks}.items():
        found += [sentence.format(row_id) for (row_id,) in (yield from execute(query))]
    return found
