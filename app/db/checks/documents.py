"""Invariants of documents and their chunks, as queries for the rows that break them."""

from __future__ import annotations

from app.db.database import Kind
from app.db.process_leases import leased
from app.db.transaction import Statement, Transaction

CHECKS = {
    "document {} belongs to no user": """
SELECT d.document_id FROM documents d WHERE d.status NOT IN ('uploading', 'deleting')
AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = d.owner_id)""",
    "document {} is uploading, deleting or processing and its process has no lease": f"""
SELECT d.document_id FROM documents d
WHERE (d.status IN ('uploading', 'deleting', 'processing') OR (d.status = 'ready' AND d.process_id IS NOT NULL))
AND NOT {leased("d")}""",
    "document {} does not exist, but bytes of it do": """
SELECT DISTINCT c.document_id FROM document_contents c
WHERE NOT EXISTS (SELECT 1 FROM documents d WHERE d.document_id = c.document_id)""",
    "document {} does not exist, but its text does": """
SELECT t.document_id FROM document_texts t
WHERE NOT EXISTS (SELECT 1 FROM documents d WHERE d.document_id = t.document_id)""",
    "document {} does not exist, but chunks of it do": """
SELECT DISTINCT c.document_id FROM chunks c
WHERE NOT EXISTS (SELECT 1 FROM documents d WHERE d.document_id = c.document_id)""",
    "document {} has a wrong number of bytes": """
SELECT d.document_id FROM documents d LEFT JOIN document_contents c ON c.document_id = d.document_id
WHERE d.status NOT IN ('uploading', 'deleting')
GROUP BY d.document_id, d.bytes HAVING COALESCE(SUM(length(c.content)), 0) <> d.bytes""",
    "document {} is ready and has no text": """
SELECT d.document_id FROM documents d WHERE d.status = 'ready'
AND NOT EXISTS (SELECT 1 FROM document_texts t WHERE t.document_id = d.document_id)""",
    "document {} is ready and has a wrong chunk_count": """
SELECT d.document_id FROM documents d
LEFT JOIN chunks c ON c.document_id = d.document_id AND c.generation = d.generation WHERE d.status = 'ready'
GROUP BY d.document_id, d.chunk_count HAVING COUNT(c.chunk_key) <> COALESCE(d.chunk_count, -1)""",
    "document {} is ready or failed and has chunks of another attempt": """
SELECT DISTINCT d.document_id FROM documents d JOIN chunks c ON c.document_id = d.document_id
WHERE (d.status = 'ready' AND c.generation <> d.generation) OR d.status = 'failed'""",
    "chunk {} and its document belong to different users": """
SELECT c.chunk_key FROM chunks c JOIN documents d ON d.document_id = c.document_id WHERE c.owner_id <> d.owner_id""",
}
VECTOR_CHECKS = {
    "chunk {} does not exist, but a vector of it does": """
SELECT v.chunk_key FROM chunk_vectors v WHERE NOT EXISTS (SELECT 1 FROM chunks c WHERE c.chunk_key = v.chunk_key)""",
    "document {} has chunks without its embedder's vectors": """
SELECT DISTINCT d.document_id FROM documents d
JOIN chunks c ON c.document_id = d.document_id AND c.generation = d.generation
WHERE d.status = 'ready' AND d.embedding IS NOT NULL AND NOT EXISTS (
SELECT 1 FROM chunk_vectors v WHERE v.chunk_key = c.chunk_key AND v.embedder = d.embedding)""",
    "document {} has vectors of another embedder than its own": """
SELECT DISTINCT d.document_id FROM documents d JOIN chunks c ON c.document_id = d.document_id
JOIN chunk_vectors v ON v.chunk_key = c.chunk_key
WHERE d.status = 'ready' AND d.process_id IS NULL AND v.embedder <> COALESCE(d.embedding, '')""",
}
# PostgreSQL indexes the table itself; SQLite has a table for the index, with a row for each chunk.
INDEXED_WORDS = """
CREATE VIRTUAL TABLE IF NOT EXISTS temp.indexed_words USING fts5vocab (main, chunk_words, instance)"""
WORD_CHECKS = {
    "chunk {} is not in the index of words": """
SELECT chunk_key FROM chunks WHERE chunk_key NOT IN (SELECT doc FROM temp.indexed_words)""",
    "chunk {} does not exist, but is in the index of words": """
SELECT DISTINCT doc FROM temp.indexed_words WHERE doc NOT IN (SELECT chunk_key FROM chunks)""",
}
VECTOR_TABLE = "SELECT 1 WHERE to_regclass('chunk_vectors') IS NOT NULL"


def check_queries(kind: Kind) -> Transaction[dict[str, str]]:
    """Return a query for each invariant, by the sentence that reports a row, with `{}` for the row's id."""
    if kind == "sqlite":
        yield Statement(INDEXED_WORDS)
        return CHECKS | VECTOR_CHECKS | WORD_CHECKS
    vectors_stored = yield Statement(VECTOR_TABLE)
    return CHECKS | (VECTOR_CHECKS if vectors_stored else {})
