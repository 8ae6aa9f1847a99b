"""SQLite's file while it is in use: deleted, moved, replaced, damaged, or on a disk without room."""

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
from app.db.transaction import Statement, Transaction
from app.errors import DatabaseUnavailable
from tests.support.databases import SqliteTemplate

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
    """A database in use: every kind of connection is open."""
    opened = connect(f"sqlite:///{path}", pool_size=2)
    await schema.upgrade(opened)
    for use in USES:
        await use(opened)
    yield opened
    await opened.close()


def count() -> Transaction[int]:
    rows = yield Statement("SELECT count(*) FROM processes")
    return int(rows[0][0])


def pragma(setting: str) -> Transaction[int]:
    """Reads or sets something of the connection that a transaction runs on."""
    rows = yield Statement(f"PRAGMA {setting}")
    return int(rows[0][0])


def fill(rows: int) -> Transaction[None]:
    """Stores some kilobytes for each row."""
    for number in range(rows):
        yield Statement(
            "INSERT INTO users (id, user_id, name, created_at) VALUES ($1, $1, $2, 1)", (f"user{number}", "x" * 4_000)
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


def moved(file: Path, *, back: bool = False) -> None:
    """Takes a file, or a directory, out of the way, or brings it back over whatever has taken its place."""
    elsewhere = file.parent / f"{file.name}-elsewhere"
    if back:
        elsewhere.replace(file)
    else:
        file.rename(elsewhere)


def replaced(file: Path) -> bytes:
    """Puts a copy in a file's place, which is out of the way then; gives what both hold."""
    content = file.read_bytes()
    moved(file)
    file.write_bytes(content)
    return content


def overwritten(file: Path, kept: int, rest: bytes) -> None:
    """Writes over a file behind so many bytes; it stays the same file for whoever has it open."""
    file.write_bytes(file.read_bytes()[:kept] + rest)


async def unavailable(use: Use, database: Database) -> str:
    """Why a use could not be served."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await use(database)
    return str(caught.value.reason)


async def all_unavailable(database: Database) -> None:
    """Looks at every use, on the connections that there are and on one more."""
    for use in USES:
        assert await unavailable(use, database)


async def all_well(database: Database) -> None:
    for use in USES:
        await use(database)


@pytest.mark.parametrize("name", ["parley.db", "parley.db-wal", "parley.db-shm"])
async def test_moved_file_is_outage(database: Database, path: Path, name: str) -> None:
    """Without any of its files every use fails until the file is back, and none is created in its place."""
    file = path.with_name(name)
    moved(file)
    await all_unavailable(database)
    assert not file.exists()
    moved(file, back=True)
    await all_well(database)


async def test_moved_directory_is_outage(database: Database, path: Path) -> None:
    """Without its directory, as when a volume is unmounted, every use fails until it is back."""
    moved(path.parent)
    await all_unavailable(database)
    assert not path.parent.exists()
    moved(path.parent, back=True)
    await all_well(database)


@pytest.mark.parametrize("name", ["parley.db", "parley.db-wal", "parley.db-shm"])
async def test_replaced_file_is_outage(database: Database, path: Path, name: str) -> None:
    """While another file is at the path it is not written to, and every use fails."""
    file = path.with_name(name)
    copied = replaced(file)
    await all_unavailable(database)
    assert file.read_bytes() == copied
    moved(file, back=True)
    await all_well(database)


async def test_new_connection_rejects_other_file(path: Path) -> None:
    """Connections opened while another file is at the path do not stay with it."""
    database = connect(f"sqlite:///{path}", pool_size=2)
    await schema.upgrade(database)
    await write(database)
    replaced(path)
    await all_unavailable(database)
    moved(path, back=True)
    await write(database)
    async with database.read_session() as session:
        assert (await session.execute(text("SELECT count(*) FROM processes"))).scalar_one() == 1
    assert await database.read(count) == await database.read_snapshot(count) == 1
    await database.close()


async def test_emptied_file_is_outage(database: Database, path: Path) -> None:
    """A truncated file keeps its inode, and is an outage nevertheless."""
    overwritten(path, 0, b"")
    await all_unavailable(database)


async def test_commits_survive_deleted_log(path: Path) -> None:
    """A process that ends writes its log back into the file even after the log was deleted."""
    database = connect(f"sqlite:///{path}", pool_size=2)
    await schema.upgrade(database)
    await all_well(database)
    path.with_name("parley.db-wal").unlink()
    await all_unavailable(database)
    await database.close()
    restarted = connect(f"sqlite:///{path}", pool_size=1)
    assert await restarted.read(count) == 1
    await restarted.close()


async def test_failed_commit_is_rolled_back(database: Database, path: Path) -> None:
    """Nothing of a refused transaction is stored when the file is back."""
    moved(path)
    await unavailable(
        lambda each: each.write(process_leases.heartbeat, "01900000-0000-7000-8000-000000000001", 1), database
    )
    moved(path, back=True)
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
    overwritten(path, kept, b"nonsense" * 50_000)
    for use in USES:
        database = connect(f"sqlite:///{path}", pool_size=1)
        assert code in await unavailable(use, database)
        await database.close()


async def test_unopenable_file_is_lasting_outage(tmp_path: Path) -> None:
    """A directory at the file's path is reported, and not retried."""
    (tmp_path / "parley.db").mkdir()
    for use in (*USES, schema.upgrade):
        database = connect(f"sqlite:///{tmp_path}/parley.db", pool_size=1)
        with pytest.raises(DatabaseUnavailable, match="unreachable") as caught:
            await use(database)
        assert not caught.value.transient
        await database.close()


async def test_wrong_statement_is_no_outage(database: Database) -> None:
    """A statement that SQLite cannot parse is raised as the driver's own error."""

    def wrong() -> Transaction[None]:
        yield Statement("SELECT nothing FROM nowhere")

    for run in (database.write, database.read, database.read_snapshot):
        with pytest.raises(sqlite3.OperationalError):
            await run(wrong)
