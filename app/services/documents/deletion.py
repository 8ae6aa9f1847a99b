from __future__ import annotations

import asyncio
import contextlib

from app.db import documents, ingestion
from app.db.database import Database
from app.errors import DatabaseUnavailable
from app.services.runtime.database_retry import DatabaseRetry
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings

SWEEP_BATCH = 100


class DocumentDeleter:
    """Removes documents that are hidden already, in batches; whoever asked for it may leave."""

    def __init__(self, database: Database, tasks: TaskOwner, process_id: str, timings: Timings) -> None:
        self._database = database
        self._tasks = tasks
        self._process_id = process_id
        self._retry = DatabaseRetry(database, timings)

    def discard(self, document_id: str) -> None:
        """Removes a document that has arrived in part, or for nothing, behind the request's back."""
        self._tasks.spawn(self._discard(document_id))

    async def remove(self, document_id: str) -> None:
        """Removes a deleted document, also when the caller leaves."""
        await asyncio.shield(self._tasks.spawn(self._remove(document_id)))

    async def erase(self, owner_id: str) -> None:
        """Removes all documents of a user who is being erased."""
        for document_id in await self._database.write(documents.delete_all, owner_id, self._process_id):
            await self._remove(document_id)

    async def sweep(self) -> None:
        """Removes what dead processes have left half removed, or half arrived."""
        while found := await self._database.read(ingestion.pending_deletions, self._process_id, SWEEP_BATCH):
            for document_id in found:
                await self._remove(document_id)

    async def _discard(self, document_id: str) -> None:
        await self._retry.write(documents.discard, document_id, self._process_id)
        await self._remove(document_id)
        with contextlib.suppress(DatabaseUnavailable):  # the log is written back later too, if more slowly
            await self._database.release_room()

    async def _remove(self, document_id: str) -> None:
        while not await self._retry.write(documents.remove_some, document_id):
            pass
