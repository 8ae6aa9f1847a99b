"""Erasing a user in batches, on both databases."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select

from app.db import users
from app.db.connect import connect
from app.db.database import Database
from app.db.models import ConversationRow, MessageRow, UserRow
from app.domain.ids import new_id

BATCH = 10


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = connect(database_url, pool_size=2)
    yield opened
    await opened.close()


async def test_erasure_batch_is_bounded(database: Database) -> None:
    """No batch deletes more messages than its limit, whether of one long conversation or of several short ones."""
    owner_id = new_id()
    await store(database, owner_id, sizes=(15, 3, 2, 2))
    left = [await count_messages(database)]
    conversation_ids: list[str] | None = []
    while conversation_ids is not None:
        async with database.write_session() as session:
            erased = await users.erase_batch(session, owner_id, BATCH)
            conversation_ids = None if erased is None else list(erased)
        left.append(await count_messages(database))
    assert max(before - after for before, after in itertools.pairwise(left)) <= BATCH
    assert left[-1] == 0
    async with database.read_session() as session:
        assert await session.scalar(select(func.count()).select_from(UserRow)) == 0


async def store(database: Database, owner_id: str, sizes: tuple[int, ...]) -> None:
    """Store a user with conversations of so many messages each."""
    async with database.write_session() as session:
        session.add(UserRow(id=owner_id, user_id=None, created_at=1))
        await session.flush()
        for size in sizes:
            conversation = ConversationRow(
                conversation_id=new_id(),
                owner_id=owner_id,
                last_sequence=size,
                mode="open",
                meta={},
                created_at=1,
                updated_at=1,
            )
            session.add(conversation)
            await session.flush()
            session.add_all(
                MessageRow(
                    message_id=new_id(),
                    conversation_id=conversation.conversation_id,
                    sequence_number=number,
                    role="user",
                    content="Hello",
                    status="completed",
                    created_at=1,
                )
                for number in range(1, size + 1)
            )


async def count_messages(database: Database) -> int:
    async with database.read_session() as session:
        return await session.scalar(select(func.count()).select_from(MessageRow)) or 0
