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
    """Documents of a principal; every method raises DocumentNotFound for one that is not theirs."""

    def __init__(
        self,
        database: Database,
        ingest: IngestionWorker,
        removals: DocumentDeleter,
        watches: DocumentFeed,
        retrieval: DocumentSearch,
        process_id: str,
        *,
        max_bytes: int,
    ) -> None:
        self._database = database
        self._ingest = ingest
        self._removals = removals
        self._watches = watches
        self._retrieval = retrieval
        self._process_id = process_id
        self.max_bytes = max_bytes
        """How large a document may be."""

    def receive(self) -> Upload:
        """A document that is about to arrive.

        Raises:
            NotInstalled: documents are not read here.
            Draining: the process is going away.
        """
        if not self._ingest.installed:
            raise NotInstalled
        if self._ingest.draining:
            raise Draining
        return Upload(self._database, self._removals, self._process_id, self._ingest.nudge)

    async def page(self, user_id: str, behind: str | None, limit: int) -> list[Document]:
        """A user's documents, the newest first, from behind the one of that id."""
        return await self._database.read(documents.page, user_id, behind, limit)

    async def get(self, who: Principal, document_id: str) -> Document:
        """One document."""
        return await self._database.read(documents.get, who.user_id, document_id)

    async def text(self, who: Principal, document_id: str) -> str:
        """The text that was read out of a document.

        Raises:
            DocumentNotReady: it has not been read.
        """
        return await self._database.read(documents.text, who.user_id, document_id)

    async def content(self, document: Document) -> AsyncIterator[bytes]:
        """The bytes of a document that was got before, in parts; fewer than it has when it is deleted meanwhile."""
        position = 0
        while (part := await self._database.read(documents.part, document.document_id, position)) is not None:
            yield part
            position += 1

    async def search(
        self, user_id: str, query: str, limit: int, document_ids: Sequence[str] | None
    ) -> Sequence[Passage]:
        """The passages that answer best to a query, the best first; of all documents that are ready, or only of some.

        Raises:
            NotInstalled: documents are not read here.
        """
        if not self._ingest.installed:
            raise NotInstalled
        return await self._retrieval.search_for(user_id, query, limit, document_ids)

    async def follow(self, who: Principal, document_id: str) -> WatchedDocument:
        """A document, and its states from now on."""
        return self._watches.follow(await self.get(who, document_id))

    async def delete(self, who: Principal, document_id: str) -> None:
        """Deletes a document with all that was read out of it: gone from all reads at once, removed when this returns.

        Whoever reads it stops; what cites it keeps its citations.
        """
        await self._database.write(documents.delete, who.user_id, document_id, self._process_id)
        await self._removals.remove(document_id)
