"""Disk space of a SQLite database: bulk data leaves a reserve, so that everything else can still be written."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
from pathlib import Path

from app.db.outages import reason_of
from app.errors import DatabaseUnavailable

RESERVE_BYTES = 8_000_000
RESERVE_DIVISOR = 4
"""Bulk data leaves RESERVE_BYTES free, but at most a quarter of a small disk: a batch of a deletion takes 1 MB until
the log is checkpointed, and turns go on meanwhile."""
BULK_BYTES_PER_CHECKPOINT = 4_000_000
"""Bulk bytes after which the write-ahead log is checkpointed: only then is it known whether the file can grow."""
SMALL_LOG_BYTES = 1_000_000
BUSY_MS = 200
"""Milliseconds to wait for readers of the log before truncation is left for the next time."""


class DiskSpace:
    """Watches the disk of one database; methods block for some microseconds, or while the log is checkpointed.

    Methods are called in the writer's thread, outside of transactions. A write-ahead log that has taken all the space
    its database needs to grow could never be checkpointed, so it is truncated before that.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._bulk_bytes = 0

    def require(self, connection: sqlite3.Connection, size: int) -> None:
        """Raise unless so many more bytes can be stored in bulk.

        Raises:
            DatabaseUnavailable: they would use up the reserve, or the file cannot grow.
        """
        self._bulk_bytes += size
        try:
            if self._bulk_bytes >= BULK_BYTES_PER_CHECKPOINT:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._bulk_bytes = 0
            if self._available_bytes() < size:
                truncate_log(connection)
        except sqlite3.Error as error:
            raise disk_full(reason_of(error, error.sqlite_errorname)) from error
        if self._available_bytes() < size:
            raise disk_full(f"the free space on the disk of {self._path.name} is reserved")

    def truncate_log_if_low(self, connection: sqlite3.Connection) -> None:
        """Truncate the log once the reserve is in use, while there is still space for the log's contents."""
        if self._available_bytes() < 0 and size_of(self._log) > SMALL_LOG_BYTES:
            with contextlib.suppress(sqlite3.Error):  # the write that needs the space raises the error itself
                truncate_log(connection)

    def _available_bytes(self) -> int:
        """Bytes beyond the reserve if the whole log became new pages of the file; negative if the reserve is in use."""
        disk = os.statvfs(self._path.parent)
        free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if largest != resource.RLIM_INFINITY:
            free, total = min(free, largest - size_of(self._path)), min(total, largest)
        return free - size_of(self._log) - min(RESERVE_BYTES, total // RESERVE_DIVISOR)


def size_of(path: Path) -> int:
    """Return a file's size in bytes; 0 if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def truncate_log(connection: sqlite3.Connection) -> None:
    """Checkpoint the write-ahead log and truncate it, unless its readers stay for more than 200 ms.

    Raises:
        sqlite3.Error: the file cannot grow.
    """
    (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}")


def disk_full(reason: str) -> DatabaseUnavailable:
    """Build the error for bulk data that would fill the disk."""
    return DatabaseUnavailable(
        "The database's disk is full; the operator has to free space.", reason=reason, transient=False
    )
