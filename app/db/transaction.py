"""Transactions as generator functions: each yields SQL statements and is sent the rows of each.

The hot path of a turn uses them, written once for both databases: SQLite runs a transaction in one hop to its thread
and commits many of them together; PostgreSQL runs it on a pooled connection (decision 0002). A transaction can wait
for nothing but SQL, since a generator function has no `await`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]
"""One row: its values in the order of the statement's columns, as the driver returns them; a tuple from SQLite, an
`asyncpg.Record` from PostgreSQL."""


class Statement(NamedTuple):
    """SQL that both databases understand, with `$1`, `$2` … for its values and `{now}` for the database's clock."""

    sql: str
    values: tuple[Any, ...] = ()
    locks: str | None = None
    """Id of the conversation whose row the statement locks, when it is the first of its transaction; None for no lock.

    PostgreSQL queues such transactions without a connection (`LockLimit`)."""


Transaction: TypeAlias = Generator[Statement, list[Row], T]
"""A running transaction: yields statements, is sent the rows of each (an empty list if there are none), returns T."""


def first_row(statement: Statement) -> Transaction[Row | None]:
    """Run a statement and return its first row; None without rows."""
    rows = yield statement
    return rows[0] if rows else None
