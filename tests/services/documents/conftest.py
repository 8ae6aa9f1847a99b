from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from app.db import schema
from app.db.checks import conversations
from app.db.connect import connect
from app.db.database import Database
from app.rag.models.embedder import Embedder
from app.rag.sandbox.client import DocumentReader
from app.services.runtime.timings import Timings
from tests.support.embedder import FakeEmbedder
from tests.support.hosts import Host, requeue_stalled_documents


@pytest_asyncio.fixture(loop_scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database without rows."""
    opened = connect(database_url, pool_size=5)
    await schema.upgrade(opened)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader() -> AsyncIterator[DocumentReader]:
    """The reader of documents, one for all tests of a module."""
    started = DocumentReader()
    yield started
    await started.aclose()


@pytest.fixture
def embedder() -> FakeEmbedder:
    """An embedder that works until a test makes it fail or wait."""
    return FakeEmbedder()


@pytest_asyncio.fixture(loop_scope="module")
async def hosts(
    database: Database, reader: DocumentReader, embedder: FakeEmbedder
) -> AsyncIterator[Callable[..., Any]]:
    """Start hosts, which end with the test; afterwards the database has to be consistent."""
    started: list[Host] = []

    async def make(own: Embedder | None = embedder, timings: Timings = Timings()) -> Host:
        host = Host(database, reader, own, timings)
        started.append(host)
        await host.start()
        return host

    yield make
    for host in started:
        await host.die()
        await host.tasks.drain(5)
    await requeue_stalled_documents(database)
    assert await database.read(conversations.findings, database.kind) == []
