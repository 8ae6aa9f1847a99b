"""Outages of a database, as its driver reports them: what both databases have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import exc

MAX_CAUSES = 20
MAX_REASON = 300


class Outage(NamedTuple):
    """A database that cannot serve now, by no fault of the statement."""

    reason: str
    """For the operator alone: one line, with the driver's code where it has one, without statements and values."""
    passing: bool = True
    """True if it may end by itself, so that a start waits for it."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was made from, by `__cause__` and by SQLAlchemy's `orig`, each once.

    No more than 20: a chain that drivers build may lead back into itself.
    """
    pending: list[BaseException] = [error]
    seen: list[BaseException] = []
    while pending and len(seen) < MAX_CAUSES:
        each = pending.pop(0)
        if any(each is other for other in seen):
            continue
        seen.append(each)
        yield each
        pending += [made for made in (each.__cause__, getattr(each, "orig", None)) if made is not None]


def common_outage(error: BaseException) -> Outage | None:
    """Recognise an outage of either database: the network, files, and a pool without a free connection."""
    if isinstance(error, exc.TimeoutError):
        return Outage("no connection of the pool was free in time")
    if isinstance(error, OSError):  # time-outs, names that are not resolved and TLS are among them
        return Outage(reason_of(error))
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return Outage("the connection was closed")
    return None


def reason_of(error: BaseException, code: str | None = None) -> str:
    """Return an error's message in one line, with a code behind it."""
    said = str(error.args[0]) if code is not None and error.args else str(error)
    line = " ".join(said.split())[:MAX_REASON] or ("no answer in time" if isinstance(error, TimeoutError) else "")
    return f"{line or type(error).__name__} ({code})" if code else line or type(error).__name__
