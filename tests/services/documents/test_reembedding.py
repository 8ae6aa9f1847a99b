"""Ready documents with another embedder's vectors are embedded again."""

from __future__ import annotations

from typing import Any

import pytest

from app.db import documents
from app.db.database import Database
from app.domain.documents import DocumentStatus
from tests.support.embedder import FakeEmbedder
from tests.support.ingestion import TEXT, embedding_of, needs_vectors, rows, until_embedded

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_another_model_has_documents_embedded_anew(
    database: Database, hosts: Any, embedder: FakeEmbedder
) -> None:
    """Documents stay ready with the old vectors until the new ones are complete, and have only these then."""
    needs_vectors(database)
    one = await hosts()
    document = await one.ready(await one.upload(TEXT))
    await one.die()
    new = FakeEmbedder("new")
    new.open.clear()
    other = await hosts(new)
    await new.asked.wait()
    assert (await database.read(documents.by_id, document.document_id)).status is DocumentStatus.READY
    assert await rows(database, "SELECT embedding FROM documents") == [(embedder.name,)]
    new.open.set()
    await until_embedded(database, "new")
    assert await embedding_of(database, document) == "new"
    await other.die()
    await hosts(FakeEmbedder("new"))
    assert sorted(new.texts) == sorted(embedder.texts)


async def test_embedding_anew_goes_on_after_a_crash_and_lets_uploads_pass(
    database: Database, hosts: Any, embedder: FakeEmbedder
) -> None:
    """A process that dies over it is followed by another; a new document does not wait for the old ones' vectors."""
    needs_vectors(database)
    one = await hosts()
    document = await one.ready(await one.upload(TEXT))
    await one.die()
    new = FakeEmbedder("new")
    new.open.clear()
    dying = await hosts(new)
    await new.asked.wait()
    await dying.die()
    new.open.set()
    other = await hosts(new)
    added = await other.ready(await other.upload(b"Another text.", name="b.txt"))
    await until_embedded(database, "new")
    assert await embedding_of(database, document) == await embedding_of(database, added) == "new"


async def test_what_had_no_vectors_gets_them(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """Documents that were stored for words alone are embedded when there is an embedder."""
    needs_vectors(database)
    one = await hosts(None)
    document = await one.ready(await one.upload(TEXT))
    await one.die()
    await hosts()
    await until_embedded(database, embedder.name)
    assert await embedding_of(database, document) == embedder.name
