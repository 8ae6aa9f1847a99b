"""Documents of users, stored as ingestion stores them, with chosen vectors."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from app.db.database import Database
from app.db.models import DocumentRow, UserRow
from app.db.transaction import Transaction
from app.db.vectors import store_vectors
from app.domain.ids import new_id
from app.errors import EmbeddingFailed
from app.rag.models.calibration import Calibration
from app.rag.ranking.terms import index_chunk
from tests.support.sql import run_sql

CHUNK = """
INSERT INTO chunks
(document_id, owner_id, generation, position, start_at, end_at, content, heading, names, words, counts)
VALUES ($1, $2, $3, $4, 0, $5, $6, $7, '', $8, $9) RETURNING chunk_key"""
CHANGED = "UPDATE users SET documents_version = documents_version + 1 WHERE id = $1"


@dataclass
class Directions:
    """An embedder that knows a few words, each in a direction of its own, and counts its calls."""

    name: str = "test:directions"
    scripts: frozenset[str] | None = None
    fails: bool = False

    async def calibration(self) -> Calibration:
        return Calibration(related=1.0, unrelated=0.0, scripts=self.scripts)

    async def embed_query(self, text: str) -> bytes:
        if self.fails:
            raise EmbeddingFailed
        return direction(text)

    async def embed_passages(self, texts: Sequence[str]) -> list[bytes]:
        return [self.vector(each) for each in texts]

    def vector(self, text: str) -> bytes:
        """Return the vector of a passage, zeros for one in an unknown script."""
        known = Calibration(1.0, 0.0, self.scripts).knows(text)
        return direction(text) if known else bytes(len(direction(text)))

    async def aclose(self) -> None:
        pass


MEANINGS = (("cat", "feline"), ("car", "vehicle"), ("tea", "drink"))


def direction(text: str) -> bytes:
    """Return a vector in the directions of a text's words; its last number keeps it from being zero."""
    numbers = [float(any(word in text.lower() for word in words)) for words in MEANINGS] + [0.1]
    length = sum(each * each for each in numbers) ** 0.5
    return struct.pack(f"<{len(numbers)}f", *(each / length for each in numbers))


async def new_owner(database: Database, user_id: str = "ada") -> str:
    """Store a user, and return the id of the row."""
    owner_id = new_id()
    async with database.write_session() as session:
        session.add(UserRow(id=owner_id, user_id=user_id, created_at=1))
    return owner_id


async def new_document(
    database: Database,
    owner_id: str,
    *texts: str,
    embedder: Directions | None = None,
    status: str = "ready",
    name: str | None = None,
) -> str:
    """Store a document with these chunks, named after the first one if it has no name, and return its id."""
    document_id = new_id()
    async with database.write_session() as session:
        session.add(
            DocumentRow(
                document_id=document_id,
                owner_id=owner_id,
                name=name or texts[0],
                media_type="text/plain",
                bytes=1,
                sha256=document_id,
                status=status,
                attempt=1,
                generation=1,
                embedding=embedder and embedder.name,
                chunk_count=len(texts),
                created_at=1,
            )
        )
    await database.write(chunks, database, owner_id, document_id, texts, 1, embedder)
    return document_id


def chunks(
    database: Database,
    owner_id: str,
    document_id: str,
    texts: Sequence[str],
    generation: int,
    embedder: Directions | None,
) -> Transaction[None]:
    """Store the chunks of a generation, with vectors if there is an embedder."""
    keys = []
    for position, text in enumerate(texts):
        words, counts = index_chunk(owner_id, document_id, text)
        values = (document_id, owner_id, generation, position, len(text), text, "", words, counts)
        rows = yield from run_sql(CHUNK, *values)
        keys.append(rows[0][0])
    if embedder is not None:
        yield from store_vectors(database.kind, keys, embedder.name, [embedder.vector(each) for each in texts])
    yield from run_sql(CHANGED, owner_id)


async def change_documents(database: Database, owner_id: str, sql: str, *values: object) -> None:
    """Execute a statement on a user's documents, and increment their version."""

    def transaction() -> Transaction[None]:
        yield from run_sql(sql, *values)
        yield from run_sql(CHANGED, owner_id)

    await database.write(transaction)


async def count_rows(database: Database, table: str) -> int:
    """Count the rows of a table."""

    def transaction() -> Transaction[int]:
        rows = yield from run_sql(f"SELECT COUNT(*) FROM {table}")
        return int(rows[0][0])

    return await database.read(transaction)
