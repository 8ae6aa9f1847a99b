from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.expressions import insert_into, is_among
from app.db.models import AttemptRow, ConversationRow, MessageRow, UserRow
from app.db.transaction import Transaction, execute, fetch_value
from app.domain.users import User

BY_USER_ID = UserRow.user_id == bindparam("user_id")
INSERT = (
    insert_into(UserRow, documents_version=0)
    .on_conflict_do_nothing(index_elements=[UserRow.user_id])
    .returning(UserRow.id)
)
ROW_ID = select(UserRow.id).where(BY_USER_ID)
GET = select(UserRow).where(BY_USER_ID)
TO_RENAME = GET.with_for_update(key_share=True)  # FOR NO KEY UPDATE: the user's turns are not delayed
TO_ERASE = GET.with_for_update()
ERASED = select(UserRow.id).where(UserRow.user_id.is_(None))
CONVERSATIONS = (
    select(ConversationRow.conversation_id, ConversationRow.last_sequence)
    .where(ConversationRow.owner_id == bindparam("owner_id"))
    .limit(100)
    .with_for_update()
)
DELETE_CONVERSATIONS = delete(ConversationRow).where(is_among(ConversationRow.conversation_id, "conversation_ids"))
DELETE_MESSAGES_AFTER = delete(MessageRow).where(
    MessageRow.conversation_id == bindparam("conversation_id"),
    MessageRow.sequence_number > bindparam("last_sequence"),
)
DELETE_ATTEMPTS = (
    delete(AttemptRow)
    .where(
        AttemptRow.attempt_id.in_(
            select(AttemptRow.attempt_id).where(AttemptRow.owner_id == bindparam("owner_id")).limit(bindparam("limit"))
        )
    )
    .returning(AttemptRow.attempt_id)
)
DELETE = delete(UserRow).where(UserRow.id == bindparam("row_id"))


def ensure(user_id: str, row_id: str, now: int, name: str | None = None) -> Transaction[tuple[str, bool]]:
    """Insert a user's row if there is none; return the row's id, and True if it was inserted."""
    if (yield from execute(INSERT, id=row_id, user_id=user_id, name=name, created_at=now)):
        return row_id, True
    existing = yield from fetch_value(ROW_ID, user_id=user_id)
    if existing is None:  # erased between the two statements
        return (yield from ensure(user_id, row_id, now, name))
    return existing, False


def row_id_of(user_id: str | None) -> Transaction[str | None]:
    """Return the id of a user's row; None for a user without a row, and for no user (None)."""
    return (yield from fetch_value(ROW_ID, user_id=user_id))


async def get(session: AsyncSession, user_id: str) -> User | None:
    row = await session.scalar(GET, {"user_id": user_id})
    return None if row is None else User(user_id, row.name, row.created_at)


async def rename(session: AsyncSession, user_id: str, name: str | None) -> User | None:
    """Change a user's name; return the user, or None if there is none."""
    row = await session.scalar(TO_RENAME, {"user_id": user_id})
    if row is None:
        return None
    row.name = name
    return User(user_id, name, row.created_at)


async def mark_erased(session: AsyncSession, user_id: str) -> str | None:
    """Clear a user's id, which hides all their data at once; return the row's id, or None without such a user."""
    row = await session.scalar(TO_ERASE, {"user_id": user_id})
    if row is None:
        return None
    row.user_id = None
    return row.id


async def list_erased(session: AsyncSession) -> Sequence[str]:
    """List the row ids of users whose erasure is unfinished."""
    return (await session.scalars(ERASED)).all()


async def erase_batch(session: AsyncSession, row_id: str, messages: int) -> Sequence[str] | None:
    """Delete some of an erased user's conversations, with about `messages` messages in all, or a part of a long one.

    Return the ids of the deleted conversations; None once nothing is left and the user's row is deleted too.
    """
    conversations = (await session.execute(CONVERSATIONS, {"owner_id": row_id})).all()
    if not conversations:
        return await erase_rest(session, row_id, messages)
    chosen = take_within([(row.conversation_id, row.last_sequence) for row in conversations], messages)
    if conversations[0].last_sequence > messages:
        await delete_last_messages(session, conversations[0].conversation_id, messages)
    await session.execute(DELETE_CONVERSATIONS, {"conversation_ids": chosen})
    return chosen


async def erase_rest(session: AsyncSession, row_id: str, attempts: int) -> Sequence[str] | None:
    """Delete so many of an erased user's attempts; None once they and the user's row are all deleted."""
    deleted = await session.scalars(DELETE_ATTEMPTS, {"owner_id": row_id, "limit": attempts})
    if len(deleted.all()) == attempts:
        return []
    await session.execute(DELETE, {"row_id": row_id})
    return None


def take_within(sizes: Sequence[tuple[str, int]], limit: int) -> list[str]:
    """Return the first ids whose sizes add up to `limit` at most."""
    chosen = []
    for conversation_id, size in sizes:
        limit -= size
        if limit < 0:
            break
        chosen.append(conversation_id)
    return chosen


async def delete_last_messages(session: AsyncSession, conversation_id: str, messages: int) -> None:
    """Delete the last messages of a conversation that is too long for one transaction."""
    conversation = await session.get_one(ConversationRow, conversation_id)
    conversation.last_sequence -= messages
    await session.flush()
    last = {"conversation_id": conversation_id, "last_sequence": conversation.last_sequence}
    await session.execute(DELETE_MESSAGES_AFTER, last)
