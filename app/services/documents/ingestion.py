from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from app.db import ingestion
from app.db.database import Database
from app.db.ingestion import IngestionClaim, QueuedUser
from app.db.transaction import Transaction
from app.errors import DatabaseUnavailable
from app.rag.models.embedder import Embedder
from app.rag.sandbox.client import DocumentReader
from app.services.documents.deletion import DocumentDeleter
from app.services.documents.ingestion_job import IngestionJob
from app.services.documents.reanalysis import Reanalysis
from app.services.documents.reembedding import Reembedding
from app.services.runtime.polling import Poller
from app.services.runtime.process_lease import ProcessLease
from app.services.runtime.timings import Timings

log = logging.getLogger(__name__)


class IngestionWorker:
    """Processes queued documents one at a time, then renews the terms and vectors of outdated ones.

    Users are served round-robin: a user with a thousand uploads delays others by one document each.
    """

    def __init__(
        self,
        database: Database,
        reader: DocumentReader | None,
        embedder: Embedder | None,
        deleter: DocumentDeleter,
        process_id: str,
        timings: Timings,
    ) -> None:
        self._database = database
        self._deleter = deleter
        self._reader = reader
        self._embedder = embedder if database.vectors_stored else None
        self._process_id = process_id
        self._timings = timings
        self.draining = False
        self._wakeup = asyncio.Event()
        self._last_served: dict[str, int] = {}
        """Number of each queued user's last turn."""
        self._round: asyncio.Task[None] | None = None
        self._renewal_due_at = 0.0

    @property
    def installed(self) -> bool:
        """True if this process can read documents."""
        return self._reader is not None

    def wake(self) -> None:
        """Poll the queue at once."""
        self._wakeup.set()

    def poller(self) -> Poller:
        """Return a poller whose rounds take as long as the documents do; uploads and `IngestionRecovery` wake it."""
        return Poller(
            "ingestion",
            self.poll,
            self._timings.renewal,
            wakeup=self._wakeup,
            longest_backoff=self._timings.recovery,
            bounded=False,
            required=False,
        )

    async def poll(self) -> None:
        """Process all queued documents, then renew outdated ones; does nothing once draining."""
        if self._reader is None or self.draining:
            return
        self._round = asyncio.create_task(self._process(self._reader))
        try:
            await asyncio.wait([self._round])
        finally:
            self._round.cancel()
        if not self._round.cancelled():
            self._round.result()

    async def drain(self) -> None:
        """Stop, and queue the document in progress for other processes."""
        self.draining = True
        if self._round is None:
            return
        self._round.cancel()
        await asyncio.wait([self._round])
        try:
            await self._database.write(ingestion.requeue_own, self._process_id)
        except DatabaseUnavailable:
            log.warning("cannot queue a document again: the database is out of reach; the lease's end does so too")

    async def _process(self, reader: DocumentReader) -> None:
        async def ingest_new() -> None:
            if self._wakeup.is_set():
                self._wakeup.clear()
                await self._ingest_queued(reader)

        await self._ingest_queued(reader)
        now = asyncio.get_running_loop().time
        if now() >= self._renewal_due_at:
            reanalysis = Reanalysis(self._database, self._process_id, self._timings, ingest_new)
            reembedding = Reembedding(self._database, self._embedder, self._process_id, self._timings, ingest_new)
            while (
                await reanalysis.run() or await reembedding.run()
            ):  # terms first, as they are made a hundred times faster
                await ingest_new()
            self._renewal_due_at = now() + self._timings.renewal

    async def _ingest_queued(self, reader: DocumentReader) -> None:
        while (claim := await self.claim_next()) is not None:
            try:
                await IngestionJob(self._database, reader, self._embedder, claim, self._timings).run()
            finally:
                if claim.replaces is not None:
                    self._deleter.finish(claim.replaces)

    async def claim_next(self) -> IngestionClaim | None:
        """Claim the oldest document of the user whose turn it is; None if none is queued."""
        claim = await self._database.write(self._claim_next)
        if claim is not None:
            self._last_served[claim.owner_id] = max(self._last_served.values(), default=0) + 1
        return claim

    def _claim_next(self) -> Transaction[IngestionClaim | None]:
        # A document that this process has claimed already is one of a commit whose acknowledgement was lost.
        yield from ingestion.requeue_own(self._process_id)
        for user in self._round_robin((yield from ingestion.queued_users())):
            claim = yield from ingestion.claim_document(user.document_id, self._process_id)
            if claim is not None:
                return claim
        return None

    def _round_robin(self, users: Sequence[QueuedUser]) -> list[QueuedUser]:
        """Sort users by their last turn, the longest ago first, then by their oldest upload."""
        self._last_served = {user.owner_id: self._last_served.get(user.owner_id, 0) for user in users}
        return sorted(users, key=lambda user: (self._last_served[user.owner_id], user.document_id))


class IngestionRecovery:
    """Takes over the documents of dead processes: queues those in progress, finishes deletions, discards uploads."""

    def __init__(
        self,
        database: Database,
        lease: ProcessLease,
        deleter: DocumentDeleter,
        worker: IngestionWorker,
        timings: Timings,
    ) -> None:
        self._database = database
        self._lease = lease
        self._deleter = deleter
        self._worker = worker
        self._timings = timings

    def poller(self) -> Poller:
        """Return a poller whose rounds may take long, as deletions of large documents do."""
        return Poller("document recovery", self.recover, self._timings.recovery, bounded=False, required=False)

    async def recover(self) -> None:
        """Take over the documents of dead processes, and wake this process's worker."""
        if self._lease.may_recover:
            await self._database.write(ingestion.requeue_stalled, self._lease.process_id)
            self._worker.wake()
            await self._deleter.recover()
        else:
            self._worker.wake()
