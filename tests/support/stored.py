"""Rows of a database, read and changed behind the service's back."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Executable, func, select, text

from app.db.connect import connect
from app.db.models import Base, MessageRow


class StoredMessage(NamedTuple):
    """A message as it is stored."""

    sequence_number: int
    role: str
    status: str
    content: str


async def execute(database_url: str, statement: Executable | str) -> list[tuple[Any, ...]]:
    """Execute a statement in a transaction of its own and return its rows, if it has any."""
    database = connect(database_url, pool_size=1)
    try:
        async with database.write_session() as session:
            connection = await session.connection()
            result = await connection.execute(text(statement) if isinstance(statement, str) else statement)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        await database.close()


async def count_rows(database_url: str, table: type[Base]) -> int:
    """Count the rows of a table."""
    [(count,)] = await execute(database_url, select(func.count()).select_from(table))
    return int(count)


async def stored_messages(database_url: str) -> list[StoredMessage]:
    """Return the messages of a database with one conversation, in sequence order."""
    columns = (MessageRow.sequence_number, MessageRow.role, MessageRow.status, MessageRow.content)
    found = await execute(database_url, select(*columns).order_by(MessageRow.sequence_number))
    return [StoredMessage(*row) for row in found]
