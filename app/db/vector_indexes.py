"""Vector indexes of users with very many vectors, on PostgreSQL: one for each, so that other users pay nothing for it.

Up to some 25,000 vectors of one user, comparing all of them is fast and exact; beyond that an HNSW graph (Malkov and
Yashunin, 2018) covers that user's rows alone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, cast

from sqlalchemy import BigInteger, Boolean, ColumnElement, Integer, Text, and_, bindparam, column, func, select, text
from sqlalchemy.dialects.postgresql import asyncpg

from app.db.compiled import expression_sql
from app.db.database import Database
from app.db.models import ChunkVectorRow, DocumentRow
from app.db.transaction import Transaction, execute, fetch_value
from app.domain.documents import DocumentStatus

if TYPE_CHECKING:
    from app.db.postgres.database import PostgresDatabase

LARGE = 25_000
"""Vectors of one user and embedder above which an index pays."""
BUILD_MEMORY = "256MB"
"""Holds the graph of some 150,000 vectors of 384 dimensions while it is built; a larger one is built more slowly."""
MAX_DIMENSION = 4_000
"""Of the vectors that HNSW supports; longer ones are compared one by one."""
LOCK_KEY = 0x9A51E8
PREFIX = "ix_chunk_vectors_of_"
DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's types lack it
LARGE_CORPORA = (
    select(DocumentRow.owner_id, DocumentRow.embedding)
    .where(DocumentRow.status == DocumentStatus.READY, DocumentRow.embedding.is_not(None))
    .group_by(DocumentRow.owner_id, DocumentRow.embedding)
    .having(func.sum(DocumentRow.chunk_count) > bindparam("large", type_=BigInteger))
)
# Text, as it reads PostgreSQL's catalog.
EXISTING_INDEXES = text(
    "SELECT c.relname AS name, i.indisvalid AS valid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    f"WHERE i.indrelid = 'chunk_vectors'::regclass AND starts_with(c.relname, '{PREFIX}')"
).columns(column("name", Text), column("valid", Boolean))
DIMENSION = (
    select(func.vector_dims(ChunkVectorRow.vector, type_=Integer))
    .where(ChunkVectorRow.owner_id == bindparam("owner_id"), ChunkVectorRow.embedder == bindparam("embedder"))
    .limit(1)
)


class VectorIndex(NamedTuple):
    """The index over one user's vectors of one embedder."""

    owner_id: str
    embedder: str

    @property
    def name(self) -> str:
        return f"{PREFIX}{hashlib.sha256(f'{self.owner_id} {self.embedder}'.encode()).hexdigest()[:32]}"

    @property
    def condition(self) -> ColumnElement[bool]:
        """The condition of its rows, with constants: PostgreSQL does not match parameters with an index."""
        return and_(ChunkVectorRow.owner_id == self.owner_id, ChunkVectorRow.embedder == self.embedder)


async def update_vector_indexes(database: Database, large: int = LARGE) -> None:
    """Create the missing indexes and drop those that are not needed, unless another process does so now.

    Each takes minutes, on a connection of its own; uploads and searches go on meanwhile.

    Raises:
        DatabaseUnavailable: the database is out of reach.
    """
    if database.kind == "sqlite" or not database.vectors_stored:
        return
    server = cast("PostgresDatabase", database)
    with server.translate_errors():
        async with (
            server.dedicated_connection() as lock_connection,
            lock_connection.transaction(isolation="read_committed"),
        ):
            # The lock is a transaction's, which a pooler keeps at one server.
            if not await lock_connection.fetchval(f"SELECT pg_try_advisory_xact_lock({LOCK_KEY})"):
                return
            # Ends the query above: CONCURRENTLY would wait for its snapshot.
            await lock_connection.execute("SELECT 1")
            if statements := await server.read(index_changes, large):
                async with server.dedicated_connection(maintenance_work_mem=BUILD_MEMORY) as build_connection:
                    for statement in statements:
                        await build_connection.execute(statement)


def index_changes(large: int) -> Transaction[list[str]]:
    """List the statements after which the users with more than `large` vectors have an index, and no others."""
    wanted = {each.name: each for each in (yield from large_corpora(large))}
    existing = yield from existing_indexes()
    # An invalid index was left by a process that was killed while it built it.
    obsolete = [name for name, valid in existing.items() if name not in wanted or not valid]
    statements = [f"DROP INDEX CONCURRENTLY IF EXISTS {name}" for name in obsolete]
    for name, each in wanted.items():
        if name in obsolete or name not in existing:
            dimension = yield from vector_dimension(each)
            statements += [create_statement(each, dimension)] if 0 < dimension <= MAX_DIMENSION else []
    return statements


def create_statement(index: VectorIndex, dimension: int) -> str:
    """Write the statement that builds an index while rows are written."""
    return (
        f"CREATE INDEX CONCURRENTLY {index.name} ON chunk_vectors "
        f"USING hnsw ((vector::halfvec({dimension})) halfvec_ip_ops) WHERE {expression_sql(index.condition, DIALECT)}"
    )


def large_corpora(large: int) -> Transaction[list[VectorIndex]]:
    """List the users and embedders with more than `large` vectors."""
    rows = yield from execute(LARGE_CORPORA, large=large)
    return [VectorIndex(row.owner_id, row.embedding) for row in rows]


def existing_indexes() -> Transaction[dict[str, bool]]:
    """Return the names of the existing indexes, and whether each is valid."""
    rows = yield from execute(EXISTING_INDEXES)
    return {row.name: row.valid for row in rows}


def vector_dimension(index: VectorIndex) -> Transaction[int]:
    """Return the dimension of an index's vectors; 0 without vectors."""
    return (yield from fetch_value(DIMENSION, owner_id=index.owner_id, embedder=index.embedder)) or 0
