"""Migrations from every earlier schema, with data, on both databases."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Table, insert, inspect, select, text

from app.db import schema
from app.db.connect import connect
from app.db.database import Database
from app.db.models import Base, MessageRow, UserRow
from app.domain.ids import new_id
from tests.support.postgres import PostgresCluster

REVISIONS = [each.revision for each in ScriptDirectory.from_config(schema.alembic_config()).walk_revisions()][::-1]
NOT_MODELLED = {"table": ("chunk_words", "chunk_vectors"), "index": ("ix_chunks_words",)}
"""Virtual tables, the type of vectors and indexes of expressions, which models cannot describe."""


@pytest.fixture
async def empty_database(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A database without tables."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/parley.db"
    else:
        cluster: PostgresCluster = request.getfixturevalue("cluster")
        name = f"empty_{uuid.uuid4().hex}"
        cluster.create_database(name)
        url = cluster.url(name)
    database = connect(url, pool_size=1)
    await database.prepare()
    yield database
    await database.close()
    if kind != "sqlite":
        cluster.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
async def test_upgrade_keeps_rows(empty_database: Database, revision: str) -> None:
    """A start brings the schema of any earlier release up to date, and its rows are still there."""
    await migrate_to(empty_database, revision)
    await insert_rows(empty_database, "users", [{"id": new_id(), "user_id": "ada", "created_at": 1}])
    assert await schema.revision_of(empty_database) == revision
    await schema.upgrade(empty_database)
    assert await schema.revision_of(empty_database) == schema.HEAD
    async with empty_database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    async with empty_database.read_session() as session:
        assert await session.scalar(select(UserRow.user_id)) == "ada"


async def test_upgrade_unmarks_superseded(empty_database: Database) -> None:
    """Migration 0005: replies superseded by one without text are current, or superseded by the next one with text."""
    conversation, ids = new_id(), [new_id() for _ in range(8)]
    replies = [  # question, text, position of the reply that has superseded it, status
        (1, "Good", 1, "completed"),
        (1, "", None, "failed"),
        (3, "Good", 3, "completed"),
        (3, " \n", 4, "completed"),
        (3, "Better", 5, "completed"),
        (3, "Best", None, "completed"),
        (5, "Good", 7, "completed"),
        (5, "Half", None, "in_progress"),
    ]
    await migrate_to(empty_database, "0004")
    await insert_rows(empty_database, "users", [{"id": conversation, "user_id": "ada", "created_at": 1}])
    row: dict[str, Any] = {"conversation_id": conversation, "owner_id": conversation, "mode": "open", "metadata": {}}
    counts = {"last_sequence": 8, "message_count": 8, "created_at": 1, "updated_at": 1}
    await insert_rows(empty_database, "conversations", [row | counts])
    await insert_rows(
        empty_database,
        "messages",
        [
            {
                "message_id": ids[position],
                "conversation_id": conversation,
                "sequence_number": 10 + position,
                "role": "assistant",
                "content": content,
                "status": status,
                "answers": question,
                "created_at": 1,
                "superseded_by": None if successor is None else ids[successor],
            }
            for position, (question, content, successor, status) in enumerate(replies)
        ],
    )
    await schema.upgrade(empty_database)
    async with empty_database.read_session() as session:
        found = await session.scalars(select(MessageRow.superseded_by).order_by(MessageRow.sequence_number))
        positions = [superseded_by and ids.index(superseded_by) for superseded_by in found]
    assert positions == [None, None, 4, 4, 5, None, None, None]


def test_head_is_newest() -> None:
    """The revision that a start expects, read from the names of files, is Alembic's last one."""
    assert REVISIONS[-1] == schema.HEAD


async def test_newer_schema_is_refused(empty_database: Database) -> None:
    """A database that this release does not know is not touched, and the message says why."""
    await schema.upgrade(empty_database)
    async with empty_database.write_session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(schema.SchemaTooNew, match=r"schema 9999.*newer"):
        await schema.upgrade(empty_database)


async def test_concurrent_starts_migrate_once(tmp_path: Any) -> None:
    """Processes that start together on an empty file all end with the schema up to date."""
    databases = [connect(f"sqlite:///{tmp_path}/new.db", pool_size=1) for _ in range(4)]
    await asyncio.gather(*(schema.upgrade(database) for database in databases))
    assert [await database.read(schema.is_current) for database in databases] == [True] * 4
    for database in databases:
        await database.close()


async def migrate_to(database: Database, revision: str) -> None:
    """Run the migrations of an empty database up to a revision."""

    def migrate(connection: Connection) -> None:
        config = schema.alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with schema.migration_lock(database) as connection:
        await connection.run_sync(migrate)


async def insert_rows(database: Database, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows into a table as it is now, of which the models may know more columns."""

    def insert_all(connection: Connection) -> None:
        names = {each["name"] for each in inspect(connection).get_columns(table)}
        model = Base.metadata.tables[table]
        present = Table(
            table, MetaData(), *(Column(each.name, each.type) for each in model.columns if each.name in names)
        )
        connection.execute(insert(present), rows)

    async with database.engine.begin() as connection:
        await connection.run_sync(insert_all)


def differences(connection: Connection) -> list[Any]:
    """Compare the models with the database's tables."""
    context = MigrationContext.configure(connection, opts={"include_name": is_modelled})
    return list(compare_metadata(context, Base.metadata))


def is_modelled(name: str | None, kind: str, _parents: object) -> bool:
    return not (name or "").startswith(NOT_MODELLED.get(kind, ("-",)))
