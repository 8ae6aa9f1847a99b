from __future__ import annotations

import asyncio
import weakref

from app.db import documents
from app.db.database import Database
from app.domain.documents import Document
from app.services.runtime.polling import Poller
from app.services.runtime.timings import Timings


class WatchedDocument:
    """A document as it was last seen, and a wait for its next state."""

    def __init__(self, document: Document) -> None:
        self.document: Document | None = document
        """None once it is deleted."""
        self.closing = False
        """Whether its readers are to follow it elsewhere."""
        self._changed = asyncio.Event()

    def show(self, document: Document | None) -> None:
        """Lets the readers see another state, if it is one."""
        if document != self.document:
            self.document = document
            self._wake()

    def close(self) -> None:
        """Sends the readers away."""
        self.closing = True
        self._wake()

    async def after(self, seen: Document) -> None:
        """Waits until the document is in another state than one that was seen."""
        while self.document == seen and not self.closing:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class DocumentFeed:
    """Follows documents for readers, whoever works on them: a look at all of them twice a second.

    A document is watched for as long as somebody holds it.
    """

    def __init__(self, database: Database, timings: Timings) -> None:
        self._database = database
        self._timings = timings
        self._watched: weakref.WeakValueDictionary[str, WatchedDocument] = weakref.WeakValueDictionary()
        self._nudged = asyncio.Event()
        self._closed = False

    def follow(self, document: Document) -> WatchedDocument:
        """A document whose states are shown as they change."""
        watched = self._watched.get(document.document_id) or WatchedDocument(document)
        if document.status.terminal:  # nothing more is to be seen, and what is shared may be older
            return WatchedDocument(document)
        if self._closed:
            watched.close()
            return watched
        self._watched[document.document_id] = watched
        self._nudged.set()
        return watched

    async def close(self) -> None:
        """Sends all readers away, to follow elsewhere."""
        self._closed = True
        for watched in list(self._watched.values()):
            watched.close()
        self._watched.clear()

    def poller(self) -> Poller:
        """Make the poller that reads the rows of followed documents."""
        return Poller("following of documents", self.look, self._timings.document_poll, wakeup=self._nudged)

    async def look(self) -> None:
        """Shows the readers what the rows say."""
        watched = dict(self._watched)
        if not watched:
            return
        found = await self._database.read(documents.present, list(watched))
        for document_id, each in watched.items():
            each.show(found.get(document_id))
