from __future__ import annotations

from app.db import turns
from app.db.database import Database
from app.domain.messages import Status
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings
from app.services.turns.executor import TurnExecutor


class CancellationPoller:
    """Finds the turns of this process that others have cancelled, deleted or taken over, and stops them."""

    def __init__(self, database: Database, running: TurnExecutor, process_id: str, timings: Timings) -> None:
        self._database = database
        self._running = running
        self._process_id = process_id
        self._timings = timings

    def poller(self) -> Poller:
        """Make the poller that stops turns."""
        return Poller("stopping of turns", self.look, self._timings.cancellation_poll)

    async def look(self) -> None:
        """Stops what is to be stopped; how each ended is then read from its row."""
        running = dict(self._running.replies)
        if not running:
            return
        mine = await self._database.read(turns.running_of, self._process_id)
        for message_id, reply in running.items():
            if mine.get(message_id, True):
                self._running.stop(reply, Status.CANCELLED)
