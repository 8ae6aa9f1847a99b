"""The conditions that statements share, each written once: whose a row is, and what state it is in."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, not_, or_, select, true, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from app.db.expressions import NOW, parameter
from app.db.models import (
    UNFINISHED_STATUSES,
    VISIBLE_STATUSES,
    ChunkRow,
    ChunkVectorRow,
    ConversationRow,
    DocumentRow,
    MessageRow,
    ProcessRow,
    UserRow,
)
from app.domain.documents import DocumentStatus

MessageTable: TypeAlias = type[MessageRow]
Worked: TypeAlias = type[MessageRow] | type[DocumentRow]
"""Tables whose rows a process works on."""

OWNER = UserRow.user_id == func.coalesce(parameter(UserRow.user_id, "owner"), UserRow.user_id)
"""The user's row is that of the user `owner`, or, where that is None, of any user who is not erased."""
OWNER_ROW_ID = select(UserRow.id).where(UserRow.user_id == bindparam("owner")).scalar_subquery()
"""Id of the row of the user `owner`; with a join in its place PostgreSQL would sort all rows of the user."""


def owned_by_caller(table: type[ConversationRow] | type[DocumentRow]) -> ColumnElement[bool]:
    """Build the condition that a row belongs to the user `owner`; None is any user who is not erased."""
    return table.owner_id.in_(select(UserRow.id).where(OWNER))


def unfinished(message: MessageTable = MessageRow) -> ColumnElement[bool]:
    """Build the condition that a reply is queued or in progress; that of the index `ix_messages_unfinished`."""
    return message.status.in_(UNFINISHED_STATUSES)


def readable(message: MessageTable = MessageRow) -> ColumnElement[bool]:
    """Build the condition that a message is part of a history: it has text, and is neither deleted nor superseded."""
    return and_(message.content != "", message.deleted_at.is_(None), message.superseded_by.is_(None))


def visible(document: type[DocumentRow] = DocumentRow) -> ColumnElement[bool]:
    """Build the condition that callers see a document: neither while it is uploaded nor once it is deleted."""
    return document.status.in_(VISIBLE_STATUSES)


def claimed(status: DocumentStatus) -> ColumnElement[bool]:
    """Build the condition that the process `holder` works on the document `document_id`, in its attempt `attempt`."""
    return and_(
        DocumentRow.document_id == bindparam("document_id"),
        DocumentRow.process_id == bindparam("holder"),
        DocumentRow.attempt == bindparam("attempt"),
        DocumentRow.status == status,
    )


def current(chunk: type[ChunkRow]) -> ColumnElement[bool]:
    """Build the condition that a chunk, joined with its document, is of the current generation of a ready one."""
    return and_(DocumentRow.status == DocumentStatus.READY, DocumentRow.generation == chunk.generation)


def searchable(chunk: type[ChunkRow] | type[ChunkVectorRow]) -> ColumnElement[bool]:
    """Build the condition that a chunk is of the current generation of a ready document of the user `owner_id`.

    Not a join: before PostgreSQL has statistics of new tables, it would join each chunk with each document.
    """
    generation = select(DocumentRow.generation).where(
        DocumentRow.document_id == chunk.document_id,
        DocumentRow.owner_id == parameter(DocumentRow.owner_id),
        DocumentRow.status == DocumentStatus.READY,
    )
    return chunk.generation == generation.scalar_subquery()


def is_of(documents: Select[str, int], chunk: type[ChunkRow] | type[ChunkVectorRow]) -> ColumnElement[bool]:
    """Build the condition that a chunk is of one of these documents, each selected with its generation.

    PostgreSQL reads them once into a hash table, where `searchable` would query the document of each of very many
    chunks. Without IS TRUE it would plan a join.
    """
    return tuple_(chunk.document_id, chunk.generation).in_(documents).is_(true())


def lease_is_live(process_id: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """Build the condition that a process holds its lease."""
    live = select(ProcessRow.process_id).where(ProcessRow.process_id == process_id, ProcessRow.expires_at > NOW)
    return live.exists()


def stalled(row: Worked) -> ColumnElement[bool]:
    """Build the condition that no living process works on a row, as the process `observer` sees it.

    Its own rows are never stalled: its tasks are more reliable than a clock. While its own lease is over no row is
    stalled: what ended that lease (an outage, a suspended host, a clock that was set) may have ended all others.
    """
    observer = parameter(ProcessRow.process_id, "observer")
    return and_(
        or_(row.process_id.is_(None), row.process_id != observer),
        not_(lease_is_live(row.process_id)),
        lease_is_live(observer),
    )
