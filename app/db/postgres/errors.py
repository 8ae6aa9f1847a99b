"""PostgreSQL's errors by SQLSTATE (its documentation, appendix A): outages of the database, and faults of ours."""

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
        "25P03",  # the transaction stood still for longer than the server allows
        "25P04",  # the transaction took longer than the server allows
        "28",  # the login is refused
        "3D",  # there is no such database
        "40",  # a deadlock or a race was lost, by a script twice
        "53",  # no connections, memory or disk are left
        "55000",  # the database accepts no connections
        "55006",  # a command has the database for itself
        "55P03",  # a lock cannot be had in time
        "57",  # an operator, a time-out, a start, a crash or the end of the server
        "58",  # the server's files, or its system, failed
        "F0",  # the server's configuration is broken
        "XX",  # the server or a pooler before it failed inside, or data are damaged
    }
)
"""Codes, and classes of two characters, that no statement is to blame for; nor for any that ends the connection, or
refuses a new one. All others are faults of ours: 22 and 23 of a value, 34 and most of 42 of a text, 54 of a size.
"""

LASTING = ("0A", "22", "26", "28", "3D", "42", "55P02")
"""Codes that refuse a connection until somebody changes the server or the settings: a start does not wait for it."""
PROTOCOL_VIOLATION = "08P01"
POOLER_REFUSES = re.compile(r"no such (user|database)|unsupported startup parameter|authentication failed")
"""Messages of pgbouncer with that code that would come again."""
ANOTHER_SERVER = frozenset({"26000", "42P05"})
"""A prepared statement is missing, or there already: the connection has come to lead to another server."""
SET_POOLER = "behind a pooler that gives each transaction another connection, set DATABASE_POOLER=transaction"
NO_TLS = "rejected SSL upgrade"
"""Message of asyncpg about a server without TLS."""
CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""Connections that ended within a handshake; whatever else TLS refuses, a wait does not change."""


def is_passing(error: BaseException) -> bool:
    """Return whether what refused a connection may go away by itself; a value that asyncpg or TLS refuses does not."""
    code = getattr(error, "sqlstate", None) or ""
    if isinstance(error, ssl.SSLError):
        return isinstance(error, CUT)
    if code == PROTOCOL_VIOLATION and POOLER_REFUSES.search(str(error)):
        return False
    return not isinstance(error, TypeError | ValueError) and not code.startswith(LASTING) and NO_TLS not in str(error)


def outage_of(error: BaseException) -> Outage | None:
    """The outage that an error of asyncpg stands for; None for a fault of ours, and for what is not asyncpg's."""
    if isinstance(error, asyncpg.PostgresError):
        code = str(error.sqlstate)
        if code in ANOTHER_SERVER:
            return Outage(f"{reason_of(error, code)}; {SET_POOLER}", passing=False)
        known = ends_connection(error) or code in OUTAGES or code[:2] in OUTAGES
        return Outage(reason_of(error, code), is_passing(error)) if known else None
    # Those that are ValueErrors say that a value of ours does not fit its type.
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError) and not isinstance(error, ValueError):
        return Outage(reason_of(error))
    return None


def ends_connection(error: BaseException) -> bool:
    """Return whether the server ends the connection with this error, whatever its code."""
    severity = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return severity in {"FATAL", "PANIC"}


def is_read_only(error: BaseException) -> bool:
    """Return whether a write was refused since the server is read-only."""
    return getattr(error, "sqlstate", None) == READ_ONLY


def leaves_unsure(error: BaseException) -> bool:
    """Return whether a connection is of no use after this error: closed, read-only, or in an unknown state."""
    if isinstance(error, asyncpg.PostgresError):
        return ends_connection(error) or is_read_only(error) or str(error.sqlstate).startswith("08")
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError)
