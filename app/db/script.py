"""Transactions as generators: they yield statements and get rows, and never wait for anything else.

The hot path of a turn is written this way, once for both databases: SQLite runs a script in one hop to its
thread, many scripts to a commit; PostgreSQL runs it on a connection of the pool (decision 0002). What is no
SQL cannot be awaited in a transaction, since there is no await in it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]


class Statement(NamedTuple):
    """SQL that both databases understand, with `$1`, `$2` … for its values and `{now}` for the database's clock."""

    sql: str
    values: tuple[Any, ...] = ()
    locks: str | None = None
    """The conversation whose row it locks, where it is the first of its transaction and may have to wait for that."""


Script: TypeAlias = Generator[Statement, list[Row], T]
ScriptFunction: TypeAlias = Callable[..., Script[T]]


def one(statement: Statement) -> Script[Row | None]:
    """The first row of a statement, or None."""
    rows = yield statement
    return rows[0] if rows else None
