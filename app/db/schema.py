"""The schema's version: brought up to date at the start, under a lock, by whichever process comes first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import vectors
from app.db.database import LOCK_SECONDS, STATEMENT_SECONDS, Database
from app.db.outages import reason_of
from app.db.transaction import Statement, Transaction, first_row
from app.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0005"
"""The newest revision that this release knows."""

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_KEY = 0x9A51E7
ASK_AGAIN_SECONDS = 0.2
INSUFFICIENT_PRIVILEGE = "42501"
NO_SUCH_SCHEMA = "3F000"
"""Code with which PostgreSQL says that no schema of the search_path exists."""
VERSION = "SELECT version_num FROM alembic_version"


class SchemaRefused(Exception):
    """The database is not one that this release works with as it is; the message says what to do."""


class SchemaTooNew(SchemaRefused):
    """The database was written by a newer release."""


class SchemaTooOld(SchemaRefused):
    """The database has to be migrated first."""


async def upgrade(database: Database) -> None:
    """Brings the schema up to date; does nothing, quickly, where it is already.

    Raises:
        SchemaRefused: the database's user may not read or change it.
        SchemaTooNew: the database is of a revision that this release does not know.
        DatabaseUnavailable: it is out of reach.
    """
    await database.prepare()
    with refused_without_privilege():
        if await revision_of(database) != HEAD:
            with database.translated():
                async with locked(database) as connection:
                    await connection.run_sync(migrate)
        with database.translated():
            database.vectors_stored = await vectors_stored(database)


@contextlib.contextmanager
def refused_without_privilege() -> Iterator[None]:
    """Says what to do where the database's user may not make tables, as in PostgreSQL's schema `public` by default.

    Nor may it read those that another user has made, nor make any where its search_path names no schema that is there.
    """
    try:
        yield
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in {INSUFFICIENT_PRIVILEGE, NO_SUCH_SCHEMA}:
            raise
        raise SchemaRefused(
            f"the database's user may not read or change its schema: {reason_of(error.orig or error)}"
        ) from error


async def vectors_stored(database: Database) -> bool:
    """Whether there is a table for vectors, which is made where it can be: the extension may have come later."""
    if database.kind == "sqlite":
        return True
    async with database.engine.connect() as connection:
        if await connection.run_sync(vectors.table_exists):
            return True
        if not await connection.run_sync(vectors.extension_available):
            return False
    async with locked(database) as connection:
        return await connection.run_sync(vectors.create_table)


async def require(database: Database) -> None:
    """Does nothing where the schema is the one of this release.

    Raises:
        SchemaRefused: it is another one, or there is none.
        DatabaseUnavailable: the database is out of reach.
    """
    revision = await revision_of(database)
    if revision == HEAD:
        return
    refuse_unknown(revision)
    has = f"has schema {revision}" if revision else "is empty"
    raise SchemaTooOld(f"the database {has}: `parley migrate` brings it to schema {HEAD}")


async def revision_of(database: Database) -> str | None:
    """The revision of a database; None when it is empty."""
    with database.translated():
        async with database.engine.connect() as connection:
            return await connection.run_sync(read_revision)


def read_revision(connection: Connection) -> str | None:
    """The revision of a database; None when it is empty."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text(VERSION)).scalar_one_or_none()


def current() -> Transaction[bool]:
    """Whether the schema is the one that this release works with."""
    row = yield from first_row(Statement(VERSION))
    return row is not None and row[0] == HEAD


def migrate(connection: Connection) -> None:
    """Runs the migrations that are missing; blocks, and imports Alembic, which takes half a second."""
    from alembic import command

    refuse_unknown(read_revision(connection))
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def refuse_unknown(revision: str | None) -> None:
    """Raises SchemaTooNew for a revision that is not among this release's migrations."""
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaTooNew(
            f"the database has schema {revision}, which is newer than this release of Parley knows ({HEAD}): "
            "start the release that wrote it, or restore a backup from before"
        )


def configuration() -> Config:
    """Alembic's, without a file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


@contextlib.asynccontextmanager
async def locked(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction that only one process at a time is in; the others wait up to a minute for it."""
    if database.engine.dialect.name == "sqlite":
        async with database.engine.execution_options(writing=True).connect() as connection:
            await wait_for_lock(connection)
            yield connection
            await connection.commit()
    else:
        async with database.engine.begin() as connection:
            await wait_for_advisory_lock(connection)
            yield connection


async def wait_for_advisory_lock(connection: AsyncConnection) -> None:
    """Asks for PostgreSQL's lock until it is free: to wait in one statement, its time-outs are too short."""
    for _ in range(int(LOCK_SECONDS / ASK_AGAIN_SECONDS)):
        if (await connection.execute(text(f"SELECT pg_try_advisory_xact_lock({LOCK_KEY})"))).scalar_one():
            return
        await asyncio.sleep(ASK_AGAIN_SECONDS)
    raise DatabaseUnavailable("Another process has been migrating the database for too long.")


async def wait_for_lock(connection: AsyncConnection) -> None:
    """Begins SQLite's writing transaction as late as another process lets it."""
    for attempts_left in reversed(range(LOCK_SECONDS // STATEMENT_SECONDS)):
        try:
            await connection.begin()
        except exc.OperationalError:
            if attempts_left == 0:
                raise
        else:
            return
