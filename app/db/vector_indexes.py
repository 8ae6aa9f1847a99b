"""Indexes over the vectors of users who have very many, on PostgreSQL: one for each, so that others cost it nothing.

Up to some 50,000 vectors of one user to compare them all is quick and exact; beyond that it is an HNSW graph
(Malkov and Yashunin, 2018) over that user's rows alone.
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
BUILD_MEMORY = "256MB"
"""Holds the graph of some 150,000 vectors of 384 numbers while it is made; a larger one is made more slowly."""
MAX_DIMENSION = 4_000
"""Of what a graph can be made; longer ones are compared one by one."""
LOCK_KEY = 0x9A51E8
PREFIX = "ix_chunk_vectors_of_"
LIBRARIES = """
SELECT owner_id, embedding FROM documents WHERE status = 'ready' AND embedding IS NOT NULL
GROUP BY owner_id, embedding HAVING SUM(chunk_count) > $1"""
INDEXES = f"""
SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = 'chunk_vectors'::regclass AND starts_with(c.relname, '{PREFIX}')"""
DIMENSION = "SELECT vector_dims(vector) FROM chunk_vectors WHERE owner_id = $1 AND embedder = $2 LIMIT 1"


class Indexed(NamedTuple):
    """Whose vectors an index is over."""

    owner_id: str
    embedder: str

    @property
    def name(self) -> str:
        """The index's."""
        return f"{PREFIX}{hashlib.sha256(f'{self.owner_id} {self.embedder}'.encode()).hexdigest()[:32]}"

    def predicate(self, table: str = "") -> str:
        """Which rows are its: written out, since an index is not chosen by a value that is only bound."""
        return f"{table}owner_id = '{UUID(self.owner_id)}' AND {table}embedder = {quoted(self.embedder)}"


def quoted(value: str) -> str:
    """A text as a constant of SQL."""
    return "'" + value.replace("'", "''") + "'"


async def keep_vector_indexes(database: Database) -> None:
    """Makes the indexes that are missing and drops those that nobody needs, unless another process is about it.

    It takes minutes for each, on connections of their own; nothing waits for it, and uploads go on meanwhile.

    Raises:
        DatabaseUnavailable: the database is out of reach.
    """
    if database.kind == "sqlite" or not database.vectors_stored:
        return
    server = cast("PostgresDatabase", database)
    with server.translate_errors():
        async with server.dedicated_connection() as keeper, keeper.transaction(isolation="read_committed"):
            # The lock is a transaction's, which a pooler keeps at one server.
            if not await keeper.fetchval(f"SELECT pg_try_advisory_xact_lock({LOCK_KEY})"):
                return
            await keeper.execute("SELECT 1")  # ends the query above, for whose snapshot CONCURRENTLY would wait
            if statements := await server.read(changes):
                async with server.dedicated_connection(maintenance_work_mem=BUILD_MEMORY) as builder:
                    for statement in statements:
                        await builder.execute(statement)


def changes() -> Transaction[list[str]]:
    """What has to be done for each user with very many vectors to have an index, and nobody else."""
    wanted = {each.name: each for each in (yield from large_libraries())}
    there = yield from indexes()
    # One that is not valid is what a process left that was killed while it made it.
    needless = [name for name, valid in there.items() if name not in wanted or not valid]
    made = [f"DROP INDEX CONCURRENTLY IF EXISTS {name}" for name in needless]
    for name, each in wanted.items():
        if name in needless or name not in there:
            dimension = yield from dimension_of(each)
            made += [creation(each, dimension)] if 0 < dimension <= MAX_DIMENSION else []
    return made


def creation(indexed: Indexed, dimension: int) -> str:
    """The statement that makes an index without keeping writers waiting."""
    return (
        f"CREATE INDEX CONCURRENTLY {indexed.name} ON chunk_vectors "
        f"USING hnsw ((vector::halfvec({dimension})) halfvec_ip_ops) WHERE {indexed.predicate()}"
    )


def large_libraries() -> Transaction[list[Indexed]]:
    """Who has so many vectors of one embedder that an index pays."""
    rows = yield Statement(LIBRARIES, (LARGE,))
    return [Indexed(str(row[0]), row[1]) for row in rows]


def indexes() -> Transaction[dict[str, bool]]:
    """The indexes that there are, and whether they are whole."""
    rows = yield Statement(INDEXES)
    return {row[0]: row[1] for row in rows}


def dimension_of(indexed: Indexed) -> Transaction[int]:
    """How long the vectors are; 0 when there are none."""
    rows = yield Statement(DIMENSION, tuple(indexed))
    return rows[0][0] if rows else 0
