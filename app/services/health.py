from __future__ import annotations

from app.db import schema
from app.db.engine import Database
from app.errors import Draining, Unavailable
from app.services.turns import Turns


class Health:
    """Whether this process can serve."""

    def __init__(self, database: Database, turns: Turns) -> None:
        self._database = database
        self._turns = turns

    async def check(self) -> None:
        """Does nothing when all is well.

        Raises:
            Draining: the process is going away.
            DatabaseUnavailable: the database is out of reach.
            Unavailable: its schema is not the one of this release.
        """
        if self._turns.draining:
            raise Draining
        if not await self._database.query(schema.current):
            raise Unavailable("The database's schema is not the one of this release.")
