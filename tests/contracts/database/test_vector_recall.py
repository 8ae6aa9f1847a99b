"""Recall of the vectors of small owners in a table of very many vectors, on PostgreSQL."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import text

from app.db import schema, search
from app.db.connect import connect
from app.db.database import Database
from app.db.vector_indexes import existing_indexes, update_vector_indexes
from tests.support.databases import PostgresTemplate
from tests.support.library import Directions

TEMPTED = "?options=-c%20enable_sort%3Doff%20-c%20enable_seqscan%3Doff%20-c%20enable_bitmapscan%3Doff"
"""Settings with which PostgreSQL takes any index that has the order of a query."""
LARGE, SMALL, OWNERS = 2_000, 40, 100
LIMIT = 20
QUERY = [0.6, 0.0, 0.0, -0.8, 0.0, 0.0, 0.0, 0.0]
VECTOR = struct.pack("<8f", *QUERY)
VECTORS = text("SELECT chunk_key, vector::text FROM chunk_vectors WHERE owner_id = CAST(:owner AS uuid)")
# No chunks: the tables of a million chunks take too long to fill, and vectors have all that is searched for.
FILL = (
    "SET LOCAL session_replication_role = replica",
    "SELECT setseed(0.5)",
    f"""INSERT INTO users (id, user_id, created_at)
    SELECT gen_random_uuid(), CASE number WHEN 0 THEN 'large' ELSE 'small ' || number END, 1
    FROM generate_series(0, {OWNERS}) number""",
    f"""INSERT INTO documents (document_id, owner_id, name, media_type, bytes, sha256, status, done, total,
    attempt, deaths, generation, embedding, chunk_count, created_at)
    SELECT gen_random_uuid(), id, id::text, 'text/plain', 1, id::text, 'ready', 0, 0, 1, 0, 1, '{Directions.name}',
    CASE user_id WHEN 'large' THEN {LARGE} ELSE {SMALL} END, 1 FROM users""",
    """INSERT INTO chunk_vectors (chunk_key, embedder, owner_id, document_id, generation, vector)
    SELECT row_number() OVER (ORDER BY number, document_id), embedding, owner_id, document_id, 1,
    l2_normalize((
        SELECT array_agg(random() - 0.5 + 0 * axis) FROM generate_series(1, 8) axis WHERE number > 0)::halfvec
    )
    FROM documents, generate_series(1, chunk_count) number""",
    "ANALYZE",
)


@pytest.fixture
async def database(postgres_template: PostgresTemplate) -> AsyncIterator[Database]:
    """A database with the vectors of a large owner, which have an index, among those of many small owners."""
    with postgres_template.copy() as url:
        opened = connect(url + TEMPTED, pool_size=2)
        await schema.upgrade(opened)
        async with opened.write_session() as session:
            for statement in FILL:
                await session.execute(text(statement))
        await update_vector_indexes(opened, large=LARGE - 1)
        assert list((await opened.read(existing_indexes)).values()) == [True]
        yield opened
        await opened.close()


async def test_small_owner_has_exact_recall(database: Database) -> None:
    """The nearest chunks of small owners are those of the exact scan, however large the table and its indexes are."""
    nearest_of = partial(search.nearest_chunks, document_ids=None, indexed=False)
    async with database.engine.connect() as connection:
        owners = await connection.execute(text("SELECT id::text FROM users WHERE user_id LIKE 'small %' LIMIT 30"))
        for owner in owners.scalars().all():
            rows = await connection.execute(VECTORS, {"owner": owner})
            cosines = {key: sum(map(float.__mul__, QUERY, json.loads(vector))) for key, vector in rows}
            found = await database.read(nearest_of, owner, Directions.name, VECTOR, LIMIT)
            exact = sorted(cosines.values(), reverse=True)
            assert len(exact) == SMALL
            assert [each.cosine for each in found] == pytest.approx(exact[:LIMIT], abs=0.001)
            assert [cosines[each.chunk_key] for each in found] == pytest.approx(exact[:LIMIT], abs=0.001)
