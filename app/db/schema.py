"""Version of the database's schema: migrated at the start under a lock, by the first process that takes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Boolean, Connection, Text, column, exc, func, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import vectors
from app.db.database import MIGRATION_LOCK_SECONDS, STATEMENT_SECONDS, Database
from app.db.outages import reason_of
from app.db.transaction import Transaction, fetch_value
from app.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = max(file.stem.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))
"""The newest revision that this release knows; from the files' names, since importing Alembic takes half a second."""
TAKE_ADVISORY_LOCK = select(func.pg_try_advisory_xact_lock(0x9A51E7, type_=Boolean).label("taken"))
LOCK_RETRY_SECONDS = 0.2
INSUFFICIENT_PRIVILEGE = "42501"
INVALID_SCHEMA_NAME = "3F000"
"""SQLSTATE of PostgreSQL when no schema of the search_path exists."""
SELECT_REVISION = select(column("version_num", Text)).select_from(table("alembic_version"))


class SchemaError(Exception):
    """This release cannot work with the database's schema; the message says what to do."""


class SchemaTooNew(SchemaError):
    """The database was migrated by a newer release."""


class SchemaTooOld(SchemaError):
    """The database has to be migrated first."""


async def upgrade(database: Database) -> None:
    """Migrate the database to this release's schema; a few milliseconds if it is current.

    Raises:
        SchemaError: the database's user lacks the privileges to read or change it.
        SchemaTooNew: the database has a revision that this release does not know.
        DatabaseUnavailable: it cannot be reached.
    """
    await database.prepare()
    with translate_privilege_errors():
        if await revision_of(database) != HEAD:
            with database.translate_errors():
                async with migration_lock(database) as connection:
                    await connection.run_sync(run_migrations)
        with database.translate_errors():
            database.vectors_stored = await ensure_vector_table(database)


@contextlib.contextmanager
def translate_privilege_errors() -> Iterator[None]:
    """Raise SchemaError if the database's user may not create tables, as by default in PostgreSQL's schema `public`.

    The same for tables of another user that it may not read, and for a search_path without an existing schema.
    """
    try:
        yield
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in {INSUFFICIENT_PRIVILEGE, INVALID_SCHEMA_NAME}:
            raise
        raise SchemaError(
            f"The database's user may not read or change its schema: {reason_of(error.orig or error)}. "
            "Grant the privilege, or set another user or search_path in DATABASE_URL."
        ) from error


async def ensure_vector_table(database: Database) -> bool:
    """Create PostgreSQL's table for vectors if the extension has become available; return whether the table exists."""
    if database.kind == "sqlite":
        return True
    async with database.engine.connect() as connection:
        if await connection.run_sync(vectors.table_exists):
            return True
        if not await connection.run_sync(vectors.extension_available):
            return False
    async with migration_lock(database) as connection:
        return await connection.run_sync(vectors.create_table)


async def require_current(database: Database) -> None:
    """Raise unless the schema is this release's.

    Raises:
        SchemaError: it is another one, or there is none.
        DatabaseUnavailable: the database cannot be reached.
    """
    revision = await revision_of(database)
    if revision == HEAD:
        return
    require_known(revision)
    state = f"has schema {revision}" if revision else "is empty"
    raise SchemaTooOld(f"The database {state}: run `parley migrate` to bring it to schema {HEAD}.")


async def revision_of(database: Database) -> str | None:
    """Read the database's revision; None if it is empty."""
    with database.translate_errors():
        async with database.engine.connect() as connection:
            return await connection.run_sync(read_revision)


def read_revision(connection: Connection) -> str | None:
    """Read the database's revision; None if it is empty."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(SELECT_REVISION).scalar_one_or_none()


def is_current() -> Transaction[bool]:
    """Return whether the schema is this release's."""
    return (yield from fetch_value(SELECT_REVISION)) == HEAD


def run_migrations(connection: Connection) -> None:
    """Run the missing migrations; blocks, and imports Alembic, which takes half a second.

    Raises:
        SchemaTooNew: the database has a revision that this release does not know.
    """
    from alembic import command

    require_known(read_revision(connection))
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def require_known(revision: str | None) -> None:
    """Raise SchemaTooNew for a revision that is not among this release's migrations."""
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaTooNew(
            f"The database has schema {revision}, which is newer than this release's ({HEAD}): "
            "start the release that migrated it, or restore a backup from before that."
        )


def alembic_config() -> Config:
    """Build Alembic's configuration, which has no file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


@contextlib.asynccontextmanager
async def migration_lock(database: Database) -> AsyncIterator[AsyncConnection]:
    """Open a transaction that one process at a time may hold; others wait for it for up to a minute.

    Raises:
        DatabaseUnavailable: another process has held PostgreSQL's lock for too long.
        sqlalchemy.exc.OperationalError: the same of SQLite's.
    """
    if database.engine.dialect.name == "sqlite":
        async with database.engine.execution_options(writing=True).connect() as connection:
            await begin_sqlite_write(connection)
            yield connection
            await connection.commit()
    else:
        async with database.engine.begin() as connection:
            await take_advisory_lock(connection)
            yield connection


async def take_advisory_lock(connection: AsyncConnection) -> None:
    """Poll for PostgreSQL's lock; waiting in one statement would exceed the statement's time limit."""
    for _ in range(int(MIGRATION_LOCK_SECONDS / LOCK_RETRY_SECONDS)):
        if (await connection.execute(TAKE_ADVISORY_LOCK)).scalar_one():
            return
        await asyncio.sleep(LOCK_RETRY_SECONDS)
    raise DatabaseUnavailable(
        "Another process has been migrating the database for over a minute; wait for it, then start again."
    )


async def begin_sqlite_write(connection: AsyncConnection) -> None:
    """Begin SQLite's writing transaction; retry for up to a minute while another process holds the lock."""
    for attempts_left in reversed(range(MIGRATION_LOCK_SECONDS // STATEMENT_SECONDS)):
        try:
            await connection.begin()
        except exc.OperationalError:
            if attempts_left == 0:
                raise
        else:
            return
