from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.db import schema
from app.db.connect import connect
from app.db.database import Database
from app.db.models import UserRow
from app.db.transaction import Transaction, fetch_one, run_in_session
from app.db.users import ensure, row_id_of
from app.domain.ids import new_id
from app.errors import DatabaseUnavailable
from tests.support.postgres import PostgresCluster


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = connect(database_url, pool_size=2)
    yield opened
    await opened.close()


async def test_sqlite_pragmas_are_set(sqlite_template: Any) -> None:
    """Foreign keys, full syncs and the write-ahead log hold for sessions and for transaction functions."""

    def pragmas() -> Transaction[list[Any]]:
        names = ("foreign_keys", "synchronous", "journal_mode", "busy_timeout")
        values: list[Any] = []
        for name in names:
            values += (yield from fetch_one(text(f"PRAGMA {name}"))) or ()
        return values

    with sqlite_template.copy() as url:
        database = connect(url, pool_size=1)
        expected = [1, 2, "wal", 5000]
        assert await database.read(pragmas) == expected
        assert await database.write(pragmas) == expected
        async with database.read_session() as session:
            found = [
                (await session.execute(text(f"PRAGMA {name}"))).scalar() for name in ("foreign_keys", "synchronous")
            ]
        assert found == expected[:2]
        await database.close()


def insert_user(user_id: str, *, fails: bool = False) -> Transaction[str]:
    """Insert a user, then return the row's id or raise ValueError."""
    row_id, _created = yield from ensure(user_id, new_id(), 1)
    if fails:
        raise ValueError(user_id)
    return row_id


async def users(database: Database) -> list[str | None]:
    async with database.read_session() as session:
        return sorted(row[0] for row in await session.execute(text("SELECT user_id FROM users")))


async def test_failed_transaction_is_undone_alone(database: Database) -> None:
    """Transactions that are committed together succeed or fail each by itself."""
    made = [database.write(insert_user, str(n), fails=n % 2 == 1) for n in range(6)]
    outcomes = await asyncio.gather(*made, return_exceptions=True)
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [False, True] * 3
    assert await users(database) == ["0", "2", "4"]


async def test_failed_session_is_rolled_back(database: Database) -> None:
    """An exception in a writing session leaves nothing behind, and its connection goes back."""
    with pytest.raises(IntegrityError):
        async with database.write_session() as session:
            ids = [f"00000000-0000-7000-8000-{n:012}" for n in (1, 2)]
            session.add_all([UserRow(id=each, user_id="same", created_at=1) for each in ids])
    assert await users(database) == []
    assert database.connections_in_use == 0


async def test_session_runs_transactions(database: Database) -> None:
    """A session runs a transaction's statements, with the same rows; they are committed or rolled back with it."""
    async with database.write_session() as session:
        first = await run_in_session(session, insert_user("ada"))
    with pytest.raises(ValueError, match="eve"):
        async with database.write_session() as session:
            await run_in_session(session, insert_user("eve", fails=True))
    async with database.read_session() as session:
        assert await run_in_session(session, row_id_of("ada")) == first == await database.read(row_id_of, "ada")
        assert await run_in_session(session, row_id_of("eve")) is None


async def test_nested_write_is_refused(database: Database) -> None:
    """A second transaction inside a first would wait for itself on SQLite, so it is an error everywhere."""
    async with database.write_session():
        with pytest.raises(RuntimeError, match="open in this task"):
            async with database.write_session():
                pass


async def test_concurrent_writers_all_commit(database: Database) -> None:
    """Writers of both kinds at once neither fail nor starve each other."""

    async def by_session(user_id: str) -> None:
        async with database.write_session() as session:
            session.add(UserRow(id=f"10000000-0000-7000-8000-{int(user_id):012}", user_id=user_id, created_at=1))

    sessions = [by_session(str(n)) for n in range(100, 120)]
    transactions = [database.write(insert_user, str(n)) for n in range(200, 220)]
    await asyncio.gather(*sessions, *transactions)
    assert len(await users(database)) == 40


async def test_unreachable_server_comes_back(cluster: PostgresCluster, postgres_template: Any) -> None:
    """While PostgreSQL is away everything says so; once it is back the same pool works."""
    with postgres_template.copy() as url:
        database = connect(url, pool_size=2)
        assert await database.read(schema.is_current)
        cluster.kill()
        for attempt in (database.read(schema.is_current), database.write(insert_user, "1"), users(database)):
            with pytest.raises(DatabaseUnavailable):
                await attempt
        cluster.restart()
        assert await database.write(insert_user, "2") == await database.read(row_id_of, "2")
        assert await users(database) == ["2"]
        await database.close()
