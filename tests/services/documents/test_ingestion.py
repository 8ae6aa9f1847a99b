"""Uploaded documents become ready or failed, whichever process ingests them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from app.db import documents, ingestion, process_leases
from app.db.database import Database
from app.db.process_leases import LEASE_MS
from app.domain.documents import DocumentStatus, Stage
from app.errors import DocumentNotFound
from app.rag.models.embedder import Vector
from app.rag.sandbox.client import DocumentReader
from app.services.documents.deletion import DocumentDeleter
from app.services.documents.ingestion_job import EMBEDDED_AT_ONCE, NOT_EMBEDDED
from app.services.documents.upload import Upload
from app.services.runtime.timings import Timings
from tests.support.embedder import FakeEmbedder
from tests.support.faults import Outage
from tests.support.hosts import Host, requeue_stalled_documents
from tests.support.ingestion import SENTENCE, TEXT, embedding_of, fetch_rows, skip_without_vectors
from tests.support.uploads import NOTHING, counts

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_document_becomes_ready(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """Every chunk is stored once with its vector, counted, and a span of the stored text."""
    host = await hosts()
    document = await host.ready(await host.upload(TEXT))
    assert (document.status, document.stage) == (DocumentStatus.READY, None)
    assert document.chunk_count is not None
    assert document.chunk_count >= 100
    text = await database.read(documents.text, "ada", document.document_id)
    spans = await fetch_rows(database, "SELECT start_at, end_at, content FROM chunks")
    assert all(text[start:end] == content for start, end, content in spans)
    if database.vectors_stored:
        assert await embedding_of(database, document) == embedder.name
        assert len(embedder.texts) == len(set(embedder.texts)) == document.chunk_count


async def test_ingestion_without_embedder(database: Database, hosts: Any) -> None:
    """The document is ready, and has no vectors."""
    host = await hosts(None)
    document = await host.ready(await host.upload(TEXT))
    assert (document.status, await embedding_of(database, document)) == (DocumentStatus.READY, None)


@pytest.mark.parametrize("stage", ["extracting", "embedding"])
async def test_document_of_dead_process_is_resumed(
    database: Database, hosts: Any, embedder: FakeEmbedder, stage: str
) -> None:
    """Another process ingests it again, and nothing is stored twice."""
    skip_without_vectors(database)
    embedder.open.clear()
    one = await hosts()
    document = await one.upload(TEXT)
    if stage == "embedding":
        await embedder.called.wait()
    else:
        await one.until(document, lambda found: found.status is DocumentStatus.PROCESSING)
    await one.die()
    embedder.open.set()
    other = await hosts()
    await requeue_stalled_documents(database)
    other.worker.wake()
    found = await other.ready(document)
    assert found.status is DocumentStatus.READY
    assert await embedding_of(database, found) == embedder.name
    assert [(found.chunk_count,)] == await fetch_rows(database, "SELECT COUNT(*) FROM chunks")


async def test_process_without_lease_writes_nothing(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """A process that was suspended abandons a document that another one has ingested meanwhile."""
    skip_without_vectors(database)
    slow = FakeEmbedder(embedder.name)
    slow.open.clear()
    one = await hosts(slow)
    document = await one.upload(TEXT)
    await slow.called.wait()
    await database.write(process_leases.release, one.process_id)
    await requeue_stalled_documents(database)
    other = await hosts()
    found = await other.ready(document)
    slow.open.set()
    await one.until(document, lambda _: True)
    assert (found.status, await embedding_of(database, found)) == (DocumentStatus.READY, embedder.name)
    assert [(found.chunk_count,)] == await fetch_rows(database, "SELECT COUNT(*) FROM chunks")


async def test_failed_heartbeat_is_retried(
    database: Database, hosts: Any, embedder: FakeEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    """Progress that cannot be stored is logged with its traceback, and the document becomes ready."""
    skip_without_vectors(database)
    embedder.open.clear()
    host = await hosts(timings=Timings(ingestion_heartbeat=0.01))
    with Outage(database, ZeroDivisionError(), ingestion.store_progress) as outage:
        document = await host.upload(TEXT)
        await embedder.called.wait()
        await outage.failed.wait()
    assert any(record.exc_info for record in caplog.records)
    await host.until(document, lambda found: found.stage is Stage.EMBEDDING)
    embedder.open.set()
    assert (await host.ready(document)).status is DocumentStatus.READY


class Interrupted(FakeEmbedder):
    """An embedder that waits before its second call."""

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        is_first = not self.texts
        vectors = await super().embed_passages(texts)
        if is_first:
            self.open.clear()
        return vectors


async def test_time_left_of_document(database: Database, hosts: Any) -> None:
    """The time is unknown until the first chunks are embedded, never 0 before the end, and null then."""
    embedder = Interrupted()
    embedder.open.clear()
    host = await hosts(embedder, Timings(ingestion_heartbeat=0.01))
    document = await host.upload(TEXT)
    started = await host.until(document, lambda found: found.stage is Stage.EMBEDDING)
    assert (started.seconds_left, started.done) == (None, 0)
    embedder.open.set()
    embedded = await host.until(document, lambda found: found.done == EMBEDDED_AT_ONCE)
    assert (embedded.seconds_left or 0) > 0
    embedder.open.set()
    assert (await host.ready(document)).seconds_left is None


async def test_document_that_kills_processes_fails(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """After the deaths of three processes the document has failed; another upload tries it again."""
    skip_without_vectors(database)
    embedder.open.clear()
    document = None
    for _ in range(3):
        embedder.called.clear()
        host = await hosts()
        document = document or await host.upload(TEXT)
        await embedder.called.wait()
        await host.die()
        await requeue_stalled_documents(database)
    assert document is not None
    embedder.open.set()
    host = await hosts()
    failed = await host.ready(document)
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("ingest-interrupted", True)
    assert (await counts(database))["chunks"] == 0
    again = await host.upload(TEXT)
    assert (again.document_id, (await host.ready(again)).status) == (document.document_id, DocumentStatus.READY)


async def test_failing_embedder_is_retried(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """A short failure of the embedder delays a document, a long one fails it without stored chunks."""
    skip_without_vectors(database)
    host = await hosts(timings=Timings(embedding_backoffs=(0.01, 0.01)))
    embedder.failures = 2
    document = await host.ready(await host.upload(b"# One\n\nSome text."))
    assert (document.status, await embedding_of(database, document)) == (DocumentStatus.READY, embedder.name)
    embedder.failures = 3
    failed = await host.ready(await host.upload(b"# Two\n\nSome text."))
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (DocumentStatus.FAILED, "embedding-failed")
    assert failed.error.retryable
    again = await host.ready(await host.upload(b"# Two\n\nSome text."))
    assert (again.document_id, again.status) == (failed.document_id, DocumentStatus.READY)


async def test_unreadable_document_fails(database: Database, hosts: Any) -> None:
    """A corrupt or empty document fails with a code, and no text of it is stored."""
    host = await hosts()
    for content, code in ((b"%PDF-1.7\nnothing", "document-corrupt"), (b" \n\n \t", "document-empty")):
        failed = await host.ready(await host.upload(content))
        assert failed.error is not None
        assert (failed.status, failed.error.code, failed.error.retryable) == (DocumentStatus.FAILED, code, False)
    found = await counts(database)
    assert (found["documents"], found["chunks"], found["document_texts"]) == (2, 0, 0)


async def test_deletion_stops_ingestion(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """A document that is deleted while it is embedded is gone at once, and stays so."""
    skip_without_vectors(database)
    embedder.open.clear()
    host = await hosts()
    document = await host.upload(TEXT)
    await embedder.called.wait()
    await database.write(documents.mark_deleted, "ada", document.document_id, host.process_id)
    with pytest.raises(DocumentNotFound):
        await database.read(documents.get, "ada", document.document_id)
    embedder.open.set()
    await host.deleter.delete(document.document_id)
    other = await host.ready(await host.upload(b"Another text."))  # so that the first is out of hand
    await database.write(documents.mark_deleted, "ada", other.document_id, host.process_id)
    await host.deleter.delete(other.document_id)
    assert await counts(database) == NOTHING


async def test_draining_process_requeues_document(database: Database, hosts: Any, embedder: FakeEmbedder) -> None:
    """Another process continues at once, and no death is counted."""
    skip_without_vectors(database)
    embedder.open.clear()
    one = await hosts()
    document = await one.upload(TEXT)
    await embedder.called.wait()
    await one.worker.drain()
    given_back = await database.read(documents.by_id, document.document_id)
    assert (given_back.status, given_back.stage) == (DocumentStatus.QUEUED, None)
    embedder.open.set()
    other = await hosts()
    assert (await other.ready(document)).status is DocumentStatus.READY
    assert await fetch_rows(database, "SELECT attempt, deaths FROM documents") == [(2, 0)]


async def test_processes_share_documents(database: Database, hosts: Any) -> None:
    """Of many documents each is ingested once, by one of two processes."""
    one, other = await hosts(), await hosts()
    uploaded = [await one.upload(b"Text %d." % each, name="a.txt") for each in range(20)]
    other.worker.wake()
    found = [await one.ready(each) for each in uploaded]
    assert {each.status for each in found} == {DocumentStatus.READY}
    assert await fetch_rows(database, "SELECT DISTINCT attempt, chunk_count FROM documents") == [(1, 1)]
    assert (await counts(database))["chunks"] == 20


async def test_users_take_turns(database: Database, reader: DocumentReader) -> None:
    """A user with many uploads delays another user's document by one document at most."""
    embedder = FakeEmbedder()
    host = Host(database, reader, embedder)
    await database.write(process_leases.heartbeat, host.process_id, LEASE_MS)
    for user_id, each in [("ada", 1), ("ada", 2), ("ada", 3), ("bob", 1), ("eve", 1), ("bob", 2)]:
        await host.upload(f"{user_id} {each}".encode(), user_id, "a.txt")
    order = []
    while (claim := await host.worker.claim_next()) is not None:
        order.append((await database.read(documents.by_id, claim.document_id)).sha256)
        await database.write(ingestion.mark_failed, claim, NOT_EMBEDDED)
    assert order == [
        hashlib.sha256(each.encode()).hexdigest() for each in ("ada 1", "bob 1", "eve 1", "ada 2", "bob 2", "ada 3")
    ]


async def test_upload_of_dead_process_is_deleted(database: Database, hosts: Any) -> None:
    """An incomplete upload and an incomplete deletion of a dead process are deleted."""
    host = await hosts()
    await host.die()
    upload = Upload(database, host.deleter, host.process_id, host.worker.wake)
    await upload.write(SENTENCE.encode())
    document = await host.upload(TEXT)
    await database.write(documents.mark_deleted, "ada", document.document_id, host.process_id)
    assert (await counts(database))["document_contents"] == 2
    judge = await requeue_stalled_documents(database)
    await DocumentDeleter(database, host.tasks, judge, Timings()).recover()
    assert await counts(database) == NOTHING
