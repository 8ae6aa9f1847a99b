"""A document for tests of ingestion, and reads of its stored rows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.db import documents
from app.db.database import Database
from app.db.transaction import Transaction
from app.domain.documents import Document
from tests.support.sql import run_sql

SENTENCE = "The quick brown fox jumps over the lazy dog, and then it goes home to sleep. "
TEXT = "".join(f"# Part {each}\n\n{SENTENCE * 8}\n\n" for each in range(100)).encode()
"""At least a hundred chunks: more than one batch."""
IN_HAND = "SELECT DISTINCT embedding, process_id FROM documents"


async def fetch_rows(database: Database, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Execute a statement and return its rows."""

    def transaction() -> Transaction[list[tuple[Any, ...]]]:
        return [tuple(row) for row in (yield from run_sql(sql, *values))]

    return await database.write(transaction)


async def embedding_of(database: Database, document: Document) -> str | None:
    """Return the embedder of a document, having checked that each chunk has one vector of it; None for none."""
    [(embedding, generation)] = await fetch_rows(
        database, "SELECT embedding, generation FROM documents WHERE document_id = $1", document.document_id
    )
    if embedding is None:
        return None
    found = await fetch_rows(
        database,
        "SELECT v.embedder, COUNT(*) FROM chunks c JOIN chunk_vectors v ON v.chunk_key = c.chunk_key "
        "WHERE c.document_id = $1 AND c.generation = $2 GROUP BY v.embedder",
        document.document_id,
        generation,
    )
    chunk_count = (await database.read(documents.by_id, document.document_id)).chunk_count
    assert found == [(embedding, chunk_count)]
    return str(embedding)


def skip_without_vectors(database: Database) -> None:
    """Skip a test if the database cannot store vectors."""
    if not database.vectors_stored:
        pytest.skip("this PostgreSQL lacks the extension vector")


async def wait_until_embedded(database: Database, name: str) -> None:
    """Poll until all documents have one embedder's vectors and no process works on them."""
    async with asyncio.timeout(30):
        while await fetch_rows(database, IN_HAND) != [(name, None)]:  # noqa: ASYNC110  see above
            await asyncio.sleep(0.01)
