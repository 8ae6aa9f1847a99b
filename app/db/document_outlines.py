"""Outlines of documents: name, headings and first chunk."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from app.db.transaction import Row, Statement, Transaction
from app.domain.documents import Passage

OPENINGS = """
SELECT d.document_id, d.name, d.title, CAST(d.outline AS TEXT), c.position, c.page, c.start_at, c.end_at, c.content
FROM documents d JOIN chunks c ON c.document_id = d.document_id AND c.generation = d.generation
WHERE d.owner_id = $1 AND c.owner_id = $1 AND d.status = 'ready' AND c.position = (
SELECT MIN(f.position) FROM chunks f WHERE f.document_id = d.document_id AND f.generation = d.generation)"""
LATEST_FIRST = " ORDER BY d.document_id DESC LIMIT $2"


def openings(owner_id: str, document_ids: Sequence[str] | None, limit: int) -> Transaction[list[Passage]]:
    """Read the first chunk of a user's ready documents with their headings, the last uploaded first.

    Args:
        owner_id: The id of the user's row.
        document_ids: The documents to read; None for all of the user's.
        limit: Maximum number of documents.
    """
    if document_ids is not None and not document_ids:
        return []
    among = "" if document_ids is None else f" AND d.document_id IN {placeholders(document_ids, 3)}"
    rows = yield Statement(OPENINGS + among + LATEST_FIRST, (owner_id, limit, *(document_ids or ())))
    return [opening_of(row) for row in rows]


def placeholders(values: Sequence[object], first: int) -> str:
    """Return placeholders for values in SQL, numbered from `first` on: `($3, $4)`."""
    return f"({', '.join(f'${number}' for number in range(first, first + len(values)))})"


def opening_of(row: Row) -> Passage:
    """Build a passage from a row of `OPENINGS`."""
    document_id, name, title, outline, position, page, start, end, content = row
    headings = [text for _level, text, _start in (orjson.loads(outline) if outline else ())]
    return Passage(
        chunk_id=f"{document_id}:{position}",
        document_id=str(document_id),
        document_name=name,
        page=page,
        start=start,
        end=end,
        text=content,
        score=1.0,
        heading="; ".join(dict.fromkeys([*([title] if title else ()), *headings])),
        coverage=1.0,
    )
