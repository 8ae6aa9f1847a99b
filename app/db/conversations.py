from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import documents
from app.db.models import VISIBLE, ConversationRow, DocumentRow, UserRow
from app.db.transaction import Statement, Transaction, first_row
from app.domain.conversations import Conversation, NewConversation
from app.domain.messages import Sampling

INSERT = """
INSERT INTO conversations (conversation_id, owner_id, last_sequence, message_count, title, title_source, mode,
system_prompt, provider, model, temperature, max_tokens, document_ids, metadata, created_at, updated_at)
VALUES ($1, $2, 0, 0, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)"""
TITLE = "SELECT title FROM conversations WHERE conversation_id = $1"
TITLE_SOURCE = "SELECT title_source FROM conversations WHERE conversation_id = $1"
# Only a title made from the first message is replaced: one that the user has set or removed stays.
RETITLE = """
UPDATE conversations SET title = $2, title_source = 'model' WHERE conversation_id = $1 AND title_source = 'message'"""


def awaits_title(conversation_id: str) -> Transaction[bool]:
    """Return True if a conversation still has the title made from its first message."""
    row = yield from first_row(Statement(TITLE_SOURCE, (conversation_id,)))
    return row is not None and row[0] == "message"


def retitle(conversation_id: str, title: str) -> Transaction[None]:
    """Set the title that a model has written."""
    yield Statement(RETITLE, (conversation_id, title), locks=conversation_id)


def title(conversation_id: str) -> Transaction[str | None]:
    """Return a conversation's title; None if it has none or does not exist."""
    row = yield from first_row(Statement(TITLE, (conversation_id,)))
    return None if row is None else row[0]


def insert(conversation_id: str, owner_id: str, new: NewConversation, now: int) -> Transaction[None]:
    """Insert a conversation of the user whose row has this id.

    Raises:
        DocumentNotFound: one of its documents is not the user's.
    """
    yield from documents.require_owned(owner_id, new.document_ids or ())
    sampling = new.sampling
    values = (
        conversation_id,
        owner_id,
        new.title,
        "user" if new.title is not None else None,
        new.mode.value,
        new.system_prompt,
        sampling.provider,
        sampling.model,
        sampling.temperature,
        sampling.max_tokens,
        None if new.document_ids is None else orjson.dumps(new.document_ids).decode(),
        orjson.dumps(new.metadata).decode(),
        now,
    )
    yield Statement(INSERT, values)


def select_owned(owner: str | None) -> Select[ConversationRow, str]:
    """Select conversations with user ids: those of a user, or with None of all users who are not erased."""
    query = select(ConversationRow, UserRow.user_id).join(UserRow, UserRow.id == ConversationRow.owner_id)
    return query.where(owned_by(owner))  # type: ignore[return-value]  # user_id is not NULL here


def owned_by(owner: str | None) -> ColumnElement[bool]:
    """Build the condition for a user's row, or with None for the rows of all users who are not erased."""
    return UserRow.user_id.is_not(None) if owner is None else UserRow.user_id == owner


async def get(
    session: AsyncSession, owner: str | None, conversation_id: str, *, lock: bool = False
) -> Conversation | None:
    """Return a conversation of its owner, or None; with `lock`, locked until the transaction ends."""
    query = select_owned(owner).where(ConversationRow.conversation_id == conversation_id)
    if lock:
        query = query.with_for_update(of=ConversationRow)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else conversation_of(row[0], row[1])


async def page(
    session: AsyncSession, owner: str, mode: str | None, after: tuple[int, str] | None, limit: int
) -> list[Conversation]:
    """List a user's conversations by descending `updated_at` and id, those after a position of both."""
    # By the id of the owner's row and not by a join: PostgreSQL would sort all of the user's conversations.
    owner_id = select(UserRow.id).where(UserRow.user_id == owner).scalar_subquery()
    query = select(ConversationRow).where(ConversationRow.owner_id == owner_id)
    if mode is not None:
        query = query.where(ConversationRow.mode == mode)
    if after is not None:
        query = query.where(comes_after(*after))
    order = (ConversationRow.updated_at.desc(), ConversationRow.conversation_id.desc())
    rows = await session.scalars(query.order_by(*order).limit(limit))
    return [conversation_of(row, owner) for row in rows]


def comes_after(updated_at: int, conversation_id: str) -> ColumnElement[bool]:
    """Build the condition for rows after a position in descending order, in a form that an index can seek to."""
    return and_(
        ConversationRow.updated_at <= updated_at,
        or_(
            ConversationRow.updated_at < updated_at,
            ConversationRow.conversation_id < conversation_id,
        ),
    )


async def has_documents(session: AsyncSession, user_id: str, document_ids: Sequence[str]) -> bool:
    """Return True if these documents all exist and are the user's."""
    wanted = set(document_ids)
    query = (
        select(func.count())
        .select_from(DocumentRow)
        .join(UserRow, UserRow.id == DocumentRow.owner_id)
        .where(UserRow.user_id == user_id, DocumentRow.document_id.in_(wanted), VISIBLE)
    )
    return not wanted or await session.scalar(query) == len(wanted)


async def update(session: AsyncSession, conversation_id: str, values: dict[str, Any]) -> None:
    """Set columns by their attributes' names."""
    row = await session.get_one(ConversationRow, conversation_id)
    for name, value in values.items():
        setattr(row, name, value)
    await session.flush()


async def remove(session: AsyncSession, owner: str | None, conversation_id: str) -> bool:
    """Delete a conversation with its messages; return False if the owner has no such conversation."""
    query = (
        delete(ConversationRow)
        .where(ConversationRow.conversation_id == conversation_id)
        .where(ConversationRow.owner_id.in_(select(UserRow.id).where(owned_by(owner))))
        .returning(ConversationRow.conversation_id)
    )
    return (await session.execute(query)).one_or_none() is not None


def conversation_of(row: ConversationRow, user_id: str) -> Conversation:
    return Conversation(
        conversation_id=row.conversation_id,
        user_id=user_id,
        title=row.title,
        title_source=row.title_source,
        mode=row.mode,
        system_prompt=row.system_prompt,
        sampling=Sampling(row.provider, row.model, row.temperature, row.max_tokens),
        document_ids=row.document_ids,
        metadata=row.meta,
        message_count=row.message_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
