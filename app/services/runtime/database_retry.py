from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from app.db.database import Database
from app.db.transaction import Transaction
from app.errors import DatabaseUnavailable
from app.services.runtime.backoff import Backoff
from app.services.runtime.timings import Timings

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class DatabaseRetry:
    """Runs idempotent transactions, and retries them until the database answers.

    A transaction that writes has to detect that an earlier try was committed, whose acknowledgement was lost.
    """

    def __init__(
        self,
        database: Database,
        timings: Timings,
        *,
        retried: type[Exception] = DatabaseUnavailable,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        """Set the policy.

        Args:
            database: Runs the transactions.
            timings: The pauses between the tries.
            retried: The errors that are retried; `Exception` for work that may not be lost. Others are raised.
            on_failure: Called with each error that is retried.
        """
        self._database = database
        self._timings = timings
        self._retried = retried
        self._on_failure = on_failure

    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._retry(lambda: self._database.write(transaction, *args, **kwargs))

    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._retry(lambda: self._database.read(transaction, *args, **kwargs))

    async def _retry(self, run: Callable[[], Awaitable[T]]) -> T:
        backoff = Backoff(self._timings.first_backoff, self._timings.longest_backoff)
        while True:
            try:
                return await run()
            except self._retried as error:
                if not isinstance(error, DatabaseUnavailable):
                    log.exception("a transaction failed, and is retried")
                if self._on_failure is not None:
                    self._on_failure(error)
            await asyncio.sleep(backoff.pause())
