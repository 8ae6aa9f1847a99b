"""Outages of a database: how drivers report them, as far as both databases have it in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import exc

MAX_CAUSES = 20
MAX_REASON_CHARACTERS = 300


class Outage(NamedTuple):
    """An error of the database that no statement is to blame for."""

    reason: str
    """For the operator only: one line, with the driver's code if there is one, without statements and values."""
    transient: bool = True
    """True if it may end by itself, so that a start waits for it."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, by `__cause__` and SQLAlchemy's `orig`, each once and at most 20.

    Drivers build chains that lead back into themselves.
    """
    pending: list[BaseException] = [error]
    seen: list[BaseException] = []
    while pending and len(seen) < MAX_CAUSES:
        each = pending.pop(0)
        if any(each is other for other in seen):
            continue
        seen.append(each)
        yield each
        pending += [cause for cause in (each.__cause__, getattr(each, "orig", None)) if cause is not None]


def common_outage(error: BaseException) -> Outage | None:
    """Classify an error that either database may raise: of the network, of files, or a pool without a free connection.

    None if the error is no outage, or is the driver's own.
    """
    if isinstance(error, exc.TimeoutError):
        return Outage("no connection of the pool was free in time")
    if isinstance(error, OSError):  # includes time-outs, unresolved names and TLS errors
        return Outage(reason_of(error))
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return Outage("the connection was closed")
    return None


def reason_of(error: BaseException, code: str | None = None) -> str:
    """Return an error's message as one line of at most 300 characters, followed by its code in parentheses."""
    message = str(error.args[0]) if code is not None and error.args else str(error)
    line = " ".join(message.split())[:MAX_REASON_CHARACTERS]
    if not line and isinstance(error, TimeoutError):
        line = "no answer in time"
    return f"{line or type(error).__name__} ({code})" if code else line or type(error).__name__
