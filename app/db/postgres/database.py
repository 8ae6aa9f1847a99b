"""PostgreSQL through asyncpg, for any number of hosts and processes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import asyncpg
import orjson
from sqlalchemy import ExceptionContext, event, exc
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import greenlet_spawn

from app.db.compiled import compile_statement, dump_json
from app.db.database import POOL_WAIT_SECONDS, STATEMENT_SECONDS, Database
from app.db.outages import Outage, causes
from app.db.postgres.connector import Connector
from app.db.postgres.errors import breaks_connection, is_read_only, outage_of
from app.db.postgres.lock_limit import LockLimit
from app.db.postgres.url import PostgresUrl
from app.db.transaction import Statement, Transaction

P = ParamSpec("P")
T = TypeVar("T")
DIALECT = asyncpg_dialect.dialect(json_serializer=dump_json)  # type: ignore[no-untyped-call]  # SQLAlchemy's types lack it
PREPARED_STATEMENTS = 100
"""Prepared statements cached by each connection for sessions."""
CLOSE_SECONDS = 2
# Settings of pgvector: the search width of its graphs, and that a search goes on while filters leave too few rows; for
# a tenth of all rows it takes half of this maximum.
VECTOR_SETTINGS = {"hnsw.ef_search": "500", "hnsw.iterative_scan": "strict_order", "hnsw.max_scan_tuples": "5000"}
# A referenced row, as that of a user who is being erased, may be deleted between two statements: the retry finds it
# missing. After a read-only refusal the retry has a new connection, which leads to the primary if a failover is over.
RETRIED = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ForeignKeyViolationError,
    asyncpg.ReadOnlySQLTransactionError,
)


class PostgresDatabase(Database):
    """A server with a small pool, shared by sessions and transactions.

    Each statement has a time limit, enforced by the server; one that is still unanswered a second later is abandoned
    and its connection closed. All connections opened before that moment are replaced before their next use: whatever
    cut one silently (a failover, a NAT that dropped its state) cut them all, and each would cost a time limit. The same
    goes for a server that has become read-only, to which the older connections lead as well.
    """

    kind = "postgresql"

    def __init__(
        self,
        url: PostgresUrl,
        *,
        pool_size: int,
        transaction_pooling: bool = False,
        statement_seconds: float = STATEMENT_SECONDS,
    ) -> None:
        self._url, self._transaction_pooling = url, transaction_pooling
        settings = {"statement_timeout": str(int(statement_seconds * 1000)), **VECTOR_SETTINGS}
        engine = create_async_engine(
            "postgresql+asyncpg://",  # the connector knows the servers
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            connect_args={
                "async_creator_fn": self._connector(settings, statement_seconds + 1).open,
                "prepared_statement_cache_size": 0 if transaction_pooling else PREPARED_STATEMENTS,
            },
            json_serializer=dump_json,
            json_deserializer=orjson.loads,
        )
        self._replace_older_than = 0.0
        self._lock_limit = LockLimit(pool_size, statement_seconds)
        event.listen(engine.sync_engine, "connect", record_connect_time)
        event.listen(engine.sync_engine, "checkout", self._replace_unusable)
        event.listen(engine.sync_engine, "handle_error", self._mark_disconnect)
        super().__init__(engine)

    async def prepare(self) -> None:
        """Do nothing: a server needs no preparation."""

    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction; retry it once after a deadlock, a concurrent deletion or a failover."""
        with self.translate_errors():
            try:
                return await self._write(transaction(*args, **kwargs))
            except RETRIED:
                return await self._write(transaction(*args, **kwargs))

    async def _write(self, transaction: Transaction[T]) -> T:
        try:
            first = next(transaction)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration is not generic
        async with self._lock_limit.hold(first.locks), self._connection() as connection, self._begin(connection):
            return await run(connection, transaction, first)

    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction that only reads; each of its statements has its own snapshot."""
        with self.translate_errors():
            async with self._connection() as connection:
                if not self._transaction_pooling:
                    return await run(connection, transaction(*args, **kwargs))
                async with self._begin(connection):  # the settings are a transaction's
                    return await run(connection, transaction(*args, **kwargs))

    async def read_snapshot(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction that only reads; each of its statements has its own snapshot, as with `read`."""
        return await self.read(transaction, *args, **kwargs)

    @contextlib.asynccontextmanager
    async def dedicated_connection(self, **settings: str) -> AsyncIterator[asyncpg.Connection]:
        """Open a connection outside the pool, without time limits, for work that takes minutes.

        It has these settings, except with transaction pooling.
        """
        connection = await self._connector(settings).open()
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        await connection.close(timeout=CLOSE_SECONDS)

    def _connector(self, settings: Mapping[str, str], command_seconds: float | None = None) -> Connector:
        return Connector(
            self._url, settings, transaction_pooling=self._transaction_pooling, command_seconds=command_seconds
        )

    def may_retry(self, error: BaseException) -> bool:
        return any(isinstance(each, RETRIED) for each in causes(error))

    def driver_outage(self, error: BaseException) -> Outage | None:
        return outage_of(error)

    def _write_lock(self, conversation_id: str | None) -> contextlib.AbstractAsyncContextManager[object]:
        return self._lock_limit.hold(conversation_id)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        # asyncpg's connection straight from the pool: SQLAlchemy's layers above it cost as much again as a statement.
        pooled = await self.engine.raw_connection()
        try:
            with self._terminate_if_unusable(pooled.driver_connection) as connection:
                yield connection
        finally:
            await greenlet_spawn(pooled.close)

    @contextlib.asynccontextmanager
    async def _begin(self, connection: asyncpg.Connection) -> AsyncIterator[None]:
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield
        except BaseException as error:
            # An unusable connection is closed and the server rolls back: a ROLLBACK might not reach it.
            if not is_unusable_after(error):
                await transaction.rollback()
            raise
        await transaction.commit()

    @contextlib.contextmanager
    def _terminate_if_unusable(self, connection: asyncpg.Connection) -> Iterator[asyncpg.Connection]:
        # A connection of unknown state may be within a transaction, which the next one would continue.
        try:
            yield connection
        except BaseException as error:
            if is_unusable_after(error):
                connection.terminate()
                self._replace_older(error)
            raise

    def _replace_older(self, error: BaseException) -> None:
        if isinstance(error, TimeoutError) or is_read_only(error):
            self._replace_older_than = time.monotonic()

    def _replace_unusable(self, pooled: Any, record: Any, _proxy: object) -> None:
        # The pool opens another connection on DisconnectionError. A ping would cost a round trip.
        connection = pooled.driver_connection
        if record.info["connected_at"] < self._replace_older_than:
            connection.terminate()
        if connection.is_closed() or connection.is_in_transaction():
            raise exc.DisconnectionError

    def _mark_disconnect(self, context: ExceptionContext) -> None:
        # SQLAlchemy replaces a connection that is marked as disconnected.
        for error in causes(context.original_exception):
            if breaks_connection(error):
                context.is_disconnect = True
                self._replace_older(error)


def is_unusable_after(error: BaseException) -> bool:
    """Return whether a connection cannot be used after this error, or after its caller was cancelled."""
    return isinstance(error, asyncio.CancelledError) or breaks_connection(error)


async def run(connection: asyncpg.Connection, transaction: Transaction[T], statement: Statement | None = None) -> T:
    """Execute a transaction's statements and return its result; `statement` is the first if it is started already."""
    try:
        if statement is None:
            statement = next(transaction)
        while True:
            statement = transaction.send(await rows_of(connection, statement))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration is not generic


async def rows_of(connection: asyncpg.Connection, statement: Statement) -> list[Any]:
    """Execute a statement and return its rows."""
    compiled = compile_statement(statement.executable, DIALECT)
    return compiled.rows(await connection.fetch(compiled.sql, *compiled.arguments(statement.values)))


def record_connect_time(_connection: object, record: Any) -> None:
    """Store the time at which a connection was opened in its pool record, in seconds of the monotonic clock."""
    record.info["connected_at"] = time.monotonic()
