"""SQLite: one host, one file, one writer at a time, and every commit on disk before it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import URL, event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from app.db.database import LOCK_SECONDS, POOL_WAIT_SECONDS, STATEMENT_SECONDS, Database
from app.db.outages import Outage
from app.db.sqlite.disk_space import DiskSpace, write_back
from app.db.sqlite.errors import PASSING, outage_of, primary_code
from app.db.sqlite.file import DatabaseFile
from app.db.transaction import Statement, Transaction

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")
# All processes are on one host, whose monotonic clock they share: leases go by that, since no setting of the wall
# clock moves it. It starts again with the host.
CLOCK = "monotonic_ms()"
PRAGMAS = (
    f"PRAGMA busy_timeout = {STATEMENT_SECONDS * 1000}",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 4000",  # pages: a busy one is written back once for many commits
    "PRAGMA journal_size_limit = 16777216",  # what it grows beyond that, behind a long reader, is given back
)
SCANNERS = 2
"""Searches that read at once: they keep a core each busy."""
FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
"""Of a write for which there is no room, or that would make a file too large."""
PLACE = re.compile(r"\$(?=\d)")


class SqliteDatabase(Database):
    """A file with a pool of sessions, a thread for transactions that write and a thread for those that read.

    Transactions that wait at the same moment are committed together: one sync of the disk serves them all. Nothing is
    committed to a file, nor read from one, that is not at its path any more.
    """

    kind = "sqlite"

    def __init__(self, path: Path, *, pool_size: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._room = DatabaseFile(path), DiskSpace(path)
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(path)),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            connect_args={"isolation_level": None, "factory": self._file.open},
        )
        event.listen(engine.sync_engine, "connect", set_pragmas)
        event.listen(engine.sync_engine, "begin", begin)
        super().__init__(engine)
        self._writer, self._reader = DatabaseThread(self._file), DatabaseThread(self._file)
        self._scanners = Scanners(self._file)
        self._gate = asyncio.Lock()
        self._jobs: list[Job] = []
        self._committer: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """See `Database.prepare`: turns the write-ahead log on, which the file remembers."""
        with self.translated():
            await self._writer.call(use_write_ahead_log, LOCK_SECONDS)

    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Database.write`."""
        job = Job(transaction(*args, **kwargs), asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_jobs())
        with self.translated():
            return await job.outcome  # type: ignore[no-any-return]  # the transaction's result

    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Database.read`."""
        with self.translated():
            return await self._reader.call(self._intact(run), transaction(*args, **kwargs))

    async def read_snapshot(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Database.read_snapshot`."""
        with self.translated():
            return await self._scanners.call(self._intact(run_on_snapshot), transaction(*args, **kwargs))

    async def damage(self) -> list[str]:
        """See `Database.damage`."""
        return await self.read_snapshot(damaged_places)

    async def require_room(self, size: int) -> None:
        """See `Database.require_room`."""
        with self.translated():
            await self._writer.call(self._room.require, size)

    async def release_room(self) -> None:
        """See `Database.release_room`."""
        with self.translated():
            await self._writer.call(lambda connection, _: write_back(connection), None)

    def driver_outage(self, error: BaseException) -> Outage | None:
        """See `Database.driver_outage`."""
        return outage_of(error)

    async def close(self) -> None:
        """See `Database.close`."""
        await super().close()
        await self._writer.close()
        await self._reader.close()
        await self._scanners.close()

    def _turn_to_write(self, _locks: str | None) -> contextlib.AbstractAsyncContextManager[object]:
        # SQLite's own lock is polled for with growing pauses: within a process, wait in a fair line instead.
        return self._gate

    def _intact(self, read: Callable[[sqlite3.Connection, A], T]) -> Callable[[sqlite3.Connection, A], T]:
        def checked(connection: sqlite3.Connection, argument: A) -> T:
            value = read(connection, argument)
            self._file.check()
            return value

        return checked

    async def _commit_jobs(self) -> None:
        try:
            while self._jobs:
                async with self._gate:
                    jobs, self._jobs = self._jobs, []
                    await self._commit(jobs)
        finally:
            self._committer = None

    async def _commit(self, jobs: list[Job]) -> None:
        try:
            await self._writer.call(functools.partial(commit_together, self._file, self._room), jobs)
        except Exception as error:  # noqa: BLE001  whatever it is, each waiting transaction is given it
            for job in jobs:
                job.error = error
        if any(primary_code(job.error) in FULL for job in jobs if job.error is not None):
            with contextlib.suppress(sqlite3.Error):  # what it would make room for says so again
                await self._writer.call(lambda connection, _: write_back(connection), None)
        for job in jobs:
            job.deliver()


@dataclass(slots=True)
class Job:
    """A transaction that waits for its commit, then its result."""

    transaction: Transaction[Any]
    outcome: asyncio.Future[Any]
    value: Any = None
    error: Exception | None = field(default=None)

    def deliver(self) -> None:
        """Tells the one who waits, in the event loop's thread."""
        if self.outcome.done():  # who waited has gone
            return
        if self.error is None:
            self.outcome.set_result(self.value)
        else:
            self.outcome.set_exception(self.error)


class DatabaseThread:
    """A thread with a connection of its own, opened on first use."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None

    async def call(self, function: Callable[[sqlite3.Connection, A], T], argument: A) -> T:
        """Gives what the function gives when called in the thread with its connection."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._call, function, argument)

    async def close(self) -> None:
        """Closes the connection and ends the thread."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        self._executor.shutdown()

    def _call(self, function: Callable[[sqlite3.Connection, A], T], argument: A) -> T:
        if self._connection is None:
            self._connection = self._opened()
        return function(self._connection, argument)

    def _opened(self) -> sqlite3.Connection:
        connection = self._file.open(isolation_level=None, cached_statements=256)
        try:
            connection.create_function("monotonic_ms", 0, monotonic_ms)
            set_pragmas(connection, None)
        except BaseException:  # one without them is not to be worked with
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Scanners:
    """A few threads with connections for what takes long to read; who comes when all are busy waits for one."""

    def __init__(self, file: DatabaseFile) -> None:
        self._threads = [DatabaseThread(file) for _ in range(SCANNERS)]
        self._idle: asyncio.LifoQueue[DatabaseThread] = asyncio.LifoQueue()
        for each in self._threads:
            self._idle.put_nowait(each)

    async def call(self, function: Callable[[sqlite3.Connection, A], T], argument: A) -> T:
        """See `DatabaseThread.call`."""
        thread = await self._idle.get()
        try:
            return await thread.call(function, argument)
        finally:
            self._idle.put_nowait(thread)

    async def close(self) -> None:
        """See `DatabaseThread.close`."""
        for each in self._threads:
            await each.close()


def commit_together(file: DatabaseFile, room: DiskSpace, connection: sqlite3.Connection, jobs: list[Job]) -> None:
    """Run transactions one after the other in one commit; one that fails is rolled back alone."""
    room.relieve(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for job in jobs:
            run_job(connection, job)
        file.learn_log()
        connection.commit()
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def damaged_places() -> Transaction[list[str]]:
    """Return the findings of SQLite's own check of all pages and indexes."""
    rows = yield Statement("PRAGMA integrity_check(20)")
    lines = [line for row in rows for line in row[0].splitlines() if not line.startswith("*** ")]
    return [] if lines == ["ok"] else [f"the file is damaged: {line}" for line in lines]


def run_job(connection: sqlite3.Connection, job: Job) -> None:
    """Run one transaction in a savepoint."""
    connection.execute("SAVEPOINT job")
    try:
        job.value = run(connection, job.transaction)
    except Exception as error:
        if not connection.in_transaction:  # a full disk, or one that fails, undoes all of the group's transactions
            raise
        job.error = error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def run(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    """Execute a transaction's statements and return its result."""
    try:
        statement = next(transaction)
        while True:
            rows = connection.execute(dialect(statement.sql), statement.values).fetchall()
            statement = transaction.send(rows)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration is not generic


def run_on_snapshot(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    """Execute a transaction that only reads, on one snapshot."""
    connection.execute("BEGIN")
    try:
        return run(connection, transaction)
    finally:
        connection.execute("ROLLBACK")


def monotonic_ms() -> int:
    """Read the host's monotonic clock, in milliseconds since some moment at or after its start."""
    return time.monotonic_ns() // 1_000_000


@functools.lru_cache(maxsize=256)
def dialect(sql: str) -> str:
    """A statement as SQLite wants it."""
    return PLACE.sub("?", sql.replace("{now}", CLOCK))


def set_pragmas(connection: Any, _record: object) -> None:
    """They are per connection, and a connection without them would not check foreign keys."""
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def use_write_ahead_log(connection: sqlite3.Connection, seconds: float) -> None:
    """Switches the journal's mode; SQLite's own patience does not cover that, so processes that start at once retry."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if primary_code(error) not in PASSING or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def begin(connection: Connection) -> None:
    """A reader that turns writer fails at once with "database is locked": writers say so from the start."""
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN DEFERRED")
