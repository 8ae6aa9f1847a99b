"""SQLite's errors by their primary result code (its documentation, "Result and Error Codes")."""

from __future__ import annotations

import sqlite3

from app.db.outages import Outage, reason_of

OUTAGES = frozenset(
    {
        sqlite3.SQLITE_PERM,  # the file, or its lock, may not be used
        sqlite3.SQLITE_BUSY,  # another process writes for too long
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,  # file, directory or file system may not be written to
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,  # the disk
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,  # a race for the write-ahead log was lost again and again
        sqlite3.SQLITE_NOLFS,  # the file system takes no file as large as this one
        sqlite3.SQLITE_NOTADB,
    }
)
"""Codes that no statement is to blame for; all others are faults of ours."""
PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
"""Codes that another process causes, so that a start waits for it."""
PRIMARY = 0xFF


def outage_of(error: BaseException) -> Outage | None:
    """The outage that an error of sqlite3 stands for; None for a fault of ours, and for what is not sqlite3's."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = primary_code(error)
    if code is None:  # not SQLite's own: aiosqlite has no connection any more
        return Outage(reason_of(error)) if isinstance(error, sqlite3.OperationalError) else None
    return Outage(reason_of(error, error.sqlite_errorname), code in PASSING) if code in OUTAGES else None


def primary_code(error: BaseException) -> int | None:
    """The result code without what extends it; None where the error is not SQLite's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & PRIMARY
