from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from app.db import documents
from app.db.database import Database
from app.domain.documents import Document, Passage
from app.domain.principals import Principal
from app.errors import Draining, NotInstalled
from app.services.documents.deletion import DocumentDeleter
from app.services.documents.ingestion import IngestionWorker
from app.services.documents.progress import DocumentFeed, WatchedDocument
from app.services.documents.upload import Upload
from app.services.search.service import DocumentSearch


class DocumentService:
    """Documents of a principal; every method raises DocumentNotFound for a document of another user."""

    def __init__(
        self,
        database: Database,
        worker: IngestionWorker,
        deleter: DocumentDeleter,
        feed: DocumentFeed,
        search: DocumentSearch,
        process_id: str,
        *,
        max_bytes: int,
    ) -> None:
        self._database = database
        self._worker = worker
        self._deleter = deleter
        self._feed = feed
        self._search = search
        self._process_id = process_id
        self.max_bytes = max_bytes
        """Maximum size of a document."""

    def receive(self) -> Upload:
        """Begin an upload.

        Raises:
            NotInstalled: this process cannot read documents.
            Draining: the process is shutting down.
        """
        if not self._worker.installed:
            raise NotInstalled
        if self._worker.draining:
            raise Draining
        return Upload(self._database, self._deleter, self._process_id, self._worker.wake)

    async def page(self, user_id: str, after: str | None, limit: int) -> list[Document]:
        """List a user's documents, newest first, after the document with that id; from the newest if it is None."""
        return await self._database.read(documents.page, user_id, after, limit)

    async def get(self, principal: Principal, document_id: str) -> Document:
        return await self._database.read(documents.get, principal.user_id, document_id)

    async def text(self, principal: Principal, document_id: str) -> str:
        """Return the text that was extracted from a document.

        Raises:
            DocumentNotReady: it is not ready.
        """
        return await self._database.read(documents.text, principal.user_id, document_id)

    async def content(self, document: Document) -> AsyncIterator[bytes]:
        """Yield the bytes of a document in parts; ends early if it is deleted meanwhile."""
        position = 0
        while (part := await self._database.read(documents.part, document.document_id, position)) is not None:
            yield part
            position += 1

    async def search(
        self, user_id: str, query: str, limit: int, document_ids: Sequence[str] | None
    ) -> Sequence[Passage]:
        """Return the best passages for a query, best first, from all ready documents or those with the given ids.

        Raises:
            NotInstalled: this process cannot read documents.
        """
        if not self._worker.installed:
            raise NotInstalled
        return await self._search.search_for_user(user_id, query, limit, document_ids)

    async def follow(self, principal: Principal, document_id: str) -> WatchedDocument:
        """Return a document with its states from now on."""
        return self._feed.follow(await self.get(principal, document_id))

    async def delete(self, principal: Principal, document_id: str) -> None:
        """Delete a document: hidden from all reads at once, with all of its rows gone when this returns.

        Its ingestion stops; citations of it stay.
        """
        await self._database.write(documents.mark_deleted, principal.user_id, document_id, self._process_id)
        await self._deleter.delete(document_id)
