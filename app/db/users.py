from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import AttemptRow, ConversationRow, MessageRow, UserRow
from app.db.transaction import Statement, Transaction, first_row
from app.domain.users import User


def ensure(user_id: str, row_id: str, now: int, name: str | None = None) -> Transaction[tuple[str, bool]]:
    """The id of a user's row, made when this is the first time that the user is named; and whether it was."""
    made = yield Statement(
        "INSERT INTO users (id, user_id, name, created_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (user_id) DO NOTHING RETURNING id",
        (row_id, user_id, name, now),
    )
    if made:
        return row_id, True
    row = yield from first_row(Statement("SELECT id FROM users WHERE user_id = $1", (user_id,)))
    if row is None:  # erased between the two statements
        return (yield from ensure(user_id, row_id, now, name))
    return str(row[0]), False


async def get(session: AsyncSession, user_id: str) -> User | None:
    """A user by the caller's own id."""
    row = (await session.scalars(select(UserRow).where(UserRow.user_id == user_id))).one_or_none()
    return None if row is None else User(user_id, row.name, row.created_at)


async def rename(session: AsyncSession, user_id: str, name: str | None) -> User | None:
    """Gives a user another name; None when there is no such user."""
    query = update(UserRow).where(UserRow.user_id == user_id).values(name=name).returning(UserRow)
    row = (await session.scalars(query)).one_or_none()
    return None if row is None else User(user_id, row.name, row.created_at)


async def mark_erased(session: AsyncSession, user_id: str) -> str | None:
    """Takes a user's id away, which hides all that is the user's at once; gives the row's id."""
    query = update(UserRow).where(UserRow.user_id == user_id).values(user_id=None).returning(UserRow.id)
    return (await session.scalars(query)).one_or_none()


async def marked(session: AsyncSession) -> Sequence[str]:
    """The rows of users who are being erased."""
    return (await session.scalars(select(UserRow.id).where(UserRow.user_id.is_(None)))).all()


async def erase_batch(session: AsyncSession, row_id: str, messages: int) -> Sequence[str] | None:
    """Deletes some of an erased user's conversations, about so many messages in all, or a part of one.

    Gives the ids of the conversations that are gone; None when nothing was left and the user's row went too.
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
        await trim(session, conversations[0].conversation_id, messages)
    chosen = within([(row.conversation_id, row.last_sequence) for row in conversations], messages)
    await session.execute(delete(ConversationRow).where(ConversationRow.conversation_id.in_(chosen)))
    return chosen


async def erase_rest(session: AsyncSession, row_id: str, entries: int) -> Sequence[str] | None:
    """Deletes so many of an erased user's entries in the ledger; None when that was all and the user's row went too."""
    chosen = select(AttemptRow.attempt_id).where(AttemptRow.owner_id == row_id).limit(entries)
    gone = await session.scalars(
        delete(AttemptRow).where(AttemptRow.attempt_id.in_(chosen)).returning(AttemptRow.attempt_id)
    )
    if len(gone.all()) == entries:
        return []
    await session.execute(delete(UserRow).where(UserRow.id == row_id))
    return None


def within(sizes: Sequence[tuple[str, int]], limit: int) -> list[str]:
    """The first ids whose sizes together stay within a limit."""
    chosen = []
    for conversation_id, size in sizes:
        limit -= size
        if limit < 0:
            break
        chosen.append(conversation_id)
    return chosen


async def trim(session: AsyncSession, conversation_id: str, messages: int) -> None:
    """Deletes the last messages of a conversation that is too long for one transaction."""
    row = await session.get_one(ConversationRow, conversation_id)
    row.last_sequence -= messages
    await session.execute(
        delete(MessageRow)
        .where(MessageRow.conversation_id == conversation_id)
        .where(MessageRow.sequence_number > row.last_sequence)
    )
    await session.flush()
