"""PostgreSQL through asyncpg: any number of hosts and processes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import asyncpg
from sqlalchemy import ExceptionContext, event, exc
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import greenlet_spawn

from app.db.database import POOL_WAIT_SECONDS, STATEMENT_SECONDS, Database
from app.db.outages import Outage, causes
from app.db.postgres.connector import Connector
from app.db.postgres.errors import is_read_only, leaves_unsure, outage_of
from app.db.postgres.lock_limit import LockLimit
from app.db.postgres.url import PostgresUrl
from app.db.transaction import Statement, Transaction

P = ParamSpec("P")
T = TypeVar("T")
CLOCK = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
PREPARED_STATEMENTS = 100
"""Prepared statements that a connection of sessions keeps."""
CLOSE_SECONDS = 2
# pgvector's: how far its graphs are searched, and that they are on and on while filters leave too little.
GRAPHS = {"hnsw.ef_search": "300", "hnsw.iterative_scan": "strict_order"}
# A row that is referred to can go away between two statements, as a user's who is erased: the second time it is missed.
# What a read-only server refused has a new connection the second time, to the primary where a failover is over.
RETRIED = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ForeignKeyViolationError,
    asyncpg.ReadOnlySQLTransactionError,
)


class PostgresDatabase(Database):
    """A server with a small pool, which sessions and transactions share.

    A statement may take so many seconds; what is not heard of a second later is given up with its connection, and so
    are the connections that are older than that moment: where one died in silence (a failover, a NAT that forgot),
    the others did as well, and each would cost as long. The same goes for a connection to a server that has become
    read-only: the others lead there too.
    """

    kind = "postgresql"

    def __init__(
        self,
        url: PostgresUrl,
        *,
        pool_size: int,
        by_transaction: bool = False,
        statement_seconds: float = STATEMENT_SECONDS,
    ) -> None:
        self._url, self._by_transaction = url, by_transaction
        settings = {"statement_timeout": str(int(statement_seconds * 1000)), **GRAPHS}
        engine = create_async_engine(
            "postgresql+asyncpg://",  # where to connect to is known to the connector
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            connect_args={
                "async_creator_fn": self._connector(settings, statement_seconds + 1).open,
                "prepared_statement_cache_size": 0 if by_transaction else PREPARED_STATEMENTS,
            },
        )
        self._lost_at = 0.0
        self._lock_limit = LockLimit(pool_size, statement_seconds)
        event.listen(engine.sync_engine, "connect", note_age)
        event.listen(engine.sync_engine, "checkout", self._refuse_unfit)
        event.listen(engine.sync_engine, "handle_error", self._notice_loss)
        super().__init__(engine)

    async def prepare(self) -> None:
        """See `Database.prepare`: a server needs nothing."""

    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Database.write`; a transaction that a deadlock, a deletion or a failover undid is retried once."""
        with self.translated():
            try:
                return await self._write(transaction(*args, **kwargs))
            except RETRIED:
                return await self._write(transaction(*args, **kwargs))

    async def _write(self, statements: Transaction[T]) -> T:
        try:
            first = next(statements)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration is not generic
        async with self._lock_limit.hold(first.locks), self._driver() as driver, self._transaction(driver):
            return await run(driver, statements, first)

    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Database.read`; each statement sees its own moment."""
        with self.translated():
            async with self._driver() as driver:
                if not self._by_transaction:
                    return await run(driver, transaction(*args, **kwargs))
                async with self._transaction(driver):  # whose settings no statement has outside of one
                    return await run(driver, transaction(*args, **kwargs))

    async def read_snapshot(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Database.read_snapshot`; each statement sees its own moment."""
        return await self.read(transaction, *args, **kwargs)

    @contextlib.asynccontextmanager
    async def dedicated(self, **settings: str) -> AsyncIterator[asyncpg.Connection]:
        """A connection outside the pool, without time limits, for what takes minutes.

        It has these settings, unless a pooler gives each transaction another server.
        """
        connection = await self._connector(settings).open()
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        await connection.close(timeout=CLOSE_SECONDS)

    def _connector(self, settings: Mapping[str, str], command_seconds: float | None = None) -> Connector:
        return Connector(self._url, settings, by_transaction=self._by_transaction, command_seconds=command_seconds)

    def driver_outage(self, error: BaseException) -> Outage | None:
        """See `Database.driver_outage`."""
        return outage_of(error)

    def _turn_to_write(self, locks: str | None) -> contextlib.AbstractAsyncContextManager[object]:
        return self._lock_limit.hold(locks)

    @contextlib.asynccontextmanager
    async def _driver(self) -> AsyncIterator[asyncpg.Connection]:
        # Straight from the pool: the layers above it would cost as much again as a statement.
        pooled = await self.engine.raw_connection()
        try:
            with self._given_up_when_unsure(pooled.driver_connection) as driver:
                yield driver
        finally:
            await greenlet_spawn(pooled.close)

    @contextlib.asynccontextmanager
    async def _transaction(self, driver: asyncpg.Connection) -> AsyncIterator[None]:
        transaction = driver.transaction()
        await transaction.start()
        try:
            yield
        except BaseException as error:
            # Else the connection is closed, and the server rolls back: it may be too far away to be told to.
            if not self._is_lost(error):
                await transaction.rollback()
            raise
        await transaction.commit()

    @contextlib.contextmanager
    def _given_up_when_unsure(self, driver: asyncpg.Connection) -> Iterator[asyncpg.Connection]:
        # What the connection is amid is unknown, and would be the next one's.
        try:
            yield driver
        except BaseException as error:
            if self._is_lost(error):
                driver.terminate()
                self._doubt_others(error)
            raise

    def _is_lost(self, error: BaseException) -> bool:
        return isinstance(error, asyncio.CancelledError) or leaves_unsure(error)

    def _doubt_others(self, error: BaseException) -> None:
        if isinstance(error, TimeoutError) or is_read_only(error):
            self._lost_at = time.monotonic()

    def _refuse_unfit(self, connection: Any, record: Any, _proxy: object) -> None:
        # Makes the pool replace a connection that is closed or amid something; to ask it would cost a round trip.
        driver = connection.driver_connection
        if record.info["connected_at"] < self._lost_at:
            driver.terminate()
        if driver.is_closed() or driver.is_in_transaction():
            raise exc.DisconnectionError

    def _notice_loss(self, context: ExceptionContext) -> None:
        # Tells SQLAlchemy that there is no going on with a connection, which it then replaces.
        for error in causes(context.original_exception):
            if leaves_unsure(error):
                context.is_disconnect = True
                self._doubt_others(error)


async def run(driver: asyncpg.Connection, transaction: Transaction[T], statement: Statement | None = None) -> T:
    """Execute a transaction's statements, from `statement` where it is started already, and return its result."""
    try:
        if statement is None:
            statement = next(transaction)
        while True:
            rows = await driver.fetch(dialect(statement.sql), *statement.values)
            statement = transaction.send(rows)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration is not generic


def note_age(_connection: object, record: Any) -> None:
    """Lets the pool know when a connection was made, in seconds of the monotonic clock."""
    record.info["connected_at"] = time.monotonic()


@functools.lru_cache(maxsize=256)
def dialect(sql: str) -> str:
    """A statement as PostgreSQL wants it."""
    return sql.replace("{now}", CLOCK)
