"""Plans of the searches, which have to be right before a database has statistics, as it may never have any."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from app.db import schema, search
from app.db.compiled import compile_statement
from app.db.connect import connect
from app.db.database import Database
from app.db.transaction import Statement, Transaction
from app.db.vector_indexes import VectorIndex, update_vector_indexes
from app.domain.ids import new_id
from tests.support.databases import PostgresTemplate, SqliteTemplate
from tests.support.library import Directions, direction, new_document, new_owner


@pytest.fixture
async def database(postgres_template: PostgresTemplate) -> AsyncIterator[Database]:
    with postgres_template.copy() as url:
        opened = connect(url, pool_size=2)
        await schema.upgrade(opened)
        yield opened
        await opened.close()


async def plan_of(
    database: Database, transaction: Transaction[Any], explain: str = "EXPLAIN", setting: str = "SELECT 1"
) -> list[str]:
    """Return the lines of the plan of a transaction's first statement, after another one that sets something."""
    statement = next(transaction)
    assert isinstance(statement, Statement)
    async with database.engine.connect() as connection:
        await connection.execute(text(setting))
        compiled = compile_statement(statement.executable, connection.dialect)
        arguments = tuple(compiled.arguments(statement.values))
        rows = await connection.exec_driver_sql(f"{explain} {compiled.sql}", arguments)
        return [row[-1] for row in rows]


@pytest.mark.parametrize("searched", ["words", "words of documents", "vectors", "vectors of documents"])
async def test_plan_without_statistics(database: Database, searched: str) -> None:
    """Before PostgreSQL has statistics, no plan joins all chunks with all documents."""
    owner, embedder = await new_owner(database), Directions()
    ids = [await new_document(database, owner, "The cat sleeps.", embedder=embedder)]
    matching = partial(search.matching_terms, "postgresql", owner, [[["abcdefgh"]]], [], 8)
    nearest = partial(search.nearest_chunks, owner, embedder.name, direction("cat"), 8, indexed=False)
    transactions = {
        "words": matching(),
        "words of documents": matching(document_ids=ids),
        "vectors": nearest(document_ids=None),
        "vectors of documents": nearest(document_ids=ids),
    }
    plan = "\n".join(await plan_of(database, transactions[searched]))
    assert "Join" not in plan
    assert "Nested Loop" not in plan
    assert ("document_id = chunks.document_id" if searched == "words" else "hashed SubPlan") in plan


@pytest.mark.parametrize("name", ["it's:one", r"50 %\1"])
async def test_plan_uses_vector_index(database: Database, name: str) -> None:
    """The search of a large corpus matches the index over its vectors, whatever the embedder is called."""
    owner, embedder = await new_owner(database), Directions(name)
    await new_document(database, owner, "a cat", "a car", "some tea", "a feline", embedder=embedder)
    await update_vector_indexes(database, large=3)
    query = search.nearest_chunks(owner, name, direction("cat"), 8, None, indexed=True)
    plan = await plan_of(database, query, setting="SET enable_sort = off")  # of so few rows a sort is cheaper
    assert any(f"Index Scan using {VectorIndex(owner, name).name}" in line for line in plan)


@pytest.mark.parametrize(
    ("transaction", "tables"),
    [
        (search.terms_at([(new_id(), 1, 0)]), ["anon_1", "chunks"]),
        (search.matching_terms("sqlite", new_id(), [["abcdefgh"]], [], 8), ["chunk_words", "chunks", "documents"]),
        (search.chunks_by_key(new_id(), [1]), ["anon_1", "chunks", "documents"]),
    ],
    ids=["positions", "words", "keys"],
)
async def test_plan_keeps_order_on_sqlite(
    sqlite_template: SqliteTemplate, transaction: Transaction[Any], tables: list[str]
) -> None:
    """SQLite begins with the few rows that are wanted, and seeks all others by their keys."""
    with sqlite_template.copy() as url:
        opened = connect(url, pool_size=1)
        first, *others = await plan_of(opened, transaction, "EXPLAIN QUERY PLAN")
        await opened.close()
    assert first.startswith(f"SCAN {tables[0]} VIRTUAL TABLE INDEX")
    assert [line.split()[:2] for line in others] == [["SEARCH", each] for each in tables[1:]]
