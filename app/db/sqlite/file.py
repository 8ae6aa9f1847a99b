"""Check that the files of open SQLite connections are still those at the database's paths."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any


class FileReplaced(OSError):
    """A file at one of the database's paths is not the one that this process has open."""


class FileConnection(sqlite3.Connection):
    """A connection that refuses to commit when the database's files have been replaced."""

    file: DatabaseFile

    def commit(self) -> None:
        """Commit after checking the files.

        Raises:
            OSError: a file was replaced, moved or deleted.
        """
        self.file.check()
        super().commit()


class DatabaseFile:
    """A database's file, write-ahead log and log index, identified by device and inode.

    Connections that have a deleted, moved or replaced file open go on committing to it, and those commits are lost;
    SQLite itself notices only without a write-ahead log. So the paths are compared before each commit and after each
    read; a change between two comparisons is found by the next.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identities: dict[Path, tuple[int, int]] = {}

    def open(self, _path: object = None, **options: Any) -> FileConnection:
        """Open a connection to the file, which is created the first time only; a `factory` for `sqlite3.connect`.

        Raises:
            OSError: the file is no longer at its path, where opening would create an empty one.
        """
        self.check()
        connection = FileConnection(self._path, **options | {"factory": FileConnection})
        connection.file = self
        try:
            connection.create_function("monotonic_ms", 0, monotonic_ms)
            self._identities.setdefault(self._path, identity(self._path.stat()))
            self.check()
        except BaseException:
            connection.close()
            raise
        return connection

    def check(self) -> None:
        """Compare all known files with those at their paths; blocks for some microseconds.

        Raises:
            OSError: one was replaced, moved or deleted, or the database was emptied; until the file is back.
        """
        for path, known in tuple(self._identities.items()):
            present = path.stat()
            emptied = path == self._path and not present.st_size and len(self._identities) > 1
            if identity(present) != known or emptied:
                raise FileReplaced(f"{path.name} is no longer the file that this process has opened")

    def remember_log(self) -> None:
        """Record the identities of the log and its index once they exist.

        Called within a transaction of a connection that stays open, since the last one to close deletes both files.
        """
        for suffix in ("-wal", "-shm"):
            path = self._path.with_name(self._path.name + suffix)
            if path not in self._identities and path.exists():
                self._identities[path] = identity(path.stat())


def monotonic_ms() -> int:
    """Read the host's monotonic clock in milliseconds, counted from some moment at or after its boot."""
    return time.monotonic_ns() // 1_000_000


def identity(stat: os.stat_result) -> tuple[int, int]:
    """Return device and inode."""
    return stat.st_dev, stat.st_ino
