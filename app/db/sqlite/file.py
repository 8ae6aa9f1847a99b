"""Comparison of the files that connections to SQLite are open on with those at their paths."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any


class FileReplaced(OSError):
    """A file of the database is not the one that this process works on."""


class FileConnection(sqlite3.Connection):
    """A connection that commits only to files that are at their paths."""

    file: DatabaseFile

    def commit(self) -> None:
        """See `sqlite3.Connection.commit`; raises OSError when it is refused."""
        self.file.check()
        super().commit()


class DatabaseFile:
    """A database's file, its write-ahead log and that log's index, known by device and inode.

    A file that was deleted, moved or replaced goes on to take commits from connections that are open on it, and nobody
    finds them again; SQLite itself notices only where it keeps no write-ahead log. So the paths are compared before
    each commit and behind each read: what happens to them between two comparisons is found by the next.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[Path, tuple[int, int]] = {}

    def open(self, _path: object = None, **options: Any) -> FileConnection:
        """A connection to the file, which is made at the first time only; fit to be the `factory` of `sqlite3.connect`.

        Raises:
            OSError: the file is not at its path any more: to open that would make another, empty one.
        """
        self.check()
        connection = FileConnection(self._path, **options | {"factory": FileConnection})
        connection.file = self
        try:
            self._known.setdefault(self._path, identity(self._path.stat()))
            self.check()
        except BaseException:
            connection.close()
            raise
        return connection

    def check(self) -> None:
        """Does nothing where every file that is known is at its path; blocks for some microseconds.

        Raises:
            OSError: one is not, or the database is empty. When the file is back, all is well again.
        """
        for path, known in tuple(self._known.items()):
            found = path.stat()
            emptied = path == self._path and not found.st_size and len(self._known) > 1
            if identity(found) != known or emptied:
                raise FileReplaced(f"{path.name} is not the file any more that this process has opened")

    def learn_log(self) -> None:
        """Has the log and its index known too, once there is one.

        To be called in a transaction of a connection that stays open: the last one that is closed deletes both.
        """
        for suffix in ("-wal", "-shm"):
            path = self._path.with_name(self._path.name + suffix)
            if path not in self._known and path.exists():
                self._known[path] = identity(path.stat())


def identity(found: os.stat_result) -> tuple[int, int]:
    """Device and inode."""
    return found.st_dev, found.st_ino
