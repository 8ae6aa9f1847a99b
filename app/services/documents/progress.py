from __future__ import annotations

import asyncio
import weakref

from app.db import documents
from app.db.database import Database
from app.domain.documents import Document
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings


class WatchedDocument:
    """The last known state of a document, with a way to wait for the next one."""

    def __init__(self, document: Document) -> None:
        self.document: Document | None = document
        """None once it is deleted."""
        self.closing = False
        """True once readers have to follow it at another process."""
        self._changed = asyncio.Event()

    def publish(self, document: Document | None) -> None:
        """Set the document's state, and wake its readers if that has changed."""
        if document != self.document:
            self.document = document
            self._wake()

    def close(self) -> None:
        """Send the readers to another process."""
        self.closing = True
        self._wake()

    async def wait_change(self, known: Document) -> None:
        """Wait until the document's state differs from a known one, or readers have to leave."""
        while self.document == known and not self.closing:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class DocumentFeed:
    """Publishes the states of documents to readers, whichever process ingests them, by polling their rows.

    A document is polled while a reader holds its `WatchedDocument`.
    """

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings
        self._watched: weakref.WeakValueDictionary[str, WatchedDocument] = weakref.WeakValueDictionary()
        self._wakeup = asyncio.Event()
        self._closed = False

    def follow(self, document: Document) -> WatchedDocument:
        """Return the document with its states from now on."""
        watched = self._watched.get(document.document_id) or WatchedDocument(document)
        if document.status.terminal:  # its last state, while the shared one may be older
            return WatchedDocument(document)
        if self._closed:
            watched.close()
            return watched
        self._watched[document.document_id] = watched
        self._wakeup.set()
        return watched

    async def close(self) -> None:
        """Send all readers to other processes."""
        self._closed = True
        for watched in list(self._watched.values()):
            watched.close()
        self._watched.clear()

    def poller(self) -> Poller:
        return Poller("document feed", self.poll, self._timings.document_poll, wakeup=self._wakeup)

    async def poll(self) -> None:
        """Publish the states of all followed documents."""
        watched = dict(self._watched)
        if not watched:
            return
        documents_by_id = await self._database.read(documents.by_ids, list(watched))
        for document_id, each in watched.items():
            each.publish(documents_by_id.get(document_id))
