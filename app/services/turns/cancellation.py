from __future__ import annotations

from app.db import turns
from app.db.database import Database
from app.domain.messages import Status
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings
from app.services.turns.executor import TurnExecutor


class CancellationPoller:
    """Polls for turns of this process that others have cancelled, deleted or adopted, and stops them."""

    def __init__(self, database: Database, executor: TurnExecutor, process_id: str, timings: Timings) -> None:
        self._database = database
        self._executor = executor
        self._process_id = process_id
        self._timings = timings

    def poller(self) -> Poller:
        return Poller("turn cancellation", self.poll, self._timings.cancellation_poll)

    async def poll(self) -> None:
        """Stop turns whose rows say so; the end of each is then read from its row."""
        runs = dict(self._executor.runs)
        if not runs:
            return
        requested = await self._database.read(turns.unfinished_of, self._process_id)
        for message_id, run in runs.items():
            if requested.get(message_id, True):  # also without a row of this process: deleted, or adopted by another
                self._executor.stop(run, Status.CANCELLED)
