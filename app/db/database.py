"""The database: sessions for administration, transaction functions for the hot path."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Literal, ParamSpec, TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.db.outages import Outage, causes, common_outage
from app.db.transaction import Transaction
from app.errors import AppError, DatabaseUnavailable

P = ParamSpec("P")
T = TypeVar("T")
Kind: TypeAlias = Literal["sqlite", "postgresql"]
STATEMENT_SECONDS = 5
POOL_WAIT_SECONDS = 3
LOCK_SECONDS = 60
"""How long a start waits for another process that migrates."""
LEASE_MS = 15_000

_writing: ContextVar[bool] = ContextVar("writing", default=False)


class Database(ABC):
    """One database, whichever it is.

    All of its methods raise DatabaseUnavailable when the database is out of reach or a connection cannot be
    had in three seconds.
    """

    kind: Kind
    vectors_stored: bool = False
    """Whether there is a table for vectors, which PostgreSQL has with the extension `vector` alone; known from the
    schema's upgrade on."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @contextlib.asynccontextmanager
    async def read_session(self) -> AsyncIterator[AsyncSession]:
        """Open a session for one short reading transaction."""
        with self.translated():
            async with self._session() as session, session.begin():
                yield session

    @contextlib.asynccontextmanager
    async def write_session(self, locks: str | None = None) -> AsyncIterator[AsyncSession]:
        """Open a session for one short transaction: committed when the block ends well, else rolled back.

        `locks` is the conversation whose row it locks first, if it does.
        """
        with self.translated(), not_nested():
            async with self._turn_to_write(locks), self._session(writing=True) as session, session.begin():
                yield session

    @abstractmethod
    async def prepare(self) -> None:
        """Does what has to be done once to an empty database, before its schema."""

    @abstractmethod
    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction and return its result once it is committed; an exception in it rolls back."""

    @abstractmethod
    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction that only reads, and return its result."""

    @abstractmethod
    async def read_snapshot(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction that reads much, without delaying short ones; on SQLite it reads one snapshot."""

    async def damage(self) -> list[str]:
        """A sentence for each place where what is stored is damaged, at most 20; reads all of it.

        A server finds that out by itself, with checksums and tools of its own.
        """
        return []

    async def require_room(self, size: int) -> None:  # noqa: B027  a server has an operator who watches its disks
        """Does nothing where so many bytes can be stored in bulk, with room left for all else.

        Raises:
            DatabaseUnavailable: there is not enough room.
        """

    async def release_room(self) -> None:  # noqa: B027  as above
        """Gives back what was taken on the disk for writing, once what was stored in bulk is removed."""

    @abstractmethod
    def driver_outage(self, error: BaseException) -> Outage | None:
        """The outage that an error of the driver stands for; None for a fault of ours."""

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Within the block every way to say that the database cannot serve now is a DatabaseUnavailable."""
        try:
            yield
        except AppError:
            raise
        except Exception as error:
            made_of = tuple(causes(error))
            outages = (look(each) for look in (self.driver_outage, common_outage) for each in made_of)
            outage = next((each for each in outages if each is not None), None)
            if outage is None:
                raise
            raise DatabaseUnavailable(reason=outage.reason, passing=outage.passing) from error

    async def close(self) -> None:
        """Closes every connection."""
        await self.engine.dispose()

    @property
    def connections_in_use(self) -> int:
        """How many connections are checked out of the pool."""
        return self.engine.pool.checkedout()  # type: ignore[attr-defined, no-any-return]  # QueuePool has it

    def _session(self, *, writing: bool = False) -> AsyncSession:
        engine = self.engine.execution_options(writing=writing) if writing else self.engine
        return AsyncSession(engine, expire_on_commit=False, autoflush=False)

    @abstractmethod
    def _turn_to_write(self, locks: str | None) -> contextlib.AbstractAsyncContextManager[object]:
        """Whatever a writer has to wait for within this process."""


@contextlib.contextmanager
def not_nested() -> Iterator[None]:
    """A second transaction inside a first would wait for itself on SQLite: refuse it where it is written."""
    if _writing.get():
        raise RuntimeError("a write transaction is open in this task already")
    token = _writing.set(True)
    try:
        yield
    finally:
        _writing.reset(token)
