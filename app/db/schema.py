"""The schema's version: brought up to date at the start, under a lock, by whichever process comes first."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy import Connection, exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import LOCK_SECONDS, STATEMENT_SECONDS, Database, translated
from app.db.script import Script, Statement, one

HEAD = "0001"
"""The newest revision that this release knows."""

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_KEY = 0x9A51E7
VERSION = "SELECT version_num FROM alembic_version"


class SchemaTooNew(Exception):
    """The database was written by a newer release."""


async def upgrade(database: Database) -> None:
    """Brings the schema up to date; does nothing, quickly, where it is already.

    Raises:
        SchemaTooNew: the database is of a revision that this release does not know.
        DatabaseUnavailable: it is out of reach.
    """
    await database.prepare()
    with translated():
        async with database.engine.connect() as connection:
            revision = await connection.run_sync(read_revision)
        if revision == HEAD:
            return
        async with locked(database) as connection:
            await connection.run_sync(migrate)


def read_revision(connection: Connection) -> str | None:
    """The revision of a database; None when it is empty."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text(VERSION)).scalar_one_or_none()


def current() -> Script[bool]:
    """Whether the schema is the one that this release works with."""
    row = yield from one(Statement(VERSION))
    return row is not None and row[0] == HEAD


def migrate(connection: Connection) -> None:
    """Runs the migrations that are missing; blocks, and imports Alembic, which takes half a second."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    revision = read_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaTooNew(
            f"the database has schema {revision}, which is newer than this release of Parley knows ({HEAD}): "
            "start the release that wrote it, or restore a backup from before"
        )
    command.upgrade(config, "head")


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
            await connection.execute(text(f"SET LOCAL statement_timeout = '{LOCK_SECONDS}s'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_KEY})"))
            yield connection


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
