"""Transactions as generator functions: each yields SQL statements and is sent the rows of each.

What is on a turn's way or polled uses them, written once for both databases: SQLite runs a transaction in one hop to
its thread and commits many of them together; PostgreSQL runs it on a pooled connection (decision 0013). A transaction
can wait for nothing but SQL, since a generator function has no `await`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import TypedReturnsRows

from app.db.compiled import compile_statement

T = TypeVar("T")
Row: TypeAlias = Any
"""One row: a named tuple of the statement's columns, in Python's types: ids as text, JSON parsed."""


class Statement(NamedTuple):
    """A SQLAlchemy statement with the values of its parameters by name.

    The statement is a module constant: it is compiled at its first use (`app.db.compiled`).
    """

    executable: Executable
    values: Mapping[str, Any] = MappingProxyType({})
    locks: str | None = None
    """Id of the conversation whose row the statement locks, when it is the first of its transaction; None for no lock.

    PostgreSQL queues such transactions without a connection (`LockLimit`)."""


Transaction: TypeAlias = Generator[Statement, list[Row], T]
"""A running transaction: yields statements, is sent the rows of each (an empty list if there are none), returns T."""


def execute(executable: Executable, /, *, locks: str | None = None, **values: Any) -> Transaction[list[Row]]:
    """Run a statement and return its rows; `values` are those of its parameters, for `locks` see `Statement`."""
    return (yield Statement(executable, values, locks))


def fetch_one(executable: Executable, /, *, locks: str | None = None, **values: Any) -> Transaction[Row | None]:
    """Run a statement and return its first row; None without rows."""
    rows = yield Statement(executable, values, locks)
    return rows[0] if rows else None


def fetch_value(executable: TypedReturnsRows[T], /, **values: Any) -> Transaction[T | None]:
    """Run a statement of one column and return its value in the first row; None without rows."""
    rows = yield Statement(executable, values)
    return rows[0][0] if rows else None


async def run_in_session(session: AsyncSession, transaction: Transaction[T]) -> T:
    """Run the statements of a transaction within a session's, and return its result; the session commits or not."""
    connection = await session.connection()
    try:
        statement = next(transaction)
        while True:
            compiled = compile_statement(statement.executable, connection.dialect)
            result = await connection.exec_driver_sql(compiled.sql, tuple(compiled.arguments(statement.values)))
            statement = transaction.send(compiled.rows(result.all()) if result.returns_rows else [])
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration is not generic
