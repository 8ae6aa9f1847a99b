"""Outlines of documents: name, headings and first chunk; and the chunks behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, func, select
from sqlalchemy.orm import aliased

from app.db.document_versions import NEWEST
from app.db.expressions import is_among, parameter
from app.db.models import ChunkRow, DocumentRow
from app.db.predicates import current
from app.db.transaction import Row, Transaction, execute
from app.domain.documents import DocumentStatus, Passage, page_starts

FirstChunk = aliased(ChunkRow)
COLUMNS = (
    DocumentRow.document_id,
    DocumentRow.name,
    DocumentRow.created_at,
    ChunkRow.position,
    ChunkRow.page,
    ChunkRow.later_pages,
    ChunkRow.start_at,
    ChunkRow.end_at,
    ChunkRow.content,
)


def opening_query(*, among: bool) -> Select[Any]:
    """Select the first chunks of a user's ready documents, of those in the parameter `document_ids` or of all.

    Of all documents with the same name only the newest one counts.
    """
    owner_id = parameter(DocumentRow.owner_id)
    first = (
        select(func.min(FirstChunk.position))
        .where(FirstChunk.document_id == DocumentRow.document_id, FirstChunk.generation == DocumentRow.generation)
        .scalar_subquery()
    )
    query = (
        select(*COLUMNS, DocumentRow.title, DocumentRow.outline)
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
    else:
        query = query.where(DocumentRow.document_id.in_(NEWEST))
    return query.order_by(DocumentRow.document_id.desc()).limit(bindparam("limit"))


OPENINGS = {among: opening_query(among=among) for among in (False, True)}
NEXT = (
    select(*COLUMNS, ChunkRow.heading)
    .join(ChunkRow, ChunkRow.document_id == DocumentRow.document_id)
    .where(
        DocumentRow.document_id == bindparam("document_id"),
        DocumentRow.owner_id == bindparam("owner_id"),
        DocumentRow.status == DocumentStatus.READY,
        current(ChunkRow),
        ChunkRow.start_at > bindparam("start_at"),
    )
    .order_by(ChunkRow.position)
    .limit(bindparam("limit"))
)


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


def next_passages(owner_id: str, opening: Passage, limit: int) -> Transaction[list[Passage]]:
    """Read the chunks behind a document's opening, at most `limit`, in order; none if it has been deleted."""
    rows = yield from execute(
        NEXT, owner_id=owner_id, document_id=opening.document_id, start_at=opening.start, limit=limit
    )
    return [passage_of(row, row.heading) for row in rows]


def opening_of(row: Row) -> Passage:
    """Build a passage from a row of `OPENINGS`, with the document's title and headings as its heading."""
    headings = [text for _level, text, _start in row.outline or ()]
    return passage_of(row, "; ".join(dict.fromkeys([*([row.title] if row.title else ()), *headings])))


def passage_of(row: Row, heading: str) -> Passage:
    """Build a passage from a row with `COLUMNS`; the question is about all of the document, so that it is covered."""
    return Passage(
        chunk_id=f"{row.document_id}:{row.position}",
        document_id=row.document_id,
        document_name=row.name,
        page=row.page,
        start=row.start_at,
        end=row.end_at,
        text=row.content,
        score=1.0,
        heading=heading,
        coverage=1.0,
        later_pages=page_starts(row.later_pages),
        document_created_at=row.created_at,
    )
