"""Ingestion through kills, drains and a change of the embedding model."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import delete, select

from app.db.checks import conversations
from app.db.connect import connect
from app.db.models import ChunkRow, DocumentContentRow, DocumentRow, ProcessRow
from tests.support.embeddings import FakeEmbeddings
from tests.support.parley_client import document_path
from tests.support.process import COMMAND_SECONDS, POLL_SECONDS, Parley, parley_command, parley_process
from tests.support.stored import count_rows, execute
from tests.support.uploads import FORM, file_part, form, user_part

SENTENCE = "The quick brown fox jumps over the lazy dog, and then it goes home to sleep. "
TEXT = "".join(f"# Part {each}\n\n{SENTENCE * 8}\n\n" for each in range(60)).encode()
LONG_TEXT = TEXT * 10
"""A text of 0.4 MB, which takes a while to extract."""
SOUND_SECONDS = 30
"""Far more than a sweep and the pause before it, since other things run on the machine as well."""
STAGES = ["uploading", "extracting", "embedding", "storing"]


@contextlib.asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Lock documents against writing."""
    if database_url.startswith("sqlite"):
        connection = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()
    else:
        server = await asyncpg.connect(database_url)
        transaction = server.transaction()
        await transaction.start()
        await server.execute("SELECT 1 FROM documents FOR UPDATE")
        yield
        await transaction.rollback()
        await server.close()


async def wait_for_stage(parley: Parley, document: dict[str, Any], stage: str) -> None:
    """Poll a document until it is in a stage."""
    async with asyncio.timeout(30):
        while (found := await parley.client.get_document(document))["stage"] != stage:
            assert found["status"] != "ready", "the stage was too short to be seen"
            await asyncio.sleep(POLL_SECONDS)


async def kill_in_stage(stage: str, parley: Parley, embeddings: FakeEmbeddings, database_url: str) -> None:
    """Upload a document and kill the process during a stage."""
    if stage == "uploading":
        await kill_during_upload(parley, database_url)
        return
    embeddings.open.clear()
    document = await parley.client.upload(LONG_TEXT if stage == "extracting" else TEXT, "a.md")
    await wait_for_stage(parley, document, "extracting" if stage == "extracting" else "embedding")
    if stage == "storing":
        call = await embeddings.wait_calls(1)
        async with locked(database_url):
            embeddings.open.set()
            await call.finished.wait()
            parley.kill()
            await parley.wait(COMMAND_SECONDS)
    parley.kill()


async def kill_during_upload(parley: Parley, database_url: str) -> None:
    """Send half of a document, and kill the process when a part of it is stored."""

    async def half() -> AsyncIterator[bytes]:
        yield form(user_part(), file_part(LONG_TEXT, "a.md"))[:300_000]
        await asyncio.Event().wait()

    sending = asyncio.create_task(parley.client.post("/documents", content=half(), headers=FORM))
    async with asyncio.timeout(30):
        while not await count_rows(database_url, DocumentContentRow):  # noqa: ASYNC110  only polling works
            await asyncio.sleep(POLL_SECONDS)
    parley.kill()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("stage", STAGES)
async def test_kill_in_any_stage(tmp_path: Path, database_url: str, stage: str) -> None:
    """A document whose process is killed in any stage is ingested by the next one, once, and nothing is left over."""
    async with FakeEmbeddings() as embeddings:
        settings = embeddings.settings() | {"database_url": database_url}
        async with parley_process(tmp_path, **settings) as parley:
            await kill_in_stage(stage, parley, embeddings, database_url)
            await parley.wait(COMMAND_SECONDS)
        embeddings.open.set()
        await execute(database_url, delete(ProcessRow))  # in place of waiting until the lease expires
        async with parley_process(tmp_path, **settings) as parley:
            text = LONG_TEXT if stage in {"uploading", "extracting"} else TEXT
            document = await parley.client.wait_until_read(await parley.client.upload(text, "a.md"), seconds=60)
            await expect_one_copy(database_url, document)
            await wait_until_sound(database_url)
            await parley.client.delete(document_path(document))
        await wait_until_sound(database_url)
        checked = await parley_command(tmp_path, "check", database_url=database_url)
        assert (checked.returncode, checked.stdout) == (0, "0 broken invariants\n")
        assert await count_rows(database_url, DocumentRow) == 0


async def expect_one_copy(database_url: str, document: dict[str, Any]) -> None:
    """Check that each chunk is stored once, with one vector."""
    chunks = await execute(database_url, select(ChunkRow.position).order_by(ChunkRow.position))
    assert [each[0] for each in chunks] == list(range(document["chunk_count"]))
    vectors = await execute(database_url, "SELECT embedder, COUNT(*) FROM chunk_vectors GROUP BY embedder")
    assert vectors == [("fake:first", document["chunk_count"])]


async def wait_until_sound(database_url: str) -> None:
    """Wait until no invariant is broken, which takes a sweep after a crash."""
    database = connect(database_url, pool_size=1)
    try:
        async with asyncio.timeout(SOUND_SECONDS):
            while await database.read(conversations.findings, database.kind):  # noqa: ASYNC110  only polling works
                await asyncio.sleep(POLL_SECONDS)
    finally:
        await database.close()


async def test_draining_process_releases_documents(tmp_path: Path, database_url: str) -> None:
    """A document of a draining process becomes ready at another one well before the lease would expire."""
    async with FakeEmbeddings() as embeddings:
        embeddings.open.clear()
        settings = embeddings.settings() | {"database_url": database_url}
        async with parley_process(tmp_path, **settings) as one:
            document = await one.client.upload(TEXT, "a.md")
            await wait_for_stage(one, document, "embedding")
            async with parley_process(tmp_path, **settings) as other:
                one.terminate()
                embeddings.open.set()
                ready = await other.client.wait_until_read(document, seconds=10)
                await expect_one_copy(database_url, ready)
                assert await execute(database_url, select(DocumentRow.deaths)) == [(0,)]


async def test_new_embedding_model_after_restart(tmp_path: Path, url: str) -> None:
    """A process that is started with another EMBEDDING_MODEL gives all documents vectors of that model."""
    async with FakeEmbeddings() as embeddings:
        async with parley_process(tmp_path, **embeddings.settings(), database_url=url) as parley:
            document = await parley.client.wait_until_read(await parley.client.upload(TEXT, "a.md"))
        async with parley_process(tmp_path, **embeddings.settings("second"), database_url=url) as parley:
            async with asyncio.timeout(30):
                while await execute(url, VECTORS) != [("fake:second", "fake:second")]:  # noqa: ASYNC110  only polling works
                    await asyncio.sleep(POLL_SECONDS)
            assert await parley.client.get_document(document) == document


VECTORS = """
SELECT DISTINCT d.embedding, v.embedder FROM documents d JOIN chunks c ON c.document_id = d.document_id
JOIN chunk_vectors v ON v.chunk_key = c.chunk_key"""
