"""Documents as a whole: what they are called, their headings, and how they begin."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from app.db.transaction import Row, Statement, Transaction
from app.domain.documents import Passage

READY = """
SELECT d.document_id, d.name, d.title, CAST(d.outline AS TEXT), c.position, c.page, c.start_at, c.end_at, c.content
FROM documents d JOIN chunks c ON c.document_id = d.document_id AND c.generation = d.generation
WHERE d.owner_id = $1 AND c.owner_id = $1 AND d.status = 'ready' AND c.position = (
SELECT MIN(f.position) FROM chunks f WHERE f.document_id = d.document_id AND f.generation = d.generation)"""
LATEST_FIRST = " ORDER BY d.document_id DESC LIMIT $2"
THEIRS = """
SELECT COUNT(*) FROM documents
WHERE owner_id = $1 AND status IN ('queued', 'processing', 'ready', 'failed') AND document_id IN """


def openings(owner_id: str, document_ids: Sequence[str] | None, limit: int) -> Transaction[list[Passage]]:
    """How a user's ready documents begin, the last uploaded first, each with its headings; all, or these."""
    if document_ids is not None and not document_ids:
        return []
    among = "" if document_ids is None else f" AND d.document_id IN {places(document_ids, 3)}"
    rows = yield Statement(READY + among + LATEST_FIRST, (owner_id, limit, *(document_ids or ())))
    return [opening_of(row) for row in rows]


def places(values: Sequence[object], first: int) -> str:
    """Places for so many values in SQL, from a number on."""
    return f"({', '.join(f'${number}' for number in range(first, first + len(values)))})"


def opening_of(row: Row) -> Passage:
    """A document's opening from the values of `READY`."""
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
