from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from app.db import ingestion
from app.db.database import Database
from app.db.ingestion import QueuedUser
from app.errors import DatabaseUnavailable
from app.rag.models.embedder import Embedder
from app.rag.sandbox.client import DocumentReader
from app.services.documents.deletion import DocumentDeleter
from app.services.documents.ingestion_job import IngestionJob
from app.services.documents.reembedding import Reembedding
from app.services.runtime.polling import Poller
from app.services.runtime.process_lease import ProcessLease
from app.services.runtime.timings import Timings

log = logging.getLogger(__name__)


class IngestionWorker:
    """What this process does to documents, one at a time: reads those that wait, and renews what has become old.

    Users take turns: whoever uploads a thousand documents keeps nobody else waiting for more than one.
    """

    def __init__(
        self,
        database: Database,
        reader: DocumentReader | None,
        embedder: Embedder | None,
        process_id: str,
        timings: Timings,
    ) -> None:
        self._database = database
        self._reader = reader
        self._embedder = embedder if database.vectors_stored else None
        self._process_id = process_id
        self._timings = timings
        self.draining = False
        self._nudged = asyncio.Event()
        self._served: dict[str, int] = {}
        self._working: asyncio.Task[None] | None = None
        self._look_for_outdated_at = 0.0

    @property
    def installed(self) -> bool:
        """Whether documents are read here."""
        return self._reader is not None

    def nudge(self) -> None:
        """Looks at once whether a document waits."""
        self._nudged.set()

    def poller(self) -> Poller:
        """Make the poller that works on documents, as long as they take; uploads and `IngestSweep` wake it."""
        return Poller(
            "ingest",
            self.poll,
            self._timings.reembedding,
            wakeup=self._nudged,
            longest_retry=self._timings.recovery,
            bounded=False,
            required=False,
        )

    async def poll(self) -> None:
        """Read the documents that wait, then renew those that have become old; nothing, once draining."""
        if self._reader is None or self.draining:
            return
        self._working = asyncio.create_task(self._work(self._reader))
        try:
            await asyncio.wait([self._working])
        finally:
            self._working.cancel()
        if not self._working.cancelled():
            self._working.result()

    async def drain(self) -> None:
        """Stops, and has others read what this process has begun."""
        self.draining = True
        if self._working is None:
            return
        self._working.cancel()
        await asyncio.wait([self._working])
        try:
            await self._database.write(ingestion.give_back, self._process_id)
        except DatabaseUnavailable:
            log.warning("cannot give a document back: the database is out of reach; the lease's end does so too")

    async def _work(self, reader: DocumentReader) -> None:
        async def read_new() -> None:
            if self._nudged.is_set():
                self._nudged.clear()
                await self._read_waiting(reader)

        await self._read_waiting(reader)
        loop = asyncio.get_running_loop()
        if loop.time() >= self._look_for_outdated_at:
            reembedding = Reembedding(self._database, self._embedder, self._process_id, self._timings, first=read_new)
            while await reembedding.run():
                await read_new()
            self._look_for_outdated_at = loop.time() + self._timings.reembedding

    async def _read_waiting(self, reader: DocumentReader) -> None:
        """Reads documents until none waits."""
        while (job := await self._database.write(ingestion.claim_next, self._process_id, self._in_turn)) is not None:
            self._note_turn(job.owner_id)
            await IngestionJob(self._database, reader, self._embedder, job, self._timings).run()

    def _note_turn(self, owner_id: str) -> None:
        self._served[owner_id] = max(self._served.values(), default=0) + 1

    def _in_turn(self, waiting: Sequence[QueuedUser]) -> list[QueuedUser]:
        """The users as they are served: whose last turn is longest ago comes first, then whose oldest upload is."""
        self._served = {each.owner_id: self._served.get(each.owner_id, 0) for each in waiting}
        return sorted(waiting, key=lambda each: (self._served[each.owner_id], each.document_id))


class IngestionRecovery:
    """Takes up what dead processes have left of documents: half arrived, half read, half removed."""

    def __init__(
        self,
        database: Database,
        lease: ProcessLease,
        removals: DocumentDeleter,
        ingest: IngestionWorker,
        timings: Timings,
    ) -> None:
        self._database = database
        self._lease = lease
        self._removals = removals
        self._ingest = ingest
        self._timings = timings

    def poller(self) -> Poller:
        """Make the poller that takes it up; to remove large documents takes its time."""
        return Poller("recovery of documents", self.sweep, self._timings.recovery, bounded=False, required=False)

    async def sweep(self) -> None:
        """Take up all there is, and wake this process's own work on documents."""
        if self._lease.may_judge:
            await self._database.write(ingestion.requeue_stalled, self._lease.process_id)
            self._ingest.nudge()
            await self._removals.sweep()
        else:
            self._ingest.nudge()
