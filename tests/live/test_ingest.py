from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.db.checks import conversations
from app.db.connect import connect
from tests.live.talk import rows
from tests.support.embeddings import FakeEmbeddings
from tests.support.process import COMMAND_SECONDS, POLL_SECONDS, Parley, parley_command, parley_process
from tests.support.uploads import FORM, document_of, file_part, form, read, uploaded, user_part

SENTENCE = "The quick brown fox jumps over the lazy dog, and then it goes home to sleep. "
TEXT = "".join(f"# Part {each}\n\n{SENTENCE * 8}\n\n" for each in range(60)).encode()
LONG_TEXT = TEXT * 20
"""What takes a while to be read: 0.8 MB."""
SOUND_SECONDS = 30
"""Far more than a sweep and the pause before it, since whatever else runs on the machine runs too."""
STAGES = ["uploading", "extracting", "embedding", "storing"]


@contextlib.asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Keeps everybody from writing to documents."""
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


async def until_stage(parley: Parley, document: dict[str, Any], stage: str) -> None:
    """Waits until a document is in a stage; nothing tells it but asking."""
    async with asyncio.timeout(30):
        while (found := await document_of(parley.client, document))["stage"] != stage:
            assert found["status"] != "ready", "too fast to be seen"
            await asyncio.sleep(POLL_SECONDS)


async def killed_in(stage: str, parley: Parley, embeddings: FakeEmbeddings, database_url: str) -> None:
    """Uploads a document and kills the process in the midst of a stage."""
    if stage == "uploading":
        await killed_amid_the_upload(parley, database_url)
        return
    embeddings.open.clear()
    document = await uploaded(parley.client, LONG_TEXT if stage == "extracting" else TEXT, "a.md")
    await until_stage(parley, document, "extracting" if stage == "extracting" else "embedding")
    if stage == "storing":
        call = await embeddings.wait_calls(1)
        async with locked(database_url):
            embeddings.open.set()
            await call.finished.wait()
            parley.kill()
            await parley.wait(COMMAND_SECONDS)
    parley.kill()


async def killed_amid_the_upload(parley: Parley, database_url: str) -> None:
    """Sends a document, and kills the process when a part of it is stored."""

    async def half() -> AsyncIterator[bytes]:
        yield form(user_part(), file_part(LONG_TEXT, "a.md"))[:600_000]
        await asyncio.Event().wait()

    sending = asyncio.create_task(parley.client.post("/documents", content=half(), headers=FORM))
    async with asyncio.timeout(30):
        while not (await rows(database_url, "SELECT 1 FROM document_contents")):  # noqa: ASYNC110  nothing else tells it
            await asyncio.sleep(POLL_SECONDS)
    parley.kill()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize("stage", STAGES)
async def test_a_kill_in_any_stage_is_survived(tmp_path: Path, database_url: str, stage: str) -> None:
    """Whatever was done to a document when its process was killed, another does it, once; nothing is left over."""
    async with FakeEmbeddings() as embeddings:
        settings = embeddings.settings() | {"database_url": database_url}
        async with parley_process(tmp_path, **settings) as parley:
            await killed_in(stage, parley, embeddings, database_url)
            await parley.wait(COMMAND_SECONDS)
        embeddings.open.set()
        await rows(database_url, "DELETE FROM processes")  # as the time would that a lease lasts
        async with parley_process(tmp_path, **settings) as parley:
            text = LONG_TEXT if stage in {"uploading", "extracting"} else TEXT
            document = await read(parley.client, await uploaded(parley.client, text, "a.md"), seconds=60)
            await stored_once(database_url, document)
            await until_sound(tmp_path, database_url)
            await parley.client.delete(f"/documents/{document['document_id']}")
        await until_sound(tmp_path, database_url)
        assert await rows(database_url, "SELECT 1 FROM documents") == []


async def stored_once(database_url: str, document: dict[str, Any]) -> None:
    """Makes sure that each chunk is there once, and with one vector."""
    chunks = await rows(database_url, "SELECT position FROM chunks ORDER BY position")
    assert [each[0] for each in chunks] == list(range(document["chunk_count"]))
    vectors = await rows(database_url, "SELECT embedder, COUNT(*) FROM chunk_vectors GROUP BY embedder")
    assert vectors == [("fake:first", document["chunk_count"])]


async def until_sound(directory: Path, database_url: str) -> None:
    """Waits until nothing is broken, which takes a sweep after a crash, and sees that `parley check` says so."""
    database = connect(database_url, pool_size=1)
    try:
        async with asyncio.timeout(SOUND_SECONDS):
            while await database.read(conversations.findings, database.kind):  # noqa: ASYNC110  nothing tells it
                await asyncio.sleep(POLL_SECONDS)
    finally:
        await database.close()
    checked = await parley_command(directory, "check", database_url=database_url)
    assert (checked.returncode, checked.stdout) == (0, "0 broken invariants\n")


async def test_a_draining_process_gives_its_document_to_another(tmp_path: Path, database_url: str) -> None:
    """What a process was reading when it was told to end is ready at another, well before its lease would end."""
    async with FakeEmbeddings() as embeddings:
        embeddings.open.clear()
        settings = embeddings.settings() | {"database_url": database_url}
        async with parley_process(tmp_path, **settings) as one:
            document = await uploaded(one.client, TEXT, "a.md")
            await until_stage(one, document, "embedding")
            async with parley_process(tmp_path, **settings) as other:
                one.terminate()
                embeddings.open.set()
                ready = await read(other.client, document, seconds=10)
                await stored_once(database_url, ready)
                assert await rows(database_url, "SELECT deaths FROM documents") == [(0,)]


async def test_another_embedding_model_is_taken_up_by_a_restart(tmp_path: Path, url: str) -> None:
    """A process that is started with another EMBEDDING_MODEL gives all documents its vectors."""
    async with FakeEmbeddings() as embeddings:
        async with parley_process(tmp_path, **embeddings.settings(), database_url=url) as parley:
            document = await read(parley.client, await uploaded(parley.client, TEXT, "a.md"))
        async with parley_process(tmp_path, **embeddings.settings("second"), database_url=url) as parley:
            async with asyncio.timeout(30):
                while await rows(url, VECTORS) != [("fake:second", "fake:second")]:  # noqa: ASYNC110  nothing tells it
                    await asyncio.sleep(POLL_SECONDS)
            assert await document_of(parley.client, document) == document


VECTORS = """
SELECT DISTINCT d.embedding, v.embedder FROM documents d JOIN chunks c ON c.document_id = d.document_id
JOIN chunk_vectors v ON v.chunk_key = c.chunk_key"""
