"""Classification of PostgreSQL's errors by SQLSTATE (PostgreSQL documentation, appendix A)."""

from __future__ import annotations

import re
import ssl

import asyncpg

from app.db.outages import Outage, reason_of

READ_ONLY = "25006"
OUTAGES = frozenset(
    {
        "08",  # the connection failed, or the protocol broke
        READ_ONLY,  # as a primary is after a failover
        "25P03",  # the transaction was idle for longer than the server allows
        "25P04",  # the transaction took longer than the server allows
        "28",  # the login is refused
        "3D",  # the database does not exist
        "40",  # a deadlock or serialization failure, after a retry
        "53",  # no connections, memory or disk left
        "55000",  # the database accepts no connections
        "55006",  # a command has exclusive use of the database
        "55P03",  # a lock is not available in time
        "57",  # cancelled by an operator or a time-out; start, crash or shutdown of the server
        "58",  # an error of the server's files or its operating system
        "F0",  # an error in the server's configuration
        "XX",  # an internal error of the server or a pooler, or damaged data
    }
)
"""Codes, and classes of two characters, that no statement is to blame for; any code is an outage if it ends the
connection or refuses a new one. All others are bugs of the service: 22 and 23 of a value, 34 and most of 42 of SQL
text, 54 of a size."""

PERMANENT = ("0A", "22", "26", "28", "3D", "42", "55P02")
"""Codes that refuse a connection until the server or the settings are changed: a start does not wait."""
PROTOCOL_VIOLATION = "08P01"
POOLER_REFUSES = re.compile(r"no such (user|database)|unsupported startup parameter|authentication failed")
"""Messages of pgbouncer with that code that are permanent."""
PREPARED_STATEMENT = frozenset({"26000", "42P05"})
"""A prepared statement is missing, or exists already: the connection now leads to another server connection."""
SET_POOLER = "behind a pooler that gives each transaction another connection, set DATABASE_POOLER=transaction"
NO_TLS = "rejected SSL upgrade"
"""Message of asyncpg about a server without TLS."""
HANDSHAKE_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""Connections that ended within a TLS handshake; any other TLS error is permanent."""


def is_transient(error: BaseException) -> bool:
    """Return whether the cause of a refused connection may end by itself; False for values that asyncpg rejects."""
    code = getattr(error, "sqlstate", None) or ""
    if isinstance(error, ssl.SSLError):
        return isinstance(error, HANDSHAKE_CUT)
    if code == PROTOCOL_VIOLATION and POOLER_REFUSES.search(str(error)):
        return False
    return not isinstance(error, TypeError | ValueError) and not code.startswith(PERMANENT) and NO_TLS not in str(error)


def outage_of(error: BaseException) -> Outage | None:
    """Classify an error of asyncpg; None for a bug of the service, and for errors of other libraries."""
    if isinstance(error, asyncpg.PostgresError):
        code = str(error.sqlstate)
        if code in PREPARED_STATEMENT:
            return Outage(f"{reason_of(error, code)}; {SET_POOLER}", transient=False)
        is_outage = ends_connection(error) or code in OUTAGES or code[:2] in OUTAGES
        return Outage(reason_of(error, code), is_transient(error)) if is_outage else None
    # A client error that is a ValueError means that a value of the service does not fit its type.
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError) and not isinstance(error, ValueError):
        return Outage(reason_of(error))
    return None


def ends_connection(error: BaseException) -> bool:
    """Return whether the server ends the connection with this error, whatever its code."""
    severity = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return severity in {"FATAL", "PANIC"}


def is_read_only(error: BaseException) -> bool:
    """Return whether a write was refused because the server is read-only."""
    return getattr(error, "sqlstate", None) == READ_ONLY


def breaks_connection(error: BaseException) -> bool:
    """Return whether a connection cannot be used after this error: closed, read-only, or in an unknown state."""
    if isinstance(error, asyncpg.PostgresError):
        return ends_connection(error) or is_read_only(error) or str(error.sqlstate).startswith("08")
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError)
