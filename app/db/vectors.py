"""Vectors of chunks, one for each embedder; they are deleted with their chunk."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence

from sqlalchemy import Connection, exc, select, text
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import Insert

from app.db.database import Kind
from app.db.expressions import elements, insert_into, insert_rows_of, parameter
from app.db.models import ChunkRow, ChunkVectorRow, HalfVector
from app.db.transaction import Transaction, execute

# Half precision takes half the memory, and changes a cosine by at most 0.001.
CREATE_TABLE = text("""
CREATE TABLE chunk_vectors (
    chunk_key bigint NOT NULL REFERENCES chunks ON DELETE CASCADE,
    embedder text NOT NULL,
    owner_id uuid NOT NULL,
    document_id uuid NOT NULL,
    generation integer NOT NULL,
    vector halfvec NOT NULL,
    PRIMARY KEY (chunk_key, embedder)
)""")
CREATE_EXTENSION = text("CREATE EXTENSION IF NOT EXISTS vector")
CREATE_INDEX = text(
    "CREATE INDEX ix_chunk_vectors_owner_id_embedder_document_id ON chunk_vectors (owner_id, embedder, document_id)"
)


def or_replace(insert: Insert) -> Insert:
    """Replace the vectors of the same chunks and embedder."""
    return insert.on_conflict_do_update(
        index_elements=[ChunkVectorRow.chunk_key, ChunkVectorRow.embedder], set_={"vector": insert.excluded.vector}
    )


GIVEN = elements("vectors")
GIVEN_KEY, GIVEN_VECTOR = (GIVEN.c.value[position].as_string() for position in (0, 1))
VECTORS_OF_CHUNKS = select(
    ChunkRow.chunk_key,
    parameter(ChunkVectorRow.embedder).label("embedder"),
    ChunkRow.owner_id,
    ChunkRow.document_id,
    ChunkRow.generation,
    sql_cast(GIVEN_VECTOR, HalfVector).label("vector"),
).join_from(GIVEN, ChunkRow, ChunkRow.chunk_key == sql_cast(GIVEN_KEY, ChunkRow.chunk_key.type))
UPSERT: dict[Kind, Insert] = {
    "sqlite": or_replace(insert_into(ChunkVectorRow, "chunk_key", "embedder", "vector")),
    "postgresql": or_replace(insert_rows_of(ChunkVectorRow, VECTORS_OF_CHUNKS)),
}

# Text, as they read PostgreSQL's catalog. Not to_regclass(), which may return a cached result within a transaction.
TABLE_EXISTS = text(
    "SELECT 1 FROM pg_tables WHERE tablename = 'chunk_vectors' AND schemaname = ANY (current_schemas(false))"
)
EXTENSION_AVAILABLE = text(
    "SELECT 1 FROM pg_available_extension_versions "
    "WHERE name = 'vector' AND string_to_array(version, '.')::int[] >= '{0,8}'"
)

log = logging.getLogger(__name__)


def store_vectors(kind: Kind, chunk_keys: Sequence[int], embedder: str, vectors: Sequence[bytes]) -> Transaction[None]:
    """Store the vectors of chunks, in place of earlier ones of the embedder; only where `Database.vectors_stored`."""
    if kind == "sqlite":
        for key, vector in zip(chunk_keys, vectors, strict=True):
            yield from execute(UPSERT["sqlite"], chunk_key=key, embedder=embedder, vector=vector)
    else:
        new = [(key, vector_literal(vector)) for key, vector in zip(chunk_keys, vectors, strict=True)]
        yield from execute(UPSERT["postgresql"], embedder=embedder, vectors=new)


def vector_literal(vector: bytes) -> str:
    """Write a vector of 32-bit floats as pgvector reads it."""
    return f"[{','.join(map(repr, struct.unpack(f'<{len(vector) // 4}f', vector)))}]"


def table_exists(connection: Connection) -> bool:
    return connection.execute(TABLE_EXISTS).first() is not None


def extension_available(connection: Connection) -> bool:
    """Return whether this server has pgvector 0.8 or newer, whose indexes support iterative scans."""
    return connection.execute(EXTENSION_AVAILABLE).first() is not None


def create_table(connection: Connection) -> bool:
    """Create the table unless it exists; return False where this user may not create the extension."""
    if table_exists(connection):
        return True
    try:
        with connection.begin_nested():
            connection.execute(CREATE_EXTENSION)
            connection.execute(CREATE_TABLE)
            connection.execute(CREATE_INDEX)
    except exc.DBAPIError as error:
        log.warning("vectors cannot be stored: documents are found by words alone", exc_info=error)
        return False
    return True
