"""Processes that ingest documents, simulated in the test's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.db import documents, ingestion, process_leases
from app.db.database import Database
from app.db.process_leases import LEASE_MS
from app.domain.documents import Document
from app.domain.ids import new_id
from app.rag.models.embedder import Embedder
from app.rag.sandbox.client import DocumentReader
from app.services.documents.deletion import DocumentDeleter
from app.services.documents.ingestion import IngestionWorker
from app.services.documents.upload import Upload
from app.services.runtime.polling import Supervisor
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings


async def requeue_stalled_documents(database: Database) -> str:
    """Requeue the documents of dead processes as a living process, and return its id."""
    process_id = new_id()
    await database.write(process_leases.heartbeat, process_id, LEASE_MS)
    await database.write(ingestion.requeue_stalled, process_id)
    return process_id


class Host:
    """A process's work on documents, with a lease that is not renewed."""

    def __init__(
        self, database: Database, reader: DocumentReader, embedder: Embedder | None, timings: Timings = Timings()
    ) -> None:
        self.database = database
        self.process_id = new_id()
        self.tasks = TaskOwner()
        self.deleter = DocumentDeleter(database, self.tasks, self.process_id, timings)
        self.worker = IngestionWorker(database, reader, embedder, self.deleter, self.process_id, timings)
        self.supervisor = Supervisor(timings)

    async def start(self) -> None:
        """Take a lease and start the worker."""
        await self.database.write(process_leases.heartbeat, self.process_id, LEASE_MS)
        self.worker.wake()
        self.supervisor.start([self.worker.poller()])

    async def die(self) -> None:
        """Stop in the middle of the work, and end the lease."""
        await self.supervisor.stop()
        await self.database.write(process_leases.release, self.process_id)

    async def upload(self, content: bytes, user_id: str = "ada", name: str = "a.md", **options: Any) -> Document:
        """Upload a document here, with options of `Upload.finish`."""
        async with Upload(self.database, self.deleter, self.process_id, self.worker.wake) as upload:
            for place in range(0, len(content), 256 * 1024):
                await upload.write(content[place : place + 256 * 1024])
            document, _ = await upload.finish(user_id, name, **options)
        return document

    async def until(self, document: Document, is_so: Callable[[Document], bool]) -> Document:
        """Poll a document until a condition holds for it, and return it."""
        async with asyncio.timeout(30):
            while not is_so(found := await self.now(document)):  # noqa: ASYNC110  see above
                await asyncio.sleep(0.01)
            return found

    async def now(self, document: Document) -> Document:
        """Return a document as it is now."""
        return await self.database.read(documents.by_id, document.document_id)

    async def ready(self, document: Document) -> Document:
        """Wait until a document is ready or has failed, and return it."""
        return await self.until(document, lambda found: found.status.terminal)
