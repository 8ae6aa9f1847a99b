"""A user with very many chunks, stored by the transactions of ingestion."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy import text

from app.db import ingestion, schema, uploads
from app.db.connect import connect
from app.db.database import Database
from app.db.ingestion import IngestionProgress
from app.db.uploads import CompletedUpload
from app.db.vector_indexes import update_vector_indexes
from app.domain.documents import Chunk, ExtractedDocument, Stage
from app.domain.ids import new_id, now_ms
from app.services.documents.ingestion_job import with_terms
from benchmarks import texts

PER_DOCUMENT = 500
BATCH = 100
TOKENS = 200
DIMENSION = 384
SEED = 1935


async def fill(url: str, user_id: str, chunks: int, embedder: str) -> None:
    """Store chunks of a user, of words with Zipf's frequencies and with random vectors."""
    database, chance, draw = connect(url, pool_size=1), random.Random(SEED), np.random.default_rng(SEED)
    try:
        await schema.upgrade(database)
        for _ in range(chunks // PER_DOCUMENT):
            passages = [texts.passage(chance, TOKENS) for _ in range(PER_DOCUMENT)]
            await store_document(database, user_id, extracted(passages), vectors(draw), embedder)
        if database.kind == "postgresql":
            await analyse(database)
            await update_vector_indexes(database)
    finally:
        await database.close()


async def analyse(database: Database) -> None:
    """Analyse the tables, as PostgreSQL does by itself within a minute."""
    async with database.engine.connect() as connection:
        await connection.execute(text("ANALYZE"))
        await connection.commit()


def extracted(passages: Sequence[str]) -> ExtractedDocument:
    """Return a document with a chunk for each passage."""
    return ExtractedDocument("\n".join(passages), list(spans(passages)))


def spans(passages: Sequence[str]) -> Iterator[Chunk]:
    start = 0
    for each in passages:
        yield Chunk(each, start, start + len(each))
        start += len(each) + 1


def vectors(draw: np.random.Generator) -> list[bytes]:
    """Return vectors of length one in random directions."""
    drawn = draw.standard_normal((PER_DOCUMENT, DIMENSION), np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return [each.astype("<f4").tobytes() for each in drawn]


async def store_document(
    database: Database, user_id: str, document: ExtractedDocument, embedded: Sequence[bytes], embedder: str
) -> None:
    """Store the rows of an upload and its ingestion."""
    process_id, document_id, content = new_id(), new_id(), document.text[:1_000].encode()
    await database.write(uploads.insert_upload, document_id, process_id, now_ms())
    await database.write(uploads.append_part, document_id, process_id, 0, content)
    upload = CompletedUpload(
        document_id, process_id, f"{document_id}.txt", "text/plain", hashlib.sha256(content).hexdigest()
    )
    await database.write(uploads.queue_upload, user_id, upload, now_ms())
    claim, progress = (
        await database.write(ingestion.claim_document, document_id, process_id),
        IngestionProgress(Stage.STORING),
    )
    await database.write(ingestion.store_text, claim, progress, document.text)
    found_by = with_terms(claim, document.chunks)
    for first in range(0, len(found_by), BATCH):
        part = slice(first, first + BATCH)
        batch = ingestion.ChunkBatch(database.kind, first, found_by[part], embedder, embedded[part])
        await database.write(ingestion.store_chunks, claim, progress, batch)
    await database.write(ingestion.mark_ready, claim, document, embedder)
