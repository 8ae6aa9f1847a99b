"""Documents that are read again from the same bytes, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.db import documents, ingestion, process_leases
from app.db.database import Database
from app.db.ingestion import IngestionProgress
from app.db.process_leases import LEASE_MS
from app.domain.documents import Document, DocumentStatus, ExtractedDocument, Stage
from app.domain.ids import new_id
from app.rag.ranking.terms import ANALYSIS
from app.services.runtime.timings import Timings
from tests.support.embedder import FakeEmbedder
from tests.support.hosts import Host, requeue_stalled_documents
from tests.support.ingestion import skip_without_vectors
from tests.support.uploads import counts

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTES = b"# Leave\n\nYou have 30 days of leave."


async def replaced(host: Host, old: Document, new: Document) -> Document:
    """Wait until a document has taken another's place, of which nothing is left; return it."""
    ready = await host.ready(new)
    assert (ready.status, ready.replaces) == (DocumentStatus.READY, None)
    async with asyncio.timeout(10):
        while (await counts(host.database))["documents"] != 1:
            pass
    assert old.document_id not in await host.database.read(documents.by_ids, [old.document_id])
    return ready


async def test_failed_reread_keeps_document(hosts: Any, embedder: FakeEmbedder) -> None:
    """The old document stays, the new one shows the reason, and a further upload tries it again."""
    host = await hosts(timings=Timings(embedding_backoffs=()))
    skip_without_vectors(host.database)
    old = await host.ready(await host.upload(NOTES))
    embedder.failures = 1
    failed = await host.ready(await host.upload(NOTES, reread=True))
    assert failed.error is not None
    assert (failed.error.code, failed.replaces) == ("embedding-failed", old.document_id)
    assert await host.now(old) == old
    assert (await host.upload(NOTES)).document_id == old.document_id
    again = await host.upload(NOTES, reread=True)
    assert again.document_id == failed.document_id
    await replaced(host, old, again)


async def test_second_reread_finds_the_first(hosts: Any, embedder: FakeEmbedder) -> None:
    """While a document is read again it is found; with other options its reading begins anew."""
    host = await hosts()
    skip_without_vectors(host.database)
    old = await host.ready(await host.upload(NOTES))
    embedder.called.clear()
    embedder.open.clear()
    first = await host.upload(NOTES, reread=True)
    await embedder.called.wait()
    second = await host.upload(NOTES, name="b.md", reread=True)
    assert (second.document_id, second.status) == (first.document_id, DocumentStatus.PROCESSING)
    assert (second.name, (await host.now(old)).name) == ("b.md", "b.md")
    third = await host.upload(NOTES, name="b.md", reread=True, keep_links=True)
    assert (third.document_id, third.status) == (first.document_id, DocumentStatus.QUEUED)
    embedder.open.set()
    assert (await replaced(host, old, first)).keep_links


@pytest.mark.parametrize("deleted", ["old", "new"])
async def test_deletion_ends_replacement(hosts: Any, embedder: FakeEmbedder, deleted: str) -> None:
    """Of the old document and the one that is read from its bytes either can be deleted, and the other stays."""
    host = await hosts()
    skip_without_vectors(host.database)
    old = await host.ready(await host.upload(NOTES))
    embedder.called.clear()
    embedder.open.clear()
    new = await host.upload(NOTES, reread=True)
    await embedder.called.wait()
    gone, kept = (old, new) if deleted == "old" else (new, old)
    await host.database.write(documents.mark_deleted, "ada", gone.document_id, host.process_id)
    await host.deleter.delete(gone.document_id)
    embedder.open.set()
    await replaced(host, gone, kept)
    assert (await host.upload(NOTES)).document_id == kept.document_id


async def test_dead_process_leaves_one_document(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """After a death while the bytes are read again another process goes on, and replaces the old document."""
    skip_without_vectors(database)
    one = await hosts()
    old = await one.ready(await one.upload(NOTES))
    embedder.called.clear()
    embedder.open.clear()
    new = await one.upload(NOTES, reread=True)
    await embedder.called.wait()
    await one.die()
    assert (await one.now(old)).status is DocumentStatus.READY
    embedder.open.set()
    other = await hosts()
    await requeue_stalled_documents(database)
    other.worker.wake()
    await replaced(other, old, new)


async def test_death_after_replacement(database: Database, hosts: Any) -> None:
    """A process that dies between the replacement and the deletion of the old rows leaves these to another."""
    host = await hosts(None)
    old = await host.ready(await host.upload(NOTES))
    await host.die()
    dying = new_id()
    await database.write(process_leases.heartbeat, dying, LEASE_MS)
    new = await host.upload(NOTES, reread=True)
    claim = await database.write(ingestion.claim_document, new.document_id, dying)
    assert claim is not None
    await database.write(ingestion.store_text, claim, IngestionProgress(Stage.STORING), "Some text.")
    for _ in range(2):  # the acknowledgement of the first is lost
        await database.write(ingestion.mark_ready, claim, ExtractedDocument("Some text.", ()), None, ANALYSIS)
    await database.write(process_leases.release, dying)
    assert (await counts(database))["documents"] == 2
    await (await hosts(None)).deleter.recover()
    await replaced(host, old, new)


async def test_concurrent_names(database: Database, hosts: Any) -> None:
    """Of concurrent uploads of the same bytes under several names none fails, and one of the names is shown."""
    host = await hosts(None)
    names = [f"{each}.md" for each in range(6)]
    found = await asyncio.gather(*(host.upload(NOTES, name=each) for each in names))
    [document_id] = {each.document_id for each in found}
    await host.ready(found[0])
    assert (await database.read(documents.by_id, document_id)).name in names
