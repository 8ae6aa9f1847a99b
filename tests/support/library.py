"""Documents that are there without an ingest, and a plain search among them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from app.db.models import ChunkRow, DocumentRow, UserRow
from app.domain.documents import Passage
from app.domain.evidence import content_words
from app.domain.ids import new_id, now_ms
from app.domain.retrieval import RetrievalStatus, SearchResult
from app.rag.words import indexed
from tests.support.service import Service


class Library:
    """The documents of a service's users, searched by the share of the query's words that a passage has."""

    def __init__(self, service: Service) -> None:
        self.searches: list[tuple[str, list[str], list[str] | None]] = []
        """Owner, queries and documents of each search."""
        self.failure: Exception | None = None
        self.status = RetrievalStatus.OK
        self._database = service.database
        service.services.turns.running.grounding.lookups.search = self.search

    async def add(
        self,
        user_id: str,
        name: str,
        *chunks: str,
        title: str | None = None,
        page: int | None = None,
        document_id: str = "",
    ) -> str:
        """Stores a document, of a user who is there; its id."""
        document_id, generation, end = document_id or new_id(), 1, 0
        async with self._database.write() as session:
            owner_id = await session.scalar(select(UserRow.id).where(UserRow.user_id == user_id))
            await session.execute(
                insert(DocumentRow).values(
                    document_id=document_id, owner_id=owner_id, name=name, media_type="text/plain", bytes=1,
                    sha256=document_id, status="ready", done=0, total=0, attempt=1, generation=generation, title=title,
                    outline=[[1, title, 0]] if title else [], created_at=now_ms(),
                )
            )  # fmt: skip
            for position, content in enumerate(chunks):
                start, end = end, end + len(content)
                found_by = indexed(owner_id, document_id, content)
                await session.execute(
                    insert(ChunkRow).values(
                        document_id=document_id, owner_id=owner_id, generation=generation, position=position,
                        start_at=start, end_at=end, page=page, content=content, heading="", names="",
                        words=found_by.words, counts=found_by.counts,
                    )
                )  # fmt: skip
        return document_id

    async def remove(self, document_id: str) -> None:
        """Deletes a document."""
        async with self._database.write() as session:
            await session.execute(delete(DocumentRow).where(DocumentRow.document_id == document_id))

    async def search(
        self, owner_id: str, queries: Sequence[str], limit: int, document_ids: Sequence[str] | None = None
    ) -> SearchResult:
        """See `services.retrieval.Retrieval.search`."""
        self.searches.append((owner_id, list(queries), None if document_ids is None else list(document_ids)))
        if self.failure is not None:
            raise self.failure
        wanted = content_words(" ".join(queries))
        among = select(ChunkRow, DocumentRow.name).join(DocumentRow, DocumentRow.document_id == ChunkRow.document_id)
        async with self._database.read() as session:
            rows = (await session.execute(among.where(ChunkRow.owner_id == owner_id))).all()
        found = [
            passage(chunk, name, len(content_words(chunk.content) & wanted) / len(wanted))
            for chunk, name in rows
            if document_ids is None or chunk.document_id in document_ids
        ]
        best = sorted((each for each in found if each.score), key=lambda each: -each.score)[:limit]
        return SearchResult(best, self.status if best else RetrievalStatus.EMPTY)


def passage(chunk: ChunkRow, name: str, share: float) -> Passage:
    """A chunk as a search gives it."""
    return Passage(
        chunk_id=f"{chunk.document_id}:{chunk.position}", document_id=chunk.document_id, document_name=name,
        page=chunk.page, start=chunk.start_at, end=chunk.end_at, text=chunk.content, score=share, coverage=share,
    )  # fmt: skip
