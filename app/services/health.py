from __future__ import annotations

import asyncio

from app.db import schema
from app.db.database import Database
from app.errors import DatabaseUnavailable, Draining, Unavailable
from app.services.runtime.polling import Supervisor
from app.services.runtime.process_lease import ProcessLease
from app.services.turns.executor import TurnExecutor

CHECK_SECONDS = 2.0
"""Time limit of a readiness check, however long statements may take."""


class HealthService:
    """Readiness of this process."""

    def __init__(self, database: Database, executor: TurnExecutor, lease: ProcessLease, supervisor: Supervisor) -> None:
        self._database = database
        self._executor = executor
        self._lease = lease
        self._supervisor = supervisor

    async def check(self) -> None:
        """Return if the process can serve.

        Raises:
            Draining: the process is shutting down.
            DatabaseUnavailable: the database is unreachable, or the process's lease has expired.
            Unavailable: the schema is not of this release, or background work has stopped.
        """
        if self._executor.draining:
            raise Draining
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                current = await self._database.read(schema.is_current)
        except TimeoutError as error:
            raise DatabaseUnavailable from error
        if not current:
            raise Unavailable("The database's schema is not this release's; run `parley migrate`.")
        if self._lease.expired:
            raise DatabaseUnavailable("The process cannot renew its lease; check the database.")
        if stopped := self._supervisor.not_running():
            raise Unavailable(
                f"Background work of this process has stopped: {', '.join(stopped)}. Restart it if this lasts."
            )
