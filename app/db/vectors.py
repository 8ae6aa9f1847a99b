"""Vectors of chunks, one for each embedder; they are deleted with their chunk."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence

from sqlalchemy import Connection, exc, text

from app.db.database import Kind
from app.db.transaction import Statement, Transaction

# Half precision takes half the memory, and changes a cosine by at most 0.001.
CREATE_TABLE = """
CREATE TABLE chunk_vectors (
    chunk_key bigint NOT NULL REFERENCES chunks ON DELETE CASCADE,
    embedder text NOT NULL,
    owner_id uuid NOT NULL,
    document_id uuid NOT NULL,
    generation integer NOT NULL,
    vector halfvec NOT NULL,
    PRIMARY KEY (chunk_key, embedder)
)"""
CREATE_INDEX = "CREATE INDEX ix_chunk_vectors_owner_id_embedder ON chunk_vectors (owner_id, embedder)"
UPSERT_SQLITE = """
INSERT INTO chunk_vectors (chunk_key, embedder, vector) VALUES ($1, $2, $3)
ON CONFLICT (chunk_key, embedder) DO UPDATE SET vector = excluded.vector"""
UPSERT_POSTGRES = """
INSERT INTO chunk_vectors (chunk_key, embedder, owner_id, document_id, generation, vector)
SELECT c.chunk_key, $2::text, c.owner_id, c.document_id, c.generation, given.vector::real[]::halfvec
FROM unnest($1::bigint[], $3::text[]) AS given (chunk_key, vector) JOIN chunks c USING (chunk_key)
ON CONFLICT (chunk_key, embedder) DO UPDATE SET vector = excluded.vector"""

# Not to_regclass(), which may return a cached result within a transaction.
TABLE_EXISTS = "SELECT 1 FROM pg_tables WHERE tablename = 'chunk_vectors' AND schemaname = ANY (current_schemas(false))"
EXTENSION_AVAILABLE = """
SELECT 1 FROM pg_available_extension_versions
WHERE name = 'vector' AND string_to_array(version, '.')::int[] >= '{0,8}'"""

log = logging.getLogger(__name__)


def store_vectors(kind: Kind, chunk_keys: Sequence[int], embedder: str, vectors: Sequence[bytes]) -> Transaction[None]:
    """Store the vectors of chunks, in place of earlier ones of the embedder; only where `Database.vectors_stored`."""
    if kind == "sqlite":
        for key, vector in zip(chunk_keys, vectors, strict=True):
            yield Statement(UPSERT_SQLITE, (key, embedder, vector))
    else:
        literals = [vector_literal(each, "{}") for each in vectors]
        yield Statement(UPSERT_POSTGRES, (list(chunk_keys), embedder, literals))


def vector_literal(vector: bytes, brackets: str = "[]") -> str:
    """Write a vector of 32-bit floats as PostgreSQL reads it: in square brackets, or as an array in braces."""
    numbers = struct.unpack(f"<{len(vector) // 4}f", vector)
    return f"{brackets[0]}{','.join(map(repr, numbers))}{brackets[1]}"


def table_exists(connection: Connection) -> bool:
    return connection.execute(text(TABLE_EXISTS)).first() is not None


def extension_available(connection: Connection) -> bool:
    """Return whether this server has pgvector 0.8 or newer, whose indexes support iterative scans."""
    return connection.execute(text(EXTENSION_AVAILABLE)).first() is not None


def create_table(connection: Connection) -> bool:
    """Create the table unless it exists; return False where this user may not create the extension."""
    if table_exists(connection):
        return True
    try:
        with connection.begin_nested():
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
            connection.execute(text(CREATE_TABLE))
            connection.execute(text(CREATE_INDEX))
    except exc.DBAPIError as error:
        log.warning("vectors cannot be stored: documents are found by words alone", exc_info=error)
        return False
    return True
