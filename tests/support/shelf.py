"""Documents that are stored without ingestion and found by their words, with the searches that were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import delete, insert, update

from app.db.models import ChunkRow, DocumentRow, UserRow
from app.domain.documents import Passage
from app.domain.ids import new_id, now_ms
from app.domain.retrieval import RetrievalStatus, SearchResult
from app.rag.ranking.terms import ANALYSIS, index_chunk
from app.services.search.service import DocumentSearch
from tests.support.service import Service


class Shelf(DocumentSearch):
    """The documents of a service's users; their searches are recorded and can be made to fail."""

    def __init__(self, service: Service) -> None:
        self.searches: list[tuple[str, list[str], list[str] | None]] = []
        """Owner, queries and documents of each search."""
        self.failure: Exception | None = None
        self.status: RetrievalStatus | None = None
        """The status of all searches; None for the real one."""
        self.nearest: Sequence[Passage] = ()
        """The passages of searches that find none by words, as if they were near by meaning."""
        super().__init__(service.database, embedder=None)
        passages = service.services.turns.executor.grounded.passages
        self._before = passages.search
        passages.search = self

    async def add(
        self,
        user_id: str,
        name: str,
        *chunks: str,
        title: str | None = None,
        page: int | None = None,
        document_id: str = "",
    ) -> str:
        """Store a document of an existing user, and return its id."""
        document_id, generation, end = document_id or new_id(), 1, 0
        async with self._database.write_session() as session:
            changed = update(UserRow).values(documents_version=UserRow.documents_version + 1)
            owner_id = await session.scalar(changed.where(UserRow.user_id == user_id).returning(UserRow.id))
            assert owner_id is not None
            await session.execute(
                insert(DocumentRow).values(
                    document_id=document_id, owner_id=owner_id, name=name, media_type="text/plain", bytes=1,
                    sha256=document_id, status="ready", done=0, total=0, attempt=1, generation=generation, title=title,
                    chunk_count=len(chunks), analysis=ANALYSIS,
                    outline=[[1, title, 0]] if title else [], created_at=now_ms(),
                )
            )  # fmt: skip
            for position, content in enumerate(chunks):
                start, end = end, end + len(content)
                found_by = index_chunk(owner_id, document_id, content)
                await session.execute(
                    insert(ChunkRow).values(
                        document_id=document_id, owner_id=owner_id, generation=generation, position=position,
                        start_at=start, end_at=end, page=page, content=content, heading="", names="",
                        words=found_by.terms, counts=found_by.counts,
                    )
                )  # fmt: skip
        return document_id

    async def remove(self, document_id: str) -> None:
        """Delete a document."""
        async with self._database.write_session() as session:
            await session.execute(delete(DocumentRow).where(DocumentRow.document_id == document_id))

    async def search(
        self, owner_id: str, queries: Sequence[str], limit: int, document_ids: Sequence[str] | None = None
    ) -> SearchResult:
        self.searches.append((owner_id, list(queries), None if document_ids is None else list(document_ids)))
        if self.failure is not None:
            raise self.failure
        found = await super().search(owner_id, queries, limit, document_ids)
        if not found.passages and self.nearest:
            found = SearchResult(self.nearest, RetrievalStatus.OK)
        return replace(found, status=self.status or found.status)

    async def similarities(self, queries: Sequence[str], texts: Sequence[str]) -> Sequence[float] | None:
        return await self._before.similarities(queries, texts)
