"""The SQLite file while it is in use: deleted, moved, replaced, damaged, or on a full disk."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.db import process_leases, schema
from app.db.connect import connect
from app.db.database import Database
from app.db.transaction import Transaction
from app.errors import DatabaseUnavailable
from tests.support.databases import SqliteTemplate
from tests.support.sql import run_sql

Use = Callable[[Database], Awaitable[Any]]
PROCESS = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
def path(tmp_path: Path, sqlite_template: SqliteTemplate) -> Iterator[Path]:
    with sqlite_template.copy() as url:
        directory = tmp_path / "data"
        directory.mkdir()
        yield Path(shutil.move(url.removeprefix("sqlite:///"), directory / "parley.db"))


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    """A database with a connection of every kind open."""
    opened = connect(f"sqlite:///{path}", pool_size=2)
    await schema.upgrade(opened)
    for use in USES:
        await use(opened)
    yield opened
    await opened.close()


def count() -> Transaction[int]:
    rows = yield from run_sql("SELECT count(*) FROM processes")
    return int(rows[0][0])


def pragma(setting: str) -> Transaction[int]:
    """Read or set a pragma of the connection that runs the transaction."""
    rows = yield from run_sql(f"PRAGMA {setting}")
    return int(rows[0][0])


def fill(rows: int) -> Transaction[None]:
    """Store some kilobytes per row."""
    for number in range(rows):
        yield from run_sql(
            "INSERT INTO users (id, user_id, name, created_at) VALUES ($1, $1, $2, 1)", f"user{number}", "x" * 4_000
        )


async def write(database: Database) -> None:
    await database.write(process_leases.heartbeat, PROCESS, 1)


async def read(database: Database) -> None:
    await database.read(count)


async def read_snapshot(database: Database) -> None:
    await database.read_snapshot(count)


async def read_session(database: Database) -> None:
    async with database.read_session() as session:
        await session.execute(text("SELECT count(*) FROM processes"))


async def write_session(database: Database) -> None:
    async with database.write_session() as session:
        await session.execute(text("UPDATE processes SET expires_at = expires_at + 1"))


USES = (write, read, read_snapshot, read_session, write_session)


def move_away(file: Path, *, back: bool = False) -> None:
    """Move a file or directory away, or back to its path."""
    elsewhere = file.parent / f"{file.name}-elsewhere"
    if back:
        elsewhere.replace(file)
    else:
        file.rename(elsewhere)


def replace_by_copy(file: Path) -> bytes:
    """Move a file away, put a copy at its path, and return the content of both."""
    content = file.read_bytes()
    move_away(file)
    file.write_bytes(content)
    return content


def overwrite(file: Path, kept: int, rest: bytes) -> None:
    """Replace all but the first bytes of a file, which keeps its inode."""
    file.write_bytes(file.read_bytes()[:kept] + rest)


async def unavailable(use: Use, database: Database) -> str:
    """Return the reason why a use fails."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await use(database)
    return str(caught.value.reason)


async def check_all_unavailable(database: Database) -> None:
    """Check that every use fails, on open connections and on a new one."""
    for use in USES:
        assert await unavailable(use, database)


async def check_all_available(database: Database) -> None:
    """Check that every use succeeds."""
    for use in USES:
        await use(database)


@pytest.mark.parametrize("name", ["parley.db", "parley.db-wal", "parley.db-shm"])
async def test_moved_file_is_outage(database: Database, path: Path, name: str) -> None:
    """Without any of its files every use fails until the file is back, and none is created in its place."""
    file = path.with_name(name)
    move_away(file)
    await check_all_unavailable(database)
    assert not file.exists()
    move_away(file, back=True)
    await check_all_available(database)


async def test_moved_directory_is_outage(database: Database, path: Path) -> None:
    """Without its directory, as when a volume is unmounted, every use fails until it is back."""
    move_away(path.parent)
    await check_all_unavailable(database)
    assert not path.parent.exists()
    move_away(path.parent, back=True)
    await check_all_available(database)


@pytest.mark.parametrize("name", ["parley.db", "parley.db-wal", "parley.db-shm"])
async def test_replaced_file_is_outage(database: Database, path: Path, name: str) -> None:
    """While another file is at the path it is not written to, and every use fails."""
    file = path.with_name(name)
    copied = replace_by_copy(file)
    await check_all_unavailable(database)
    assert file.read_bytes() == copied
    move_away(file, back=True)
    await check_all_available(database)


async def test_new_connection_rejects_other_file(path: Path) -> None:
    """Connections opened while another file is at the path do not stay with it."""
    database = connect(f"sqlite:///{path}", pool_size=2)
    await schema.upgrade(database)
    await write(database)
    replace_by_copy(path)
    await check_all_unavailable(database)
    move_away(path, back=True)
    await write(database)
    async with database.read_session() as session:
        assert (await session.execute(text("SELECT count(*) FROM processes"))).scalar_one() == 1
    assert await database.read(count) == await database.read_snapshot(count) == 1
    await database.close()


async def test_emptied_file_is_outage(database: Database, path: Path) -> None:
    """A truncated file keeps its inode, and is an outage nevertheless."""
    overwrite(path, 0, b"")
    await check_all_unavailable(database)


async def test_commits_survive_deleted_log(path: Path) -> None:
    """A process that ends writes its log back into the file even after the log was deleted."""
    database = connect(f"sqlite:///{path}", pool_size=2)
    await schema.upgrade(database)
    await check_all_available(database)
    path.with_name("parley.db-wal").unlink()
    await check_all_unavailable(database)
    await database.close()
    restarted = connect(f"sqlite:///{path}", pool_size=1)
    assert await restarted.read(count) == 1
    await restarted.close()


async def test_failed_commit_is_rolled_back(database: Database, path: Path) -> None:
    """Nothing of a refused transaction is stored when the file is back."""
    move_away(path)
    await unavailable(
        lambda each: each.write(process_leases.heartbeat, "01900000-0000-7000-8000-000000000001", 1), database
    )
    move_away(path, back=True)
    assert await database.read(count) == 1


async def test_full_disk_is_outage(database: Database, path: Path) -> None:
    """A group of transactions without disk space is refused as a whole; the next one succeeds with space."""
    pages = await database.write(pragma, "page_count")
    await database.write(pragma, f"max_page_count = {pages + 2}")
    assert "SQLITE_FULL" in await unavailable(lambda each: each.write(fill, 20), database)
    await write(database)
    await database.write(pragma, f"max_page_count = {2**30}")
    await database.write(fill, 20)


@pytest.mark.parametrize(("kept", "code"), [(0, "SQLITE_NOTADB"), (8192, "SQLITE_CORRUPT")])
async def test_damaged_file_is_outage(path: Path, kept: int, code: str) -> None:
    """A file that is no database, or has damaged pages, is an outage with SQLite's code."""
    overwrite(path, kept, b"nonsense" * 50_000)
    for use in USES:
        database = connect(f"sqlite:///{path}", pool_size=1)
        assert code in await unavailable(use, database)
        await database.close()


async def test_unopenable_file_is_lasting_outage(tmp_path: Path) -> None:
    """A directory at the file's path is reported, and not retried."""
    (tmp_path / "parley.db").mkdir()
    for use in (*USES, schema.upgrade):
        database = connect(f"sqlite:///{tmp_path}/parley.db", pool_size=1)
        with pytest.raises(DatabaseUnavailable, match="unavailable; retry later") as caught:
            await use(database)
        assert not caught.value.transient
        await database.close()


async def test_wrong_statement_is_no_outage(database: Database) -> None:
    """A statement that SQLite cannot parse is raised as the driver's own error."""

    def wrong() -> Transaction[None]:
        yield from run_sql("SELECT nothing FROM nowhere")

    for run in (database.write, database.read, database.read_snapshot):
        with pytest.raises(sqlite3.OperationalError):
            await run(wrong)
