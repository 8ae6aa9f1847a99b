from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import AttemptRow, ConversationRow, MessageRow, UserRow
from app.db.transaction import Statement, Transaction, first_row
from app.domain.users import User

INSERT = """
INSERT INTO users (id, user_id, name, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) DO NOTHING RETURNING id"""
ROW_ID = "SELECT id FROM users WHERE user_id = $1"


def ensure(user_id: str, row_id: str, now: int, name: str | None = None) -> Transaction[tuple[str, bool]]:
    """Insert a user's row if there is none; return the row's id, and True if it was inserted."""
    if (yield Statement(INSERT, (row_id, user_id, name, now))):
        return row_id, True
    existing = yield from row_id_of(user_id)
    if existing is None:  # erased between the two statements
        return (yield from ensure(user_id, row_id, now, name))
    return existing, False


def row_id_of(user_id: str | None) -> Transaction[str | None]:
    """Return the id of a user's row; None for a user without a row, and for no user (None)."""
    row = yield from first_row(Statement(ROW_ID, (user_id,)))
    return None if row is None else str(row[0])


async def get(session: AsyncSession, user_id: str) -> User | None:
    row = (await session.scalars(select(UserRow).where(UserRow.user_id == user_id))).one_or_none()
    return None if row is None else User(user_id, row.name, row.created_at)


async def rename(session: AsyncSession, user_id: str, name: str | None) -> User | None:
    """Change a user's name; return the user, or None if there is none."""
    query = update(UserRow).where(UserRow.user_id == user_id).values(name=name).returning(UserRow)
    row = (await session.scalars(query)).one_or_none()
    return None if row is None else User(user_id, row.name, row.created_at)


async def mark_erased(session: AsyncSession, user_id: str) -> str | None:
    """Clear a user's id, which hides all their data at once; return the row's id, or None without such a user."""
    query = update(UserRow).where(UserRow.user_id == user_id).values(user_id=None).returning(UserRow.id)
    return (await session.scalars(query)).one_or_none()


async def list_erased(session: AsyncSession) -> Sequence[str]:
    """List the row ids of users whose erasure is unfinished."""
    return (await session.scalars(select(UserRow.id).where(UserRow.user_id.is_(None)))).all()


async def erase_batch(session: AsyncSession, row_id: str, messages: int) -> Sequence[str] | None:
    """Delete some of an erased user's conversations, with about `messages` messages in all, or a part of a long one.

    Return the ids of the deleted conversations; None once nothing is left and the user's row is deleted too.
    """
    query = (
        select(ConversationRow.conversation_id, ConversationRow.last_sequence)
        .where(ConversationRow.owner_id == row_id)
        .limit(100)
        .with_for_update()
    )
    conversations = (await session.execute(query)).all()
    if not conversations:
        return await erase_rest(session, row_id, messages)
    if conversations[0].last_sequence > messages:
        await delete_last_messages(session, conversations[0].conversation_id, messages)
    chosen = take_within([(row.conversation_id, row.last_sequence) for row in conversations], messages)
    await session.execute(delete(ConversationRow).where(ConversationRow.conversation_id.in_(chosen)))
    return chosen


async def erase_rest(session: AsyncSession, row_id: str, attempts: int) -> Sequence[str] | None:
    """Delete so many of an erased user's attempts; None once they and the user's row are all deleted."""
    chosen = select(AttemptRow.attempt_id).where(AttemptRow.owner_id == row_id).limit(attempts)
    deleted = await session.scalars(
        delete(AttemptRow).where(AttemptRow.attempt_id.in_(chosen)).returning(AttemptRow.attempt_id)
    )
    if len(deleted.all()) == attempts:
        return []
    await session.execute(delete(UserRow).where(UserRow.id == row_id))
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
    row = await session.get_one(ConversationRow, conversation_id)
    row.last_sequence -= messages
    await session.execute(
        delete(MessageRow)
        .where(MessageRow.conversation_id == conversation_id)
        .where(MessageRow.sequence_number > row.last_sequence)
    )
    await session.flush()
