"""Faults at one chosen moment: a database that fails for one statement, a model that fails at one chunk."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Self

from app.db import idempotency, process_leases, turn_recovery, turns
from app.db.database import Database
from app.db.transaction import Row, Statement, Transaction
from app.errors import DatabaseUnavailable
from app.llm.base import ChatRequest, Chunk

PERIODIC = {
    process_leases.heartbeat,
    process_leases.delete_expired,
    turn_recovery.stalled_turns,
    turns.unfinished_of,
    turns.checkpoint,
    turns.progress,
    idempotency.expire,
}
"""Transactions of pollers, which are not counted: they would make the moments of a turn differ from run to run."""


class DatabaseFault:
    """Fails one moment of a database's transactions, counted from 0.

    The moments of a transaction are before and after each statement, where all is rolled back, and after the
    commit, where only its acknowledgement is lost.
    """

    def __init__(self, at: int) -> None:
        self.happened = False
        self._moments_left = at

    @contextlib.contextmanager
    def of(self, database: Database) -> Iterator[None]:
        """Inject the fault into a database within the block."""
        write, read = database.write, database.read
        database.write = self._around(write, committing=True)  # type: ignore[method-assign]
        database.read = self._around(read, committing=False)  # type: ignore[method-assign]
        try:
            yield
        finally:
            database.write = write  # type: ignore[method-assign]
            database.read = read  # type: ignore[method-assign]

    def _around(self, execute: Callable[..., Any], *, committing: bool) -> Callable[..., Any]:
        async def executed(transaction: Callable[..., Transaction[Any]], *args: Any) -> Any:
            if transaction in PERIODIC:
                return await execute(transaction, *args)
            value = await execute(self._watched, transaction, *args)
            if committing:
                self._pass()
            return value

        return executed

    def _watched(self, transaction: Callable[..., Transaction[Any]], *args: Any) -> Transaction[Any]:
        inner = transaction(*args)
        rows: list[Row] | None = None
        while True:
            try:
                statement: Statement = next(inner) if rows is None else inner.send(rows)
            except StopIteration as end:
                return end.value
            self._pass()
            rows = yield statement
            self._pass()

    def _pass(self) -> None:
        self._moments_left -= 1
        if self._moments_left == -1:
            self.happened = True
            raise DatabaseUnavailable


class Outage:
    """Fails a database within its block with one error, at all or at some transactions."""

    def __init__(self, database: Database, error: Exception, *transactions: Callable[..., Transaction[Any]]) -> None:
        self.failed = asyncio.Event()
        """Set at the first failure."""
        self._database = database
        self._error = error
        self._transactions = transactions

    def __enter__(self) -> Self:
        for name in ("write", "read", "read_snapshot"):
            setattr(self._database, name, functools.partial(self._fail_or, getattr(self._database, name)))
        if not self._transactions:
            for name in ("read_session", "write_session"):
                setattr(self._database, name, self._fail)
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("write", "read", "read_snapshot", "read_session", "write_session"):
            vars(self._database).pop(name, None)

    async def _fail_or(
        self, execute: Callable[..., Any], transaction: Callable[..., Transaction[Any]], *args: Any
    ) -> Any:
        if not self._transactions or transaction in self._transactions:
            self._fail()
        return await execute(transaction, *args)

    def _fail(self) -> Any:
        self.failed.set()
        raise self._error


class FaultyStream:
    """A model's `stream` that raises at one moment of a reply: 0 is before the first chunk, 1 before the second."""

    def __init__(self, stream: Callable[[ChatRequest], AsyncGenerator[Chunk, None]]) -> None:
        self.fault: BaseException | None = None
        self.at: int | None = None
        self.moments = 0
        self._stream = stream

    async def __call__(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.moments = 0
        async with contextlib.aclosing(self._stream(request)) as chunks:
            self._pass()
            async for chunk in chunks:
                yield chunk
                self._pass()

    def _pass(self) -> None:
        moment, self.moments = self.moments, self.moments + 1
        if moment == self.at and self.fault is not None:
            raise self.fault
