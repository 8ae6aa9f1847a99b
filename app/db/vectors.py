"""The vectors of chunks: beside them, by their embedder's name, and gone with them."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence

from sqlalchemy import Connection, exc, text

from app.db.database import Kind
from app.db.transaction import Statement, Transaction

# Half the precision is half the memory, and more than nearness can tell: 0.001 of a cosine.
TABLE = """
CREATE TABLE chunk_vectors (
    chunk_key bigint NOT NULL REFERENCES chunks ON DELETE CASCADE,
    embedder text NOT NULL,
    owner_id uuid NOT NULL,
    document_id uuid NOT NULL,
    generation integer NOT NULL,
    vector halfvec NOT NULL,
    PRIMARY KEY (chunk_key, embedder)
)"""
BY_OWNER = "CREATE INDEX ix_chunk_vectors_owner_id_embedder ON chunk_vectors (owner_id, embedder)"
AT_SQLITE = """
INSERT INTO chunk_vectors (chunk_key, embedder, vector) VALUES ($1, $2, $3)
ON CONFLICT (chunk_key, embedder) DO UPDATE SET vector = excluded.vector"""
AT_POSTGRES = """
INSERT INTO chunk_vectors (chunk_key, embedder, owner_id, document_id, generation, vector)
SELECT c.chunk_key, $2::text, c.owner_id, c.document_id, c.generation, given.vector::real[]::halfvec
FROM unnest($1::bigint[], $3::text[]) AS given (chunk_key, vector) JOIN chunks c USING (chunk_key)
ON CONFLICT (chunk_key, embedder) DO UPDATE SET vector = excluded.vector"""

# Not to_regclass(), which may remember within a transaction that there was none.
THERE = "SELECT 1 FROM pg_tables WHERE tablename = 'chunk_vectors' AND schemaname = ANY (current_schemas(false))"
AVAILABLE = """
SELECT 1 FROM pg_available_extension_versions
WHERE name = 'vector' AND string_to_array(version, '.')::int[] >= '{0,8}'"""

logger = logging.getLogger(__name__)


def store_vectors(kind: Kind, chunk_keys: Sequence[int], embedder: str, vectors: Sequence[bytes]) -> Transaction[None]:
    """Stores the chunks' vectors, in the place of any that the embedder gave before; with chunks, they are deleted.

    To be run only where `Database.vectors_stored`.
    """
    if kind == "sqlite":
        for key, vector in zip(chunk_keys, vectors, strict=True):
            yield Statement(AT_SQLITE, (key, embedder, vector))
    else:
        yield Statement(AT_POSTGRES, (list(chunk_keys), embedder, [literal(each, "{}") for each in vectors]))


def literal(vector: bytes, brackets: str = "[]") -> str:
    """A vector as PostgreSQL reads it."""
    numbers = struct.unpack(f"<{len(vector) // 4}f", vector)
    return f"{brackets[0]}{','.join(map(repr, numbers))}{brackets[1]}"


def there(connection: Connection) -> bool:
    """Whether PostgreSQL has the table."""
    return connection.execute(text(THERE)).first() is not None


def possible(connection: Connection) -> bool:
    """Whether this server has pgvector, of a release whose indexes can be scanned on and on (0.8)."""
    return connection.execute(text(AVAILABLE)).first() is not None


def made(connection: Connection) -> bool:
    """Makes the table, unless another process has; False where this user may not have the extension."""
    if there(connection):
        return True
    try:
        with connection.begin_nested():
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
            connection.execute(text(TABLE))
            connection.execute(text(BY_OWNER))
    except exc.DBAPIError as error:
        logger.warning("vectors cannot be stored: documents are found by words alone", exc_info=error)
        return False
    return True
