"""Invariants of documents and their chunks, as queries for the rows that break them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, and_, column, func, not_, or_, select, table, text
from sqlalchemy.orm import aliased

from app.db.database import Kind
from app.db.models import (
    ChunkRow,
    ChunkVectorRow,
    DocumentContentRow,
    DocumentRow,
    DocumentTextRow,
    HiddenStatus,
    UserRow,
)
from app.db.predicates import current, lease_is_live, visible
from app.db.transaction import Transaction, execute, fetch_value
from app.domain.documents import DocumentStatus

Replaced = aliased(DocumentRow)
IDS = select(DocumentRow.document_id)
HIDDEN = tuple(HiddenStatus)
READY = DocumentRow.status == DocumentStatus.READY
CHUNKS = ChunkRow.document_id == DocumentRow.document_id
CURRENT_CHUNKS = and_(CHUNKS, ChunkRow.generation == DocumentRow.generation)
VECTORS = ChunkVectorRow.chunk_key == ChunkRow.chunk_key


def without_document(part: type[DocumentContentRow] | type[DocumentTextRow] | type[ChunkRow]) -> Select[Any]:
    """Select the ids of documents that do not exist, but parts of which do."""
    document = select(DocumentRow.document_id).where(DocumentRow.document_id == part.document_id)
    return select(part.document_id).where(~document.exists()).distinct()


CHECKS: Mapping[str, Select[Any]] = {
    "document {} belongs to no user": IDS.where(
        DocumentRow.status.not_in(HIDDEN), ~select(UserRow.id).where(UserRow.id == DocumentRow.owner_id).exists()
    ),
    "document {} is uploading, deleting or processing and its process has no lease": IDS.where(
        or_(
            DocumentRow.status.in_((*HIDDEN, DocumentStatus.PROCESSING)),
            and_(READY, DocumentRow.process_id.is_not(None)),
        ),
        not_(lease_is_live(DocumentRow.process_id)),
    ),
    "document {} does not exist, but bytes of it do": without_document(DocumentContentRow),
    "document {} does not exist, but its text does": without_document(DocumentTextRow),
    "document {} does not exist, but chunks of it do": without_document(ChunkRow),
    "document {} has a wrong number of bytes": (
        IDS.outerjoin(DocumentContentRow, DocumentContentRow.document_id == DocumentRow.document_id)
        .where(DocumentRow.status.not_in(HIDDEN))
        .group_by(DocumentRow.document_id, DocumentRow.bytes)
        .having(func.coalesce(func.sum(func.length(DocumentContentRow.content)), 0) != DocumentRow.bytes)
    ),
    "document {} replaces one that is not its user's, not of the same bytes, or not ready": IDS.where(
        visible(),
        DocumentRow.replaces.is_not(None),
        ~select(Replaced.document_id)
        .where(
            Replaced.document_id == DocumentRow.replaces,
            Replaced.owner_id == DocumentRow.owner_id,
            Replaced.sha256 == DocumentRow.sha256,
            Replaced.status == DocumentStatus.READY,
        )
        .exists(),
    ),
    "document {} is ready and still replaces another": IDS.where(READY, DocumentRow.replaces.is_not(None)),
    "document {} is ready and has no text": IDS.where(
        READY,
        ~select(DocumentTextRow.document_id).where(DocumentTextRow.document_id == DocumentRow.document_id).exists(),
    ),
    "document {} is ready and has a wrong chunk_count": (
        IDS.outerjoin(ChunkRow, CURRENT_CHUNKS)
        .where(READY)
        .group_by(DocumentRow.document_id, DocumentRow.chunk_count)
        .having(func.count(ChunkRow.chunk_key) != func.coalesce(DocumentRow.chunk_count, -1))
    ),
    "document {} is ready or failed and has chunks of another attempt": (
        IDS.join(ChunkRow, CHUNKS)
        .where(
            or_(
                and_(READY, ChunkRow.generation != DocumentRow.generation),
                DocumentRow.status == DocumentStatus.FAILED,
            )
        )
        .distinct()
    ),
    "chunk {} and its document belong to different users": (
        select(ChunkRow.chunk_key).join(DocumentRow, CHUNKS).where(ChunkRow.owner_id != DocumentRow.owner_id)
    ),
}
VECTOR_CHECKS: Mapping[str, Select[Any]] = {
    "chunk {} does not exist, but a vector of it does": select(ChunkVectorRow.chunk_key).where(
        ~select(ChunkRow.chunk_key).where(VECTORS).exists()
    ),
    "document {} has chunks without its embedder's vectors": (
        IDS.join(ChunkRow, CHUNKS)
        .where(
            current(ChunkRow),
            DocumentRow.embedding.is_not(None),
            ~select(ChunkVectorRow.chunk_key).where(VECTORS, ChunkVectorRow.embedder == DocumentRow.embedding).exists(),
        )
        .distinct()
    ),
    "document {} has vectors of another embedder than its own": (
        IDS.join(ChunkRow, CHUNKS)
        .join(ChunkVectorRow, VECTORS)
        .where(
            READY,
            DocumentRow.process_id.is_(None),
            ChunkVectorRow.embedder != func.coalesce(DocumentRow.embedding, ""),
        )
        .distinct()
    ),
}
# PostgreSQL indexes the table itself; SQLite has a table for the index, with a row for each chunk.
CREATE_INDEXED_WORDS = text(
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.indexed_words USING fts5vocab (main, chunk_words, instance)"
)
INDEXED_CHUNK = table("indexed_words", column("doc"), schema="temp").c.doc
WORD_CHECKS: Mapping[str, Select[Any]] = {
    "chunk {} is not in the index of words": select(ChunkRow.chunk_key).where(
        ChunkRow.chunk_key.not_in(select(INDEXED_CHUNK))
    ),
    "chunk {} does not exist, but is in the index of words": (
        select(INDEXED_CHUNK).where(INDEXED_CHUNK.not_in(select(ChunkRow.chunk_key))).distinct()
    ),
}
VECTORS_STORED = select(func.to_regclass("chunk_vectors").is_not(None).label("vectors_stored"))


def check_queries(kind: Kind) -> Transaction[dict[str, Select[Any]]]:
    """Return a query for each invariant, by the sentence that reports a row, with `{}` for the row's id."""
    if kind == "sqlite":
        yield from execute(CREATE_INDEXED_WORDS)
        return {**CHECKS, **VECTOR_CHECKS, **WORD_CHECKS}
    vectors_stored = yield from fetch_value(VECTORS_STORED)
    return {**CHECKS, **(VECTOR_CHECKS if vectors_stored else {})}
