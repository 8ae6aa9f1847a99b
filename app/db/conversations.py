from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import documents
from app.db.expressions import columns_of, insert_into, parameter
from app.db.models import ConversationRow, UserRow
from app.db.predicates import OWNER, OWNER_ROW_ID, owned_by_caller
from app.db.transaction import Row, Transaction, execute, fetch_one, fetch_value
from app.domain.conversations import Conversation, NewConversation, TitleSource
from app.domain.messages import Sampling

BY_ID = ConversationRow.conversation_id == bindparam("conversation_id")
INSERT = insert_into(ConversationRow)
TITLE = select(ConversationRow.title).where(BY_ID)
TITLE_SOURCE = select(ConversationRow.title_source).where(BY_ID)
# Only a title made from the first message is replaced: one that the user has set or removed stays.
RETITLE = (
    update(ConversationRow)
    .where(BY_ID, ConversationRow.title_source == TitleSource.MESSAGE)
    .values(title=bindparam("title"), title_source=TitleSource.MODEL)
)
GET = (
    select(*columns_of(ConversationRow), UserRow.user_id)
    .join(UserRow, UserRow.id == ConversationRow.owner_id)
    .where(BY_ID, OWNER)
)
LOCKED = (
    select(ConversationRow, UserRow.user_id)
    .join(UserRow, UserRow.id == ConversationRow.owner_id)
    .where(BY_ID, OWNER)
    .with_for_update(of=ConversationRow)
)
DELETE = (
    delete(ConversationRow).where(BY_ID, owned_by_caller(ConversationRow)).returning(ConversationRow.conversation_id)
)


def page_query(*, of_mode: bool, after_position: bool) -> Select[Any]:
    """Select a page of a user's conversations, of one mode or of both, from the start or after a position."""
    query = select(*columns_of(ConversationRow)).where(ConversationRow.owner_id == OWNER_ROW_ID)
    if of_mode:
        query = query.where(ConversationRow.mode == bindparam("mode"))
    if after_position:  # in a form that an index can seek to
        updated_at = parameter(ConversationRow.updated_at)
        earlier = or_(
            ConversationRow.updated_at < updated_at,
            ConversationRow.conversation_id < bindparam("conversation_id"),
        )
        query = query.where(and_(ConversationRow.updated_at <= updated_at, earlier))
    order = (ConversationRow.updated_at.desc(), ConversationRow.conversation_id.desc())
    return query.order_by(*order).limit(bindparam("limit"))


PAGES = {
    (of_mode, after_position): page_query(of_mode=of_mode, after_position=after_position)
    for of_mode in (False, True)
    for after_position in (False, True)
}


def awaits_title(conversation_id: str) -> Transaction[bool]:
    """Return True if a conversation still has the title made from its first message."""
    return (yield from fetch_value(TITLE_SOURCE, conversation_id=conversation_id)) == TitleSource.MESSAGE


def retitle(conversation_id: str, title: str) -> Transaction[None]:
    """Set the title that a model has written."""
    yield from execute(RETITLE, conversation_id=conversation_id, title=title, locks=conversation_id)


def title(conversation_id: str) -> Transaction[str | None]:
    """Return a conversation's title; None if it has none or does not exist."""
    return (yield from fetch_value(TITLE, conversation_id=conversation_id))


def insert(conversation_id: str, owner_id: str, new: NewConversation, now: int) -> Transaction[None]:
    """Insert a conversation of the user whose row has this id.

    Raises:
        DocumentNotFound: one of its documents is not the user's.
    """
    yield from documents.require_owned(owner_id, new.document_ids or ())
    yield from execute(
        INSERT,
        conversation_id=conversation_id,
        owner_id=owner_id,
        last_sequence=0,
        revision=0,
        message_count=0,
        title=new.title,
        title_source=None if new.title is None else TitleSource.USER,
        mode=new.mode,
        system_prompt=new.system_prompt,
        provider=new.sampling.provider,
        model=new.sampling.model,
        temperature=new.sampling.temperature,
        max_tokens=new.sampling.max_tokens,
        document_ids=new.document_ids,
        meta=new.metadata,
        created_at=now,
        updated_at=now,
    )


def get(owner: str | None, conversation_id: str) -> Transaction[Conversation | None]:
    """Return a conversation of its owner (None: any), or None."""
    row = yield from fetch_one(GET, owner=owner, conversation_id=conversation_id)
    return None if row is None else conversation_of(row, row.user_id)


def page(owner: str, mode: str | None, after: tuple[int, str] | None, limit: int) -> Transaction[list[Conversation]]:
    """List a user's conversations by descending `updated_at` and id, those after a position of both."""
    values: dict[str, Any] = {"owner": owner, "limit": limit}
    if mode is not None:
        values["mode"] = mode
    if after is not None:
        values["updated_at"], values["conversation_id"] = after
    rows = yield from execute(PAGES[mode is not None, after is not None], **values)
    return [conversation_of(row, owner) for row in rows]


async def locked(session: AsyncSession, owner: str | None, conversation_id: str) -> tuple[ConversationRow, str] | None:
    """Lock a conversation of its owner (None: any) until the session ends; return its row with the user's id."""
    found = await session.execute(LOCKED, {"owner": owner, "conversation_id": conversation_id})
    row = found.one_or_none()
    return None if row is None else (row[0], str(row[1]))


def change(row: ConversationRow, values: Mapping[str, Any]) -> None:
    """Set columns by the domain's names; `metadata` has another in the row, where SQLAlchemy uses it."""
    for name, value in values.items():
        setattr(row, "meta" if name == "metadata" else name, value)


async def remove(session: AsyncSession, owner: str | None, conversation_id: str) -> bool:
    """Delete a conversation with its messages; return False if the owner has no such conversation."""
    deleted = await session.execute(DELETE, {"owner": owner, "conversation_id": conversation_id})
    return deleted.one_or_none() is not None


def conversation_of(row: ConversationRow | Row, user_id: str) -> Conversation:
    """Build a conversation from its row: the mapped entity, or the columns of `GET`."""
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
