"""Ready documents that an older release has analysed get the search terms of this one."""

from __future__ import annotations

import asyncio
import functools
import struct
from typing import Any

import pytest

from app.db import ready_claims, reanalysis
from app.db.database import Database
from app.db.ready_claims import MAX_DEATHS
from app.db.vectors import store_vectors
from app.domain.documents import DocumentStatus
from app.domain.ids import new_id
from app.rag.models.calibration import measured_calibrations
from app.rag.ranking import terms
from app.rag.ranking.terms import ANALYSIS
from app.services.documents.reanalysis import Reanalysis, analyse
from app.services.runtime.timings import Timings
from app.services.search.service import DocumentSearch
from tests.support.ingestion import fetch_rows

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENTENCE = "Стороны подписали договоры аренды на один год. "
RUSSIAN = "".join(f"# Часть {part}\n\n{SENTENCE * 12}\n\n" for part in range(40)).encode()
QUERY = "договоров"
STATE = "SELECT DISTINCT analysis, language, process_id FROM documents"


async def outdate(database: Database) -> None:
    """Make all documents those of a release that knew no languages."""
    for key, owner_id, document_id, content in await fetch_rows(
        database, "SELECT chunk_key, owner_id, document_id, content FROM chunks"
    ):
        older = dict.fromkeys(stem for word in terms.plain_words(content) for stem in terms.older_stems(word))
        hashes = [terms.document_hash(str(document_id)), *terms.term_hashes(str(owner_id), older)]
        changed = "UPDATE chunks SET words = $1, counts = $2, names = 'older' WHERE chunk_key = $3 RETURNING 1"
        await fetch_rows(database, changed, " ".join(hashes), bytes([0] + [1] * len(older)), key)
    await fetch_rows(database, "UPDATE documents SET analysis = 0, language = NULL RETURNING 1")
    await fetch_rows(database, "UPDATE users SET documents_version = documents_version + 1 RETURNING 1")


async def wait_until_renewed(database: Database) -> None:
    """Poll until all documents have the current analysis and no process works on them."""
    async with asyncio.timeout(30):
        while await fetch_rows(database, STATE) != [(ANALYSIS, "ru", None)]:  # noqa: ASYNC110  it is in the database
            await asyncio.sleep(0.01)


async def positions_found(database: Database, owner_id: str) -> list[int]:
    """Return the positions of the chunks that a search by other endings finds."""
    result = await DocumentSearch(database, None).search(owner_id, [QUERY], 200)
    return sorted(int(each.chunk_id.rpartition(":")[2]) for each in result.passages)


async def test_older_document_is_renewed(database: Database, hosts: Any) -> None:
    """It stays ready, has the terms, names and language of a new upload afterwards, and keeps its text and chunks."""
    one = await hosts(None)
    document = await one.ready(await one.upload(RUSSIAN))
    columns = "position, start_at, end_at, heading, content, names, words, counts"
    before = await fetch_rows(database, f"SELECT {columns} FROM chunks ORDER BY position")
    assert document.language == "ru"
    await one.die()
    await outdate(database)
    other = await hosts(None)
    await wait_until_renewed(database)
    assert await fetch_rows(database, f"SELECT {columns} FROM chunks ORDER BY position") == before
    assert (await other.now(document)).status is DocumentStatus.READY
    if database.kind == "sqlite":
        await fetch_rows(database, "INSERT INTO chunk_words (chunk_words) VALUES ('integrity-check') RETURNING 1")


async def test_vectors_in_unknown_script_are_cleared(database: Database, hosts: Any) -> None:
    """Vectors that the default model has made of a script that it does not know are zeros afterwards, as now."""
    one = await hosts(None)
    await one.ready(await one.upload(RUSSIAN))
    await one.die()
    await outdate(database)
    keys = [row[0] for row in await fetch_rows(database, "SELECT chunk_key FROM chunks")]
    [name] = [name for name, each in measured_calibrations().items() if not each.knows(SENTENCE)]
    await database.write(store_vectors, database.kind, keys, name, [struct.pack("<384f", *[0.5] * 384)] * len(keys))
    await fetch_rows(database, f"UPDATE documents SET embedding = '{name}' RETURNING 1")
    assert await Reanalysis(database, one.process_id, Timings(), functools.partial(asyncio.sleep, 0)).run()
    written = "hex(vector)" if database.kind == "sqlite" else "vector::text"
    [(vector,)] = await fetch_rows(database, f"SELECT DISTINCT {written} FROM chunk_vectors")
    assert set(vector) <= set("[0,]")


async def test_half_renewed_document_is_found(database: Database, hosts: Any) -> None:
    """A search finds chunks by old and by new terms while a process renews them, and after it has died in between."""
    one = await hosts(None)
    await one.ready(await one.upload(RUSSIAN))
    [(owner_id,)] = await fetch_rows(database, "SELECT id FROM users")
    owner_id = str(owner_id)
    everything = await positions_found(database, owner_id)
    await one.die()
    await outdate(database)
    dying = new_id()
    claim = await database.write(reanalysis.claim_next, dying, ANALYSIS)
    assert claim is not None
    await database.write(reanalysis.store_language, claim, "ru")
    chunks = (await database.read(reanalysis.next_chunks, claim, -1))[:20]
    await database.write(reanalysis.store_terms, claim, analyse(claim, chunks, "ru"))
    result = await DocumentSearch(database, None).search(owner_id, ["договоры"], 200)
    assert len(result.passages) == len(everything)
    assert await positions_found(database, owner_id) == [each.position for each in chunks]
    await hosts(None)
    await wait_until_renewed(database)
    assert await positions_found(database, owner_id) == everything


async def test_uploads_precede_batches(database: Database, hosts: Any) -> None:
    """The queue of uploads is served before each batch of chunks, and a document whose claim is lost is left alone."""
    one = await hosts(None)
    document = await one.ready(await one.upload(RUSSIAN))
    await one.die()
    await outdate(database)
    batches = []

    async def ingest_new() -> None:
        batches.append(await fetch_rows(database, STATE))
        if len(batches) == 2:
            await fetch_rows(database, "UPDATE documents SET process_id = NULL, attempt = attempt + 1 RETURNING 1")

    renewing = Reanalysis(database, one.process_id, Timings(), ingest_new)
    assert await renewing.run()
    assert [[each[:2] for each in batch] for batch in batches] == [[(0, "ru")]] * 2
    assert not await renewing.run()
    assert await Reanalysis(database, one.process_id, Timings(), ingest_new).run()
    assert (document.chunk_count or 0) > ready_claims.BATCH
    assert await fetch_rows(database, STATE) == [(ANALYSIS, "ru", None)]


async def test_documents_to_renew(database: Database, hosts: Any) -> None:
    """Claimed are ready documents with an older analysis, unless processes have died over them again and again."""
    one = await hosts(None)
    await one.ready(await one.upload(b"Some text."))
    await one.die()
    for change in (
        "status = 'deleting', process_id = NULL",
        "status = 'failed'",
        f"deaths = {MAX_DEATHS}",
        f"analysis = {ANALYSIS}",
        f"analysis = {ANALYSIS + 1}",
    ):
        await fetch_rows(database, "UPDATE documents SET analysis = 0, status = 'ready', deaths = 0 RETURNING 1")
        await fetch_rows(database, f"UPDATE documents SET {change} RETURNING 1")
        assert await database.write(reanalysis.claim_next, one.process_id, ANALYSIS) is None
    await fetch_rows(database, "UPDATE documents SET analysis = 0, status = 'ready', deaths = 0 RETURNING 1")
    claim = await database.write(reanalysis.claim_next, one.process_id, ANALYSIS)
    assert claim is not None
    assert await database.write(reanalysis.claim_next, new_id(), ANALYSIS) is None
    await database.write(ready_claims.release, claim)
