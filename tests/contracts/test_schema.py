from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.db import schema
from app.db.connect import connect
from app.db.database import Database
from app.db.models import Base, ConversationRow, MessageRow, UserRow
from app.db.transaction import Statement, Transaction
from app.domain.ids import new_id
from app.errors import DatabaseUnavailable
from tests.support.postgres import PostgresCluster


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = connect(database_url, pool_size=2)
    yield opened
    await opened.close()


async def test_migrations_match_models(database: Database) -> None:
    """Migrations create the tables that the models describe, on either database."""
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


def differences(connection: Any) -> list[Any]:
    """Return the differences between the models and the tables."""
    context = MigrationContext.configure(connection, opts={"include_name": described})
    return list(compare_metadata(context, Base.metadata))


def described(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether models can describe an object: not virtual tables, expression indexes and vectors."""
    undescribed = {"table": ("chunk_words", "chunk_vectors"), "index": ("ix_chunks_words",)}
    return not (name or "").startswith(undescribed.get(kind, ("-",)))


CATALOG = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public'
UNION ALL SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '' FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
ORDER BY 1, 2, 3"""


async def tables_of(database: Database) -> list[Any]:
    """Return columns, indexes and constraints, of PostgreSQL from its catalog: reflection takes ten times as long.

    For SQLite return the differences between the models and the tables, which are none in a current database.
    """
    async with database.engine.connect() as connection:
        if database.kind == "sqlite":
            return await connection.run_sync(differences)
        return [tuple(row) for row in await connection.execute(text(CATALOG))]


async def test_upgrade_keeps_rows(database: Database) -> None:
    """A start migrates the first release's schema to the newest one, and its rows are kept."""
    newest = await tables_of(database)
    async with database.write_session() as session:
        session.add(UserRow(id=new_id(), user_id="ada", created_at=1))
        await session.flush()
        for table in (
            *(["chunk_words"] if database.kind == "sqlite" else []),
            "chunk_vectors",
            "chunks",
            "document_texts",
            "document_contents",
            "documents",
            "idempotency_keys",
            "attempts",
            "summaries",
        ):
            await session.execute(text(f"DROP TABLE {table}"))
        for column in (
            "conversations DROP COLUMN revision",
            "messages DROP COLUMN reasoning",
            "messages DROP COLUMN context",
            "messages DROP COLUMN retrieval_mode",
            "messages DROP COLUMN retrieval",
            "users DROP COLUMN documents_version",
        ):
            await session.execute(text(f"ALTER TABLE {column}"))
        await session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert await tables_of(database) != newest
    await schema.upgrade(database)
    assert await tables_of(database) == newest
    async with database.read_session() as session:
        assert await session.scalar(select(UserRow.user_id)) == "ada"


async def test_upgrade_restores_unreplaced_replies(database: Database) -> None:
    """Replies superseded by one without text are current again, or superseded by the next one with text."""
    user, ids = new_id(), [new_id() for _ in range(8)]
    replies = [  # question, text, place of the one that has superseded it, status
        (1, "Good", 1, "completed"),
        (1, "", None, "failed"),
        (3, "Good", 3, "completed"),
        (3, " \n", 4, "completed"),
        (3, "Better", 5, "completed"),
        (3, "Best", None, "completed"),
        (5, "Good", 7, "completed"),
        (5, "Half", None, "in_progress"),
    ]
    async with database.write_session() as session:
        session.add(UserRow(id=user, user_id="ada", created_at=1))
        await session.flush()
        session.add(
            ConversationRow(conversation_id=user, owner_id=user, mode="open", meta={}, created_at=1, updated_at=1)
        )
        await session.flush()
        for number, (question, content, successor, status) in enumerate(replies):
            session.add(
                MessageRow(
                    message_id=ids[number],
                    conversation_id=user,
                    sequence_number=10 + number,
                    role="assistant",
                    content=content,
                    status=status,
                    answers=question,
                    created_at=1,
                    superseded_by=None if successor is None else ids[successor],
                )
            )
        await session.flush()
        await session.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    await schema.upgrade(database)
    async with database.read_session() as session:
        found = await session.scalars(select(MessageRow.superseded_by).order_by(MessageRow.sequence_number))
        places = [superseded_by and ids.index(superseded_by) for superseded_by in found]
    assert places == [None, None, 4, 4, 5, None, None, None]


def test_head_is_newest_migration() -> None:
    """The revision that a start requires is the newest migration."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


async def test_newer_schema_is_refused(database: Database) -> None:
    """An unknown schema is not changed, and the error has the reason."""
    async with database.write_session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(schema.SchemaTooNew, match=r"schema 9999.*newer"):
        await schema.upgrade(database)


async def test_parallel_starts_migrate_once(tmp_path: Any) -> None:
    """Processes that start together on an empty file all have the newest schema."""
    databases = [connect(f"sqlite:///{tmp_path}/new.db", pool_size=1) for _ in range(4)]
    await asyncio.gather(*(schema.upgrade(database) for database in databases))
    assert [await database.read(schema.is_current) for database in databases] == [True] * 4
    for database in databases:
        await database.close()


async def test_sqlite_pragmas(sqlite_template: Any) -> None:
    """Foreign keys, full syncs and the write-ahead log apply to sessions and to transactions."""

    def pragmas() -> Transaction[list[Any]]:
        names = ("foreign_keys", "synchronous", "journal_mode", "busy_timeout")
        values: list[Any] = []
        for name in names:
            rows = yield Statement(f"PRAGMA {name}")
            values += rows[0]
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


def insertion(user_id: str, *, fails: bool = False) -> Transaction[str]:
    """Store a user, and perhaps fail after that."""
    yield Statement(
        "INSERT INTO users (id, user_id, created_at) VALUES ($1, $2, {now})",
        (f"00000000-0000-7000-8000-{int(user_id):012}", user_id),
    )
    if fails:
        raise ValueError(user_id)
    return user_id


async def users(database: Database) -> list[str | None]:
    async with database.read_session() as session:
        return sorted(row[0] for row in await session.execute(text("SELECT user_id FROM users")))


async def test_failed_transaction_is_rolled_back_alone(database: Database) -> None:
    """Transactions that are committed together succeed or fail separately."""
    made = [database.write(insertion, str(n), fails=n % 2 == 1) for n in range(6)]
    outcomes = await asyncio.gather(*made, return_exceptions=True)
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [False, True] * 3
    assert await users(database) == ["0", "2", "4"]


async def test_failed_session_is_rolled_back(database: Database) -> None:
    """An exception in a writing session stores nothing, and its connection is returned."""
    with pytest.raises(IntegrityError):
        async with database.write_session() as session:
            ids = [f"00000000-0000-7000-8000-{n:012}" for n in (1, 2)]
            session.add_all([UserRow(id=each, user_id="same", created_at=1) for each in ids])
    assert await users(database) == []
    assert database.connections_in_use == 0


async def test_nested_write_is_refused(database: Database) -> None:
    """A second transaction inside a first would wait for itself on SQLite, so it is an error everywhere."""
    async with database.write_session():
        with pytest.raises(RuntimeError, match="open in this task"):
            async with database.write_session():
                pass


async def test_sessions_and_transactions_write_in_turn(database: Database) -> None:
    """Parallel writers of both kinds neither fail nor starve each other."""

    async def by_session(user_id: str) -> None:
        async with database.write_session() as session:
            session.add(UserRow(id=f"10000000-0000-7000-8000-{int(user_id):012}", user_id=user_id, created_at=1))

    sessions = [by_session(str(n)) for n in range(100, 120)]
    transactions = [database.write(insertion, str(n)) for n in range(200, 220)]
    await asyncio.gather(*sessions, *transactions)
    assert len(await users(database)) == 40


async def test_unreachable_database_recovers(cluster: PostgresCluster, postgres_template: Any) -> None:
    """While PostgreSQL is down all uses fail with DatabaseUnavailable; afterwards the same pool works."""
    with postgres_template.copy() as url:
        database = connect(url, pool_size=2)
        assert await database.read(schema.is_current)
        cluster.kill()
        for attempt in (database.read(schema.is_current), database.write(insertion, "1"), users(database)):
            with pytest.raises(DatabaseUnavailable):
                await attempt
        cluster.restart()
        assert await database.write(insertion, "2") == "2"
        assert await users(database) == ["2"]
        await database.close()
