"""Outlines of documents: name, headings and first chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, func, select
from sqlalchemy.orm import aliased

from app.db.expressions import is_among, parameter
from app.db.models import ChunkRow, DocumentRow
from app.db.transaction import Row, Transaction, execute
from app.domain.documents import DocumentStatus, Passage, page_starts

FirstChunk = aliased(ChunkRow)


def opening_query(*, among: bool) -> Select[Any]:
    """Select the first chunks of a user's ready documents, of all or of those in the parameter `document_ids`."""
    owner_id = parameter(DocumentRow.owner_id)
    first = (
        select(func.min(FirstChunk.position))
        .where(FirstChunk.document_id == DocumentRow.document_id, FirstChunk.generation == DocumentRow.generation)
        .scalar_subquery()
    )
    query = (
        select(
            DocumentRow.document_id,
            DocumentRow.name,
            DocumentRow.created_at,
            DocumentRow.title,
            DocumentRow.outline,
            ChunkRow.position,
            ChunkRow.page,
            ChunkRow.later_pages,
            ChunkRow.start_at,
            ChunkRow.end_at,
            ChunkRow.content,
        )
        .join(
            ChunkRow,
            and_(ChunkRow.document_id == DocumentRow.document_id, ChunkRow.generation == DocumentRow.generation),
        )
        .where(
            DocumentRow.owner_id == owner_id,
            ChunkRow.owner_id == owner_id,
            DocumentRow.status == DocumentStatus.READY,
            ChunkRow.position == first,
        )
    )
    if among:
        query = query.where(is_among(DocumentRow.document_id, "document_ids"))
    return query.order_by(DocumentRow.document_id.desc()).limit(bindparam("limit"))


OPENINGS = {among: opening_query(among=among) for among in (False, True)}


def openings(owner_id: str, document_ids: Sequence[str] | None, limit: int) -> Transaction[list[Passage]]:
    """Read the first chunk of a user's ready documents with their headings, the last uploaded first.

    Args:
        owner_id: The id of the user's row.
        document_ids: The documents to read; None for all of the user's.
        limit: Maximum number of documents.
    """
    if document_ids is not None and not document_ids:
        return []
    values: dict[str, Any] = {"owner_id": owner_id, "limit": limit}
    if document_ids is not None:
        values["document_ids"] = document_ids
    rows = yield from execute(OPENINGS[document_ids is not None], **values)
    return [opening_of(row) for row in rows]


def opening_of(row: Row) -> Passage:
    """Build a passage from a row of `OPENINGS`."""
    headings = [text for _level, text, _start in row.outline or ()]
    return Passage(
        chunk_id=f"{row.document_id}:{row.position}",
        document_id=row.document_id,
        document_name=row.name,
        page=row.page,
        start=row.start_at,
        end=row.end_at,
        text=row.content,
        score=1.0,
        heading="; ".join(dict.fromkeys([*([row.title] if row.title else ()), *headings])),
        coverage=1.0,
        later_pages=page_starts(row.later_pages),
        document_created_at=row.created_at,
    )
