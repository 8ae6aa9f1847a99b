"""The room on a SQLite database's disk: what arrives in bulk leaves some, so that all else can still be written."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
from pathlib import Path

from app.db.outages import reason_of
from app.errors import DatabaseUnavailable

RESERVE_BYTES = 8_000_000
RESERVE_SHARE = 4
"""Left free by what arrives in bulk, of a small disk a quarter: a batch of a removal takes 1 MB until it is written
back, and turns go on meanwhile.
"""
WRITE_BACK_BYTES = 4_000_000
"""In bulk, after which the write-ahead log is written back: until then it is unknown whether the file can grow."""
SMALL_LOG_BYTES = 1_000_000
BUSY_MS = 200
"""Seconds for which readers may keep the log from being emptied, before it is left for the next time."""


class DiskSpace:
    """Watches one database's disk; its methods block for some microseconds, or while the log is written back.

    To be used in one thread, outside of transactions. A log that has taken all room that its database needs to grow
    could never be written back, and so would take it for good: it is emptied before that.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._in_bulk = 0

    def require(self, connection: sqlite3.Connection, size: int) -> None:
        """Do nothing where so many more bytes can be stored in bulk.

        Raises:
            DatabaseUnavailable: they would not leave the reserve, or the file cannot grow.
        """
        self._in_bulk += size
        try:
            if self._in_bulk >= WRITE_BACK_BYTES:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._in_bulk = 0
            if self._spare() < size:
                write_back(connection)
        except sqlite3.Error as error:
            raise no_room(reason_of(error, error.sqlite_errorname)) from error
        if self._spare() < size:
            raise no_room(f"what is free on the disk of {self._path.name} is kept for all else")

    def relieve(self, connection: sqlite3.Connection) -> None:
        """Empty the log while there is still room for its contents, if little is left."""
        if self._spare() < 0 and bytes_of(self._log) > SMALL_LOG_BYTES:
            with contextlib.suppress(sqlite3.Error):  # what needs the room says so
                write_back(connection)

    def _spare(self) -> int:
        """Bytes beyond the reserve once the log is written back, all of it into new pages; negative within it."""
        disk = os.statvfs(self._path.parent)
        free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if largest != resource.RLIM_INFINITY:
            free, whole = min(free, largest - bytes_of(self._path)), min(whole, largest)
        return free - bytes_of(self._log) - min(RESERVE_BYTES, whole // RESERVE_SHARE)


def bytes_of(path: Path) -> int:
    """The size of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def write_back(connection: sqlite3.Connection) -> None:
    """Write the log back and empty it, unless readers of it stay for too long.

    Raises:
        sqlite3.Error: the file cannot grow.
    """
    (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}")


def no_room(reason: str) -> DatabaseUnavailable:
    """The refusal of what would fill the disk."""
    return DatabaseUnavailable("The database has no room left for this.", reason=reason, passing=False)
