"""Classification of SQLite's errors by primary result code (SQLite documentation, "Result and Error Codes")."""

from __future__ import annotations

import sqlite3

from app.db.outages import Outage, reason_of

OUTAGES = frozenset(
    {
        sqlite3.SQLITE_PERM,  # no permission for the file or its lock
        sqlite3.SQLITE_BUSY,  # another process holds the write lock for too long
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,  # file, directory or file system cannot be written to
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,  # the disk
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,  # a race for the write-ahead log was lost repeatedly
        sqlite3.SQLITE_NOLFS,  # the file system does not support files of this size
        sqlite3.SQLITE_NOTADB,
    }
)
"""Codes that no statement is to blame for; all others are bugs of the service."""
TRANSIENT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
"""Codes caused by another process, so that a start waits."""
PRIMARY_MASK = 0xFF


def outage_of(error: BaseException) -> Outage | None:
    """Classify an error of sqlite3; None for a bug of the service, and for errors of other libraries."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = primary_code(error)
    if code is None:  # raised by aiosqlite, whose connection is closed
        return Outage(reason_of(error)) if isinstance(error, sqlite3.OperationalError) else None
    return Outage(reason_of(error, error.sqlite_errorname), code in TRANSIENT) if code in OUTAGES else None


def primary_code(error: BaseException) -> int | None:
    """Return the result code without its extension bits; None if SQLite did not raise the error."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & PRIMARY_MASK
