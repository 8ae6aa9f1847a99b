"""Citations for tests of marks."""

from __future__ import annotations

from app.domain.documents import Citation


def candidates(count: int) -> list[Citation]:
    """Return citations with the numbers from 1 to `count`."""
    return [
        Citation(
            n, document_id="d", document_name="a", chunk_id=f"d:{n}", page=None, start=n, end=n + 1, quote="x", score=1
        )
        for n in range(1, count + 1)
    ]
