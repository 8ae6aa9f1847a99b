from __future__ import annotations

import asyncio
import contextlib

from app.db import documents, ingestion, uploads
from app.db.database import Database
from app.errors import DatabaseUnavailable
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings

RECOVERY_BATCH = 100
"""Documents whose deletion is resumed with one query."""


class DocumentDeleter:
    """Deletes the rows of documents that are hidden already, in batches; each deletion outlives its request."""

    def __init__(self, database: Database, tasks: TaskOwner, process_id: str, timings: Timings) -> None:
        self._database = database
        self._tasks = tasks
        self._process_id = process_id
        self._retry = DatabaseRetry(database, timings)

    def discard(self, document_id: str) -> None:
        """Delete an unfinished or duplicate upload in the background."""
        self._tasks.spawn(self._discard(document_id))

    async def delete(self, document_id: str) -> None:
        """Delete a document that is marked as deleted, to the end even if the caller is cancelled."""
        await asyncio.shield(self._tasks.spawn(self._delete(document_id)))

    def finish(self, document_id: str) -> None:
        """Delete a document in the background if it is marked as deleted."""
        self._tasks.spawn(self._delete(document_id))

    async def delete_all(self, owner_id: str) -> None:
        """Delete all documents of a user who is erased."""
        for document_id in await self._database.write(documents.mark_all_deleted, owner_id, self._process_id):
            await self._delete(document_id)

    async def recover(self) -> None:
        """Resume the deletions of dead processes."""
        while pending := await self._database.read(ingestion.pending_deletions, self._process_id, RECOVERY_BATCH):
            for document_id in pending:
                await self._delete(document_id)

    async def _discard(self, document_id: str) -> None:
        await self._retry.write(uploads.discard_upload, document_id, self._process_id)
        await self._delete(document_id)
        with contextlib.suppress(DatabaseUnavailable):  # the log is written back later too, if more slowly
            await self._database.release_space()

    async def _delete(self, document_id: str) -> None:
        while not await self._retry.write(documents.delete_batch, document_id):
            pass
