"""PostgreSQL's errors by SQLSTATE (its documentation, appendix A): outages of the database, and faults of ours."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import asyncpg

from app.db.outages import Outage, reason_of
from app.errors import DatabaseUnavailable

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
refuses a new one. All others are faults of ours: 22 and 23 of a value, 26, 34 and 42 of a text, 54 of a size.
"""

LASTING = ("0A", "22", "28", "3D", "42", "55P02")
"""What refuses a connection until somebody changes the server or the settings: a start does not wait for it."""

PARAMETERS = frozenset(inspect.signature(asyncpg.connect).parameters)
NUMBERS = ("statement_cache_size", "max_cached_statement_lifetime", "max_cacheable_statement_size")


async def open_connection(**parameters: Any) -> asyncpg.Connection:
    """A new connection, by the parameters of `asyncpg.connect`.

    Raises:
        DatabaseUnavailable: it is refused; whatever the code, no statement is to blame.
    """
    try:
        require_known(parameters)
        return await asyncpg.connect(**parameters | numbers_of(parameters))
    except Exception as error:
        reason = reason_of(error, getattr(error, "sqlstate", None))
        if password := parameters.get("password"):
            reason = reason.replace(str(password), "***")
        raise DatabaseUnavailable(reason=reason, passing=is_passing(error)) from error


def require_known(parameters: Mapping[str, Any]) -> None:
    """Raises ValueError for what stands behind the `?` of a URL and is no parameter of `asyncpg.connect`."""
    if unknown := sorted(parameters.keys() - PARAMETERS):
        hint = "; `sslmode` is written `ssl` here" if "sslmode" in unknown else ""
        raise ValueError(f"DATABASE_URL has parameters that are not known: {', '.join(unknown)}{hint}")


def numbers_of(parameters: Mapping[str, Any]) -> dict[str, int]:
    """Those parameters that are numbers and come from a URL as texts."""
    return {name: int(parameters[name]) for name in NUMBERS if name in parameters}


def is_passing(error: BaseException) -> bool:
    """Whether what refused a connection may go away by itself; a value that asyncpg or TLS refuses does not."""
    code = getattr(error, "sqlstate", None) or ""
    return not isinstance(error, TypeError | ValueError | OverflowError) and not code.startswith(LASTING)


def outage_of(error: BaseException) -> Outage | None:
    """The outage that an error of asyncpg stands for; None for a fault of ours, and for what is not asyncpg's."""
    if isinstance(error, asyncpg.PostgresError):
        code = str(error.sqlstate)
        known = ends_connection(error) or code in OUTAGES or code[:2] in OUTAGES
        return Outage(reason_of(error, code), is_passing(error)) if known else None
    # Those that are ValueErrors say that a value of ours does not fit its type.
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError) and not isinstance(error, ValueError):
        return Outage(reason_of(error))
    return None


def ends_connection(error: BaseException) -> bool:
    """Whether the server ends the connection with this error, whatever its code."""
    severity = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return severity in {"FATAL", "PANIC"}


def is_read_only(error: BaseException) -> bool:
    """Whether a write was refused since the server is read-only."""
    return getattr(error, "sqlstate", None) == READ_ONLY


def leaves_unsure(error: BaseException) -> bool:
    """Whether a connection is of no use after this error: closed, read-only, or in an unknown state."""
    if isinstance(error, asyncpg.PostgresError):
        return ends_connection(error) or is_read_only(error) or str(error.sqlstate).startswith("08")
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError)
