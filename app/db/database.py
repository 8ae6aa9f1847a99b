"""The database: sessions for administration, transaction functions for the hot path."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Literal, ParamSpec, TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.db.outages import Outage, causes, common_outage
from app.db.transaction import Transaction, run_in_session
from app.errors import AppError, DatabaseUnavailable

P = ParamSpec("P")
T = TypeVar("T")
Kind: TypeAlias = Literal["sqlite", "postgresql"]
STATEMENT_SECONDS = 5
POOL_WAIT_SECONDS = 3
MIGRATION_LOCK_SECONDS = 60
"""Seconds that a start waits for another process to finish its migration."""

_writing: ContextVar[bool] = ContextVar("writing", default=False)


class Database(ABC):
    """A SQLite or PostgreSQL database.

    All methods raise DatabaseUnavailable when the database cannot be reached, or when no connection is free within 3
    seconds.
    """

    kind: Kind
    vectors_stored: bool = False
    """True if there is a table for vectors: on PostgreSQL only with the extension `vector`. Set by `schema.upgrade`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @contextlib.asynccontextmanager
    async def read_session(self) -> AsyncIterator[AsyncSession]:
        """Open a session for one short transaction that only reads."""
        with self.translate_errors():
            async with self._session() as session, session.begin():
                yield session

    @contextlib.asynccontextmanager
    async def write_session(self, locks: str | None = None) -> AsyncIterator[AsyncSession]:
        """Open a session for one short transaction: committed at the block's end, rolled back on an exception.

        `locks` is the id of the conversation whose row the transaction locks first; None if it locks none.
        """
        with self.translate_errors(), forbid_nesting():
            async with self._write_lock(locks), self._session(writing=True) as session, session.begin():
                yield session

    async def write_in_session(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction in a writing session and return its result; retry it once after what `write` retries."""
        try:
            async with self.write_session() as session:
                return await run_in_session(session, transaction(*args, **kwargs))
        except Exception as error:
            if not self.may_retry(error):
                raise
        async with self.write_session() as session:
            return await run_in_session(session, transaction(*args, **kwargs))

    def may_retry(self, _error: BaseException) -> bool:
        """Return whether a transaction that failed with this error may succeed if it is run again at once."""
        return False

    @abstractmethod
    async def prepare(self) -> None:
        """Configure an empty database before its schema is created; do nothing where that is done."""

    @abstractmethod
    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction and return its result once it is committed; an exception in it rolls back."""

    @abstractmethod
    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction that only reads, and return its result."""

    @abstractmethod
    async def read_snapshot(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a long transaction that only reads, without delaying short ones; SQLite reads one snapshot."""

    async def integrity_errors(self) -> list[str]:
        """Check the whole stored file; return a sentence for each damaged place, at most 20.

        Empty for a PostgreSQL server, which has checksums and tools of its own.
        """
        return []

    async def require_space(self, size: int) -> None:  # noqa: B027  a server has an operator who watches its disks
        """Raise unless so many bytes can be stored in bulk while space is left for everything else.

        Raises:
            DatabaseUnavailable: there is not enough disk space.
        """

    async def release_space(self) -> None:  # noqa: B027  as above
        """Free disk space used for writing, after bulk data was deleted."""

    @abstractmethod
    def driver_outage(self, error: BaseException) -> Outage | None:
        """Classify an error of the driver; None if it is no outage but a fault of the statement or its values."""

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Turn every outage in the block into DatabaseUnavailable; other errors pass unchanged."""
        try:
            yield
        except AppError:
            raise
        except Exception as error:
            chain = tuple(causes(error))
            outages = (classify(each) for classify in (self.driver_outage, common_outage) for each in chain)
            outage = next((each for each in outages if each is not None), None)
            if outage is None:
                raise
            raise DatabaseUnavailable(reason=outage.reason, transient=outage.transient) from error

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    @property
    def connections_in_use(self) -> int:
        """Number of connections checked out of the pool."""
        return self.engine.pool.checkedout()  # type: ignore[attr-defined, no-any-return]  # QueuePool has it

    def _session(self, *, writing: bool = False) -> AsyncSession:
        engine = self.engine.execution_options(writing=writing) if writing else self.engine
        return AsyncSession(engine, expire_on_commit=False, autoflush=False)

    @abstractmethod
    def _write_lock(self, conversation_id: str | None) -> contextlib.AbstractAsyncContextManager[object]:
        """Lock that a session which writes holds within this process."""


@contextlib.contextmanager
def forbid_nesting() -> Iterator[None]:
    """Raise RuntimeError for a write session inside another, which would deadlock on SQLite."""
    if _writing.get():
        raise RuntimeError("a write transaction is open in this task already")
    token = _writing.set(True)
    try:
        yield
    finally:
        _writing.reset(token)
