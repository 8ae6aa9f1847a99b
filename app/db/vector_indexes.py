"""Vector indexes of users with very many vectors, on PostgreSQL: one for each, so that other users pay nothing for it.

Up to some 50,000 vectors of one user, comparing all of them is fast and exact; beyond that an HNSW graph (Malkov and
Yashunin, 2018) covers that user's rows alone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple, cast
from uuid import UUID

from app.db.database import Database
from app.db.transaction import Statement, Transaction

if TYPE_CHECKING:
    from app.db.postgres.database import PostgresDatabase

LARGE = 50_000
"""Vectors of one user and embedder above which an index pays."""
BUILD_MEMORY = "256MB"
"""Holds the graph of some 150,000 vectors of 384 dimensions while it is built; a larger one is built more slowly."""
MAX_DIMENSION = 4_000
"""Of the vectors that HNSW supports; longer ones are compared one by one."""
LOCK_KEY = 0x9A51E8
PREFIX = "ix_chunk_vectors_of_"
LARGE_CORPORA = """
SELECT owner_id, embedding FROM documents WHERE status = 'ready' AND embedding IS NOT NULL
GROUP BY owner_id, embedding HAVING SUM(chunk_count) > $1"""
EXISTING_INDEXES = f"""
SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = 'chunk_vectors'::regclass AND starts_with(c.relname, '{PREFIX}')"""
DIMENSION = "SELECT vector_dims(vector) FROM chunk_vectors WHERE owner_id = $1 AND embedder = $2 LIMIT 1"


class VectorIndex(NamedTuple):
    """The index over one user's vectors of one embedder."""

    owner_id: str
    embedder: str

    @property
    def name(self) -> str:
        return f"{PREFIX}{hashlib.sha256(f'{self.owner_id} {self.embedder}'.encode()).hexdigest()[:32]}"

    def predicate(self, table: str = "") -> str:
        """Write the condition of its rows, with constants: PostgreSQL does not match bound values with an index."""
        return f"{table}owner_id = '{UUID(self.owner_id)}' AND {table}embedder = {quoted(self.embedder)}"


def quoted(value: str) -> str:
    """Write a text as a constant of SQL."""
    return "'" + value.replace("'", "''") + "'"


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
        f"USING hnsw ((vector::halfvec({dimension})) halfvec_ip_ops) WHERE {index.predicate()}"
    )


def large_corpora(large: int) -> Transaction[list[VectorIndex]]:
    """List the users and embedders with more than `large` vectors."""
    rows = yield Statement(LARGE_CORPORA, (large,))
    return [VectorIndex(str(row[0]), row[1]) for row in rows]


def existing_indexes() -> Transaction[dict[str, bool]]:
    """Return the names of the existing indexes, and whether each is valid."""
    rows = yield Statement(EXISTING_INDEXES)
    return {row[0]: row[1] for row in rows}


def vector_dimension(index: VectorIndex) -> Transaction[int]:
    """Return the dimension of an index's vectors; 0 without vectors."""
    rows = yield Statement(DIMENSION, tuple(index))
    return rows[0][0] if rows else 0
