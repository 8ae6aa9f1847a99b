"""PostgreSQL through asyncpg: any number of hosts and processes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import URL, ExceptionContext, event, exc
from sqlalchemy.ext.asyncio import create_async_engine

from app.db.engine import POOL_WAIT_SECONDS, STATEMENT_SECONDS, Database, translated
from app.db.script import Row, ScriptFunction, Statement
from app.errors import DatabaseUnavailable

T = TypeVar("T")
CLOCK = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
CONNECT_SECONDS = 5
# A row that is referred to can go away between two statements, as a user's who is erased: the second time it is missed.
RETRIED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.ForeignKeyViolationError)
OUT_OF_REACH = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    OSError,
)
UNHEARD = (*OUT_OF_REACH, asyncio.CancelledError)


class PostgresDatabase(Database):
    """A server with a small pool, which sessions and scripts share.

    A statement may take so many seconds; what is not heard of a second later is given up with its connection.
    """

    def __init__(self, url: URL, *, pool_size: int, statement_seconds: float = STATEMENT_SECONDS) -> None:
        engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            connect_args={
                "timeout": CONNECT_SECONDS,
                "command_timeout": statement_seconds + 1,
                "server_settings": {
                    "application_name": "parley",
                    "statement_timeout": str(int(statement_seconds * 1000)),
                },
            },
        )
        event.listen(engine.sync_engine, "checkout", refuse_unfit)
        event.listen(engine.sync_engine, "handle_error", notice_loss)
        super().__init__(engine)

    async def prepare(self) -> None:
        """See `Database.prepare`: a server needs nothing."""

    async def transact(self, script: ScriptFunction[T], *args: Any) -> T:
        """See `Database.transact`; the victim of a deadlock or an erasure is run again once."""
        try:
            return await self._transact(script, *args)
        except RETRIED:
            return await self._transact(script, *args)

    async def _transact(self, script: ScriptFunction[T], *args: Any) -> T:
        async with self._driver() as driver:
            transaction = driver.transaction()
            await transaction.start()
            try:
                value = await run(driver, script(*args))
            except UNHEARD:
                raise  # the connection is closed, and the server rolls back: it may be too far away to be told to
            except BaseException:
                await transaction.rollback()
                raise
            await transaction.commit()
            return value

    async def query(self, script: ScriptFunction[T], *args: Any) -> T:
        """See `Database.query`; each statement sees its own moment."""
        async with self._driver() as driver:
            return await run(driver, script(*args))

    @contextlib.asynccontextmanager
    async def _driver(self) -> AsyncIterator[asyncpg.Connection]:
        with translated(), translated_asyncpg():
            async with self.engine.connect() as connection:
                raw = await connection.get_raw_connection()
                with given_up_when_unsure(raw.driver_connection) as driver:
                    yield driver


async def run(driver: asyncpg.Connection, script: Generator[Statement, list[Row], T]) -> T:
    """Feeds a script its rows until it returns."""
    try:
        statement = next(script)
        while True:
            rows = await driver.fetch(dialect(statement.sql), *statement.values)
            statement = script.send(rows)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration is not generic


@contextlib.contextmanager
def given_up_when_unsure(driver: asyncpg.Connection) -> Iterator[asyncpg.Connection]:
    """Closes a connection whose statement was not heard of: what it is amid is unknown, and would be the next one's."""
    try:
        yield driver
    except UNHEARD:
        driver.terminate()
        raise


def refuse_unfit(connection: Any, _record: object, _proxy: object) -> None:
    """Makes the pool replace a connection that is closed or amid something; to ask it would cost a round trip."""
    driver = connection.driver_connection
    if driver.is_closed() or driver.is_in_transaction():
        raise exc.DisconnectionError


def notice_loss(context: ExceptionContext) -> None:
    """Tells SQLAlchemy that a statement which was not heard of in time leaves no connection to go on with."""
    if isinstance(context.original_exception, OSError):  # a TimeoutError is one
        context.is_disconnect = True


@functools.lru_cache(maxsize=256)
def dialect(sql: str) -> str:
    """A statement as PostgreSQL wants it."""
    return sql.replace("{now}", CLOCK)


@contextlib.contextmanager
def translated_asyncpg() -> Iterator[None]:
    """The driver's ways to say that the server is out of reach or busy, as one error of ours."""
    try:
        yield
    except OUT_OF_REACH as error:
        raise DatabaseUnavailable from error
