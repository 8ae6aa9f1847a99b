"""SQLite: one host, one file, one writer at a time; each commit is synced to disk before it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

import orjson
from sqlalchemy import URL, event, text
from sqlalchemy.dialects.sqlite import aiosqlite
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from app.db.compiled import compile_statement, dump_json
from app.db.database import MIGRATION_LOCK_SECONDS, POOL_WAIT_SECONDS, STATEMENT_SECONDS, Database
from app.db.outages import Outage
from app.db.sqlite.disk_space import DiskSpace, truncate_log
from app.db.sqlite.errors import TRANSIENT, outage_of, primary_code
from app.db.sqlite.file import DatabaseFile
from app.db.transaction import Statement, Transaction, execute

P = ParamSpec("P")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")
PRAGMAS = (
    f"PRAGMA busy_timeout = {STATEMENT_SECONDS * 1000}",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 4000",  # pages: a page written by many commits is copied into the file once
    "PRAGMA journal_size_limit = 16777216",  # bytes: a log that grew beyond that during a long read is cut
)
INTEGRITY_CHECK = text("PRAGMA integrity_check(20)")  # a pragma
DIALECT = aiosqlite.dialect(json_serializer=dump_json, json_deserializer=orjson.loads)
SNAPSHOT_READERS = 2
"""Threads for long reads, each of which keeps a core busy."""
DISK_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
"""Codes of a write without disk space, or one that would make a file larger than the system allows."""


class SqliteDatabase(Database):
    """A file with a pool of sessions, a thread for writing transactions and a thread for reading ones.

    Transactions that are queued at the same moment are committed together with one sync of the disk (group commit).
    Commits and reads fail once the file is no longer at its path (`DatabaseFile`).
    """

    kind = "sqlite"

    def __init__(self, path: Path, *, pool_size: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._disk = DatabaseFile(path), DiskSpace(path)
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(path)),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            connect_args={"isolation_level": None, "factory": self._file.open},
            json_serializer=dump_json,
            json_deserializer=orjson.loads,
        )
        event.listen(engine.sync_engine, "connect", set_pragmas)
        event.listen(engine.sync_engine, "begin", begin_transaction)
        super().__init__(engine)
        self._writer, self._reader = DatabaseThread(self._file), DatabaseThread(self._file)
        self._snapshot_readers = SnapshotReaders(self._file)
        self._writer_lock = asyncio.Lock()
        self._queue: list[QueuedTransaction] = []
        self._committer: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        with self.translate_errors():
            await self._writer.call(use_write_ahead_log, MIGRATION_LOCK_SECONDS)

    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        queued = QueuedTransaction(transaction(*args, **kwargs), asyncio.get_running_loop().create_future())
        self._queue.append(queued)
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_queue())
        with self.translate_errors():
            return await queued.future  # type: ignore[no-any-return]  # the transaction's result

    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        with self.translate_errors():
            return await self._reader.call(read_checked, self._file, transaction(*args, **kwargs))

    async def read_snapshot(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        with self.translate_errors():
            return await self._snapshot_readers.call(read_snapshot_checked, self._file, transaction(*args, **kwargs))

    async def integrity_errors(self) -> list[str]:
        return await self.read_snapshot(integrity_check)

    async def require_space(self, size: int) -> None:
        with self.translate_errors():
            await self._writer.call(self._disk.require, size)

    async def release_space(self) -> None:
        with self.translate_errors():
            await self._writer.call(truncate_log)

    def driver_outage(self, error: BaseException) -> Outage | None:
        return outage_of(error)

    async def close(self) -> None:
        await super().close()
        await self._writer.close()
        await self._reader.close()
        await self._snapshot_readers.close()

    def _write_lock(self, _conversation_id: str | None) -> contextlib.AbstractAsyncContextManager[object]:
        # SQLite's own lock is polled with growing pauses, which is unfair: within a process writers queue here.
        return self._writer_lock

    async def _commit_queue(self) -> None:
        try:
            while self._queue:
                async with self._writer_lock:
                    group, self._queue = self._queue, []
                    await self._commit(group)
        finally:
            self._committer = None

    async def _commit(self, group: list[QueuedTransaction]) -> None:
        try:
            await self._writer.call(commit_together, self._file, self._disk, group)
        except Exception as error:  # noqa: BLE001  raised to the caller of each transaction of the group
            for queued in group:
                queued.error = error
        if any(primary_code(queued.error) in DISK_FULL for queued in group if queued.error is not None):
            with contextlib.suppress(sqlite3.Error):  # the next write raises it again
                await self._writer.call(truncate_log)
        for queued in group:
            queued.resolve()


@dataclass(slots=True)
class QueuedTransaction:
    """A transaction queued for the next group commit, and its result or error."""

    transaction: Transaction[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = field(default=None)

    def resolve(self) -> None:
        """Set the future's result or exception; called in the event loop's thread."""
        if self.future.done():  # its caller was cancelled
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class DatabaseThread:
    """A thread with a connection of its own, opened on first use."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None

    async def call(self, function: Callable[[sqlite3.Connection, *Arguments], T], *arguments: *Arguments) -> T:
        """Call a function in the thread with its connection and return the result."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._call, function, *arguments)

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        self._executor.shutdown()

    def _call(self, function: Callable[[sqlite3.Connection, *Arguments], T], *arguments: *Arguments) -> T:
        if self._connection is None:
            self._connection = self._open()
        return function(self._connection, *arguments)

    def _open(self) -> sqlite3.Connection:
        connection = self._file.open(isolation_level=None, cached_statements=256)
        try:
            set_pragmas(connection, None)
        except BaseException:  # a connection without its pragmas must not be used
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class SnapshotReaders:
    """A pool of threads for long reads; a call waits while all of them are busy."""

    def __init__(self, file: DatabaseFile) -> None:
        self._threads = [DatabaseThread(file) for _ in range(SNAPSHOT_READERS)]
        self._idle: asyncio.LifoQueue[DatabaseThread] = asyncio.LifoQueue()
        for each in self._threads:
            self._idle.put_nowait(each)

    async def call(self, function: Callable[[sqlite3.Connection, *Arguments], T], *arguments: *Arguments) -> T:
        """Call a function in an idle thread with its connection and return the result."""
        thread = await self._idle.get()
        try:
            return await thread.call(function, *arguments)
        finally:
            self._idle.put_nowait(thread)

    async def close(self) -> None:
        for each in self._threads:
            await each.close()


def commit_together(
    connection: sqlite3.Connection, file: DatabaseFile, disk: DiskSpace, group: list[QueuedTransaction]
) -> None:
    """Run transactions one after the other in one commit; one that fails is rolled back alone."""
    disk.truncate_log_if_low(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for queued in group:
            run_in_savepoint(connection, queued)
        file.remember_log()
        connection.commit()
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def run_in_savepoint(connection: sqlite3.Connection, queued: QueuedTransaction) -> None:
    """Run one transaction of a group and keep its result or error; raise if the whole group was rolled back."""
    connection.execute("SAVEPOINT queued")
    try:
        queued.result = run(connection, queued.transaction)
    except Exception as error:
        if not connection.in_transaction:  # SQLite rolls back the whole group when the disk is full or fails
            raise
        queued.error = error
        connection.execute("ROLLBACK TO queued")
    connection.execute("RELEASE queued")


def run(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    """Execute a transaction's statements and return its result."""
    try:
        statement = next(transaction)
        while True:
            statement = transaction.send(rows_of(connection, statement))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration is not generic


def rows_of(connection: sqlite3.Connection, statement: Statement) -> list[Any]:
    """Execute a statement and return its rows."""
    compiled = compile_statement(statement.executable, DIALECT)
    return compiled.rows(connection.execute(compiled.sql, compiled.arguments(statement.values)).fetchall())


def read_checked(connection: sqlite3.Connection, file: DatabaseFile, transaction: Transaction[T]) -> T:
    """Run a transaction that only reads and return its result, unless the file was replaced meanwhile (OSError)."""
    result = run(connection, transaction)
    file.check()
    return result


def read_snapshot_checked(connection: sqlite3.Connection, file: DatabaseFile, transaction: Transaction[T]) -> T:
    """Do the same as `read_checked` on one snapshot."""
    connection.execute("BEGIN")
    try:
        return read_checked(connection, file, transaction)
    finally:
        connection.execute("ROLLBACK")


def integrity_check() -> Transaction[list[str]]:
    """Return the findings of SQLite's own check of all pages and indexes; empty if the file is intact."""
    rows = yield from execute(INTEGRITY_CHECK)
    lines = [line for row in rows for line in row[0].splitlines() if not line.startswith("*** ")]
    return [] if lines == ["ok"] else [f"the file is damaged: {line}" for line in lines]


def set_pragmas(connection: Any, _record: object) -> None:
    """Set the pragmas of a new connection, without which it would not check foreign keys."""
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def use_write_ahead_log(connection: sqlite3.Connection, seconds: float) -> None:
    """Switch the file to write-ahead logging, retrying for so many seconds while other processes lock it.

    The setting is stored in the file. SQLite's busy timeout does not cover this switch.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if primary_code(error) not in TRANSIENT or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def begin_transaction(connection: Connection) -> None:
    """Begin a session's transaction; a writing one takes the lock at once, since upgrading a read lock fails."""
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN DEFERRED")
