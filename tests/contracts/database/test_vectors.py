"""The table and the indexes of vectors, with and without the extension."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.db import schema
from app.db.connect import connect
from app.db.database import Database
from app.db.vector_indexes import existing_indexes, update_vector_indexes
from app.domain.retrieval import RetrievalStatus
from app.services.search.service import DocumentSearch
from tests.support.databases import PostgresTemplate
from tests.support.library import Directions, count_rows, new_document, new_owner


@pytest.fixture
async def postgres_url(postgres_template: PostgresTemplate) -> AsyncIterator[str]:
    """A database that never had the extension."""
    with postgres_template.copy() as url:
        database = connect(url, pool_size=1)
        async with database.write_session() as session:
            await session.execute(text("DROP TABLE chunk_vectors"))
            await session.execute(text("DROP EXTENSION vector"))
        await database.close()
        yield url


async def test_table_is_created_with_extension(postgres_url: str) -> None:
    """Parallel starts create the table of vectors once, whenever the extension is installed."""
    databases = [connect(postgres_url, pool_size=1) for _ in range(3)]
    await asyncio.gather(*map(schema.upgrade, databases))
    assert [each.vectors_stored for each in databases] == [True] * 3
    assert await count_rows(databases[0], "chunk_vectors") == 0
    for each in databases:
        await each.close()


async def test_search_without_extension(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A role that may not create the extension is served without vectors, with a warning."""
    admin = connect(postgres_url, pool_size=1)
    async with admin.write_session() as session:
        await session.execute(text("DROP ROLE IF EXISTS plain"))
        await session.execute(text("CREATE ROLE plain LOGIN"))
        await session.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO plain"))
        await session.execute(text("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO plain"))
    plain = connect(make_url(postgres_url).set(username="plain").render_as_string(hide_password=False), pool_size=1)
    with caplog.at_level(logging.WARNING):
        await schema.upgrade(plain)
    assert not plain.vectors_stored
    assert "words alone" in caplog.text
    await check_degraded_search(plain)
    await plain.close()
    async with admin.write_session() as session:
        await session.execute(text("DROP OWNED BY plain"))
        await session.execute(text("DROP ROLE plain"))
    await admin.close()


async def check_degraded_search(database: Database) -> None:
    """Check that a search is lexical, and its result degraded."""
    owner = await new_owner(database)
    await new_document(database, owner, "a cat", "a feline")
    result = await DocumentSearch(database, Directions()).search(owner, ["cat"], 8)
    assert [each.text for each in result.passages] == ["a cat"]
    assert result.status is RetrievalStatus.DEGRADED


async def test_large_corpus_gets_vector_index(postgres_template: PostgresTemplate) -> None:
    """The index of one user is used, changes no result, and is dropped with the documents."""
    with postgres_template.copy() as url:
        database, embedder = connect(url, pool_size=2), Directions("it's:one")
        await schema.upgrade(database)
        owner, other = await new_owner(database), await new_owner(database, "eve")
        ids = [await new_document(database, owner, "a cat", "a car", "some tea", "a feline", embedder=embedder)]
        await new_document(database, owner, "the cat", embedder=embedder)
        await new_document(database, other, "eve's cat", embedder=embedder)
        small, large = (DocumentSearch(database, embedder, large=each) for each in (100, 3))
        before = [set((await small.search(owner, ["cat"], 5, each)).passages) for each in (None, ids)]
        assert [len(each) for each in before] == [5, 4]
        await asyncio.gather(*(update_vector_indexes(database, large=3) for _ in range(2)))
        assert list((await database.read(existing_indexes)).values()) == [True]
        # As sets: two are equally near.
        assert [set((await large.search(owner, ["cat"], 5, each)).passages) for each in (None, ids)] == before
        async with database.write_session() as session:
            await session.execute(text("DELETE FROM documents"))
        await update_vector_indexes(database, large=3)
        assert await database.read(existing_indexes) == {}
        await database.close()
