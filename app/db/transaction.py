"""Transactions as generators: each yields statements and is sent the rows of each.

The hot path of a turn is written this way, once for both databases: SQLite runs a transaction in one hop to its
thread, many of them to a commit; PostgreSQL runs it on a connection of the pool (decision 0002). Nothing but SQL can
be waited for in a transaction, since there is no await in it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]


class Statement(NamedTuple):
    """SQL that both databases understand, with `$1`, `$2` … for its values and `{now}` for the database's clock."""

    sql: str
    values: tuple[Any, ...] = ()
    locks: str | None = None
    """The conversation whose row it locks, where it is the first of its transaction and may have to wait for that."""


Transaction: TypeAlias = Generator[Statement, list[Row], T]


def first_row(statement: Statement) -> Transaction[Row | None]:
    """Return the first row of a statement; None without rows."""
    rows = yield statement
    return rows[0] if rows else None
