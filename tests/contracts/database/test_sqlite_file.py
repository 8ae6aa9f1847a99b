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
async def test_what_is_moved_away_is_missed_until_it_is_back(database: Database, path: Path, name: str) -> None:
    """Without any of its files nothing is acknowledged or read_session, and no other file is made in its place."""
    file = path.with_name(name)
    moved(file)
    await all_unavailable(database)
    assert not file.exists()
    moved(file, back=True)
    await all_well(database)


async def test_a_directory_that_is_moved_away_is_missed_until_it_is_back(database: Database, path: Path) -> None:
    """The same goes for all of them, as when a volume is taken away."""
    moved(path.parent)
    await all_unavailable(database)
    assert not path.parent.exists()
    moved(path.parent, back=True)
    await all_well(database)


@pytest.mark.parametrize("name", ["parley.db", "parley.db-wal", "parley.db-shm"])
async def test_what_is_replaced_is_missed_until_it_is_back(database: Database, path: Path, name: str) -> None:
    """Another file at the path is not written to, nor are connections opened to it that would stay."""
    file = path.with_name(name)
    copied = replaced(file)
    await all_unavailable(database)
    assert file.read_bytes() == copied
    moved(file, back=True)
    await all_well(database)


async def test_a_connection_is_not_opened_to_another_file(path: Path) -> None:
    """Connections that are opened while another file is there do not stay with it when the right one is back."""
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


async def test_a_file_that_was_emptied_is_missed(database: Database, path: Path) -> None:
    """What truncates the file leaves its inode, and nothing of the database."""
    overwritten(path, 0, b"")
    await all_unavailable(database)


async def test_what_was_committed_before_the_log_was_deleted_is_there_after_a_restart(path: Path) -> None:
    """A process that ends writes its log back even when that has lost its name."""
    database = connect(f"sqlite:///{path}", pool_size=2)
    await schema.upgrade(database)
    await all_well(database)
    path.with_name("parley.db-wal").unlink()
    await all_unavailable(database)
    await database.close()
    restarted = connect(f"sqlite:///{path}", pool_size=1)
    assert await restarted.read(count) == 1
    await restarted.close()


async def test_a_commit_that_fails_is_undone(database: Database, path: Path) -> None:
    """Nothing of what was refused is there when the file is back."""
    moved(path)
    await unavailable(
        lambda each: each.write(process_leases.heartbeat, "01900000-0000-7000-8000-000000000001", 1), database
    )
    moved(path, back=True)
    assert await database.read(count) == 1


async def test_a_full_disk_is_an_outage_until_there_is_room(database: Database, path: Path) -> None:
    """A group of transactions without disk space is refused as a whole; the next is stored once there is some."""
    pages = await database.write(pragma, "page_count")
    await database.write(pragma, f"max_page_count = {pages + 2}")
    assert "SQLITE_FULL" in await unavailable(lambda each: each.write(fill, 20), database)
    await write(database)
    await database.write(pragma, f"max_page_count = {2**30}")
    await database.write(fill, 20)


@pytest.mark.parametrize(("kept", "code"), [(0, "SQLITE_NOTADB"), (8192, "SQLITE_CORRUPT")])
async def test_a_damaged_file_is_an_outage(path: Path, kept: int, code: str) -> None:
    """What is no database, or one with pages of nonsense, is nobody's fault who asks."""
    overwritten(path, kept, b"nonsense" * 50_000)
    for use in USES:
        database = connect(f"sqlite:///{path}", pool_size=1)
        assert code in await unavailable(use, database)
        await database.close()


async def test_a_file_that_cannot_be_opened_is_an_outage(tmp_path: Path) -> None:
    """A directory in the file's place is named, and not waited for."""
    (tmp_path / "parley.db").mkdir()
    for use in (*USES, schema.upgrade):
        database = connect(f"sqlite:///{tmp_path}/parley.db", pool_size=1)
        with pytest.raises(DatabaseUnavailable, match="unreachable") as caught:
            await use(database)
        assert not caught.value.transient
        await database.close()


async def test_a_statement_that_is_wrong_is_a_fault_of_ours(database: Database) -> None:
    """What SQLite cannot make sense of is not blamed on the file."""

    def wrong() -> Transaction[None]:
        yield Statement("SELECT nothing FROM nowhere")

    for run in (database.write, database.read, database.read_snapshot):
        with pytest.raises(sqlite3.OperationalError):
            await run(wrong)
