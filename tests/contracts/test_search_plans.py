from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

from app.db import schema, search
from app.db.connect import connect
from app.db.database import Database
from app.db.transaction import Row, Statement, Transaction
from tests.support.databases import PostgresTemplate
from tests.support.library import Directions, direction, new_document, new_owner


@pytest.fixture
async def database(postgres_template: PostgresTemplate) -> AsyncIterator[Database]:
    with postgres_template.copy() as url:
        opened = connect(url, pool_size=2)
        await schema.upgrade(opened)
        yield opened
        await opened.close()


def plan_of(transaction: Generator[Statement, list[Row], Any]) -> Transaction[str]:
    """How PostgreSQL would run a transaction's first statement."""
    statement = next(transaction)
    return "\n".join(row[0] for row in (yield Statement(f"EXPLAIN {statement.sql}", statement.values)))


@pytest.mark.parametrize("what", ["words", "meaning"])
async def test_plan_without_statistics(database: Database, what: str) -> None:
    """Before PostgreSQL has statistics, no plan joins all chunks with all documents."""
    owner, embedder = await new_owner(database), Directions()
    await new_document(database, owner, "The cat sleeps.", embedder=embedder)
    transactions = {
        "words": search.matching_terms("postgresql", owner, [["abcdefgh"]], [], 8),
        "meaning": search.nearest_chunks(owner, embedder.name, direction("cat"), 8, None, indexed=False),
    }
    plan = await database.read(plan_of, transactions[what])
    assert "Join" not in plan
    assert "Nested Loop" not in plan
    assert "document_id = c.document_id" in plan
