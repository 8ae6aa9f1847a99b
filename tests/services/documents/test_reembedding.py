"""Ready documents with another embedder's vectors are embedded again."""

from __future__ import annotations

from typing import Any

import pytest

from app.db import documents
from app.db.database import Database
from app.domain.documents import DocumentStatus
from tests.support.embedder import FakeEmbedder
from tests.support.ingestion import TEXT, embedding_of, fetch_rows, skip_without_vectors, wait_until_embedded

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_other_embedder_reembeds(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """Documents stay ready with the old vectors until all new ones are stored in their place."""
    skip_without_vectors(database)
    one = await hosts()
    document = await one.ready(await one.upload(TEXT))
    await one.die()
    new = FakeEmbedder("new")
    new.open.clear()
    other = await hosts(new)
    await new.called.wait()
    assert (await database.read(documents.by_id, document.document_id)).status is DocumentStatus.READY
    assert await fetch_rows(database, "SELECT embedding FROM documents") == [(embedder.name,)]
    new.open.set()
    await wait_until_embedded(database, "new")
    assert await embedding_of(database, document) == "new"
    await other.die()
    await hosts(FakeEmbedder("new"))
    assert sorted(new.texts) == sorted(embedder.texts)


async def test_reembedding_resumes_after_crash(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """Another process continues, and uploads come first."""
    skip_without_vectors(database)
    one = await hosts()
    document = await one.ready(await one.upload(TEXT))
    await one.die()
    new = FakeEmbedder("new")
    new.open.clear()
    dying = await hosts(new)
    await new.called.wait()
    await dying.die()
    new.open.set()
    other = await hosts(new)
    added = await other.ready(await other.upload(b"Another text.", name="b.txt"))
    await wait_until_embedded(database, "new")
    assert await embedding_of(database, document) == await embedding_of(database, added) == "new"


async def test_documents_without_vectors_are_embedded(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """Documents that were ingested without an embedder get vectors once there is one."""
    skip_without_vectors(database)
    one = await hosts(None)
    document = await one.ready(await one.upload(TEXT))
    await one.die()
    await hosts()
    await wait_until_embedded(database, embedder.name)
    assert await embedding_of(database, document) == embedder.name
