"""Transactions of search: a user's searchable documents, and the chunks with given terms or near vectors.

Each query names the owner. Lists go to both databases as JSON; a query whose SQL differs is written twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import NamedTuple

from app.db.database import Kind
from app.db.documents import VISIBLE
from app.db.transaction import Statement, Transaction, first_row
from app.db.vector_indexes import VectorIndex
from app.db.vectors import vector_literal

READY_CHUNK = "d.status = 'ready' AND d.generation = c.generation"
# Not a join: before PostgreSQL has statistics of new tables, it would join each chunk with each document.
READY_CHUNK_OF = (
    "c.generation = (SELECT d.generation FROM documents d "
    "WHERE d.document_id = c.document_id AND d.owner_id = {owner} AND d.status = 'ready')"
)
CORPUS_VERSION = "SELECT documents_version FROM users WHERE id = $1"
DOCUMENT_IDS = f"SELECT document_id FROM documents WHERE owner_id = $1 AND {VISIBLE}"
SEARCHABLE = """
SELECT document_id, generation, chunk_count, embedding FROM documents
WHERE owner_id = $1 AND status = 'ready' ORDER BY document_id"""
TERMS_AT = {
    "sqlite": """
SELECT c.chunk_key, c.words, c.counts FROM json_each($1) place CROSS JOIN chunks c
ON c.document_id = json_extract(place.value, '$[0]') AND c.generation = json_extract(place.value, '$[1]')
AND c.position = json_extract(place.value, '$[2]')""",
    "postgresql": """
SELECT c.chunk_key, c.words, c.counts FROM jsonb_array_elements($1::jsonb) place JOIN chunks c
ON c.document_id = (place->>0)::uuid AND c.generation = (place->>1)::int AND c.position = (place->>2)::int""",
}
MATCHING_TERMS = {
    "sqlite": f"""
SELECT c.chunk_key, c.words, c.counts FROM chunk_words CROSS JOIN chunks c ON c.chunk_key = chunk_words.rowid
CROSS JOIN documents d ON d.document_id = c.document_id
WHERE chunk_words MATCH $1 AND d.owner_id = $2 AND {READY_CHUNK} LIMIT $3""",
    "postgresql": f"""
SELECT c.chunk_key, c.words, c.counts FROM chunks c
WHERE lexemes(c.words) @@ (SELECT $1::text::tsquery) AND {READY_CHUNK_OF.format(owner="$2")} LIMIT $3""",
}
# A subquery is evaluated once; a cast in its place may be evaluated for each row.
NEAREST = """
SELECT c.chunk_key, -(c.vector{cast} <#> (SELECT $2::text::halfvec)) AS cosine
FROM chunk_vectors c WHERE {predicate} AND {visible}{within}
ORDER BY c.vector{cast} <#> (SELECT $2::text::halfvec) LIMIT $3"""
WITHIN = " AND c.document_id IN (SELECT value::uuid FROM jsonb_array_elements_text($4::jsonb))"
VECTORS = """
SELECT v.chunk_key, v.vector FROM chunks c JOIN chunk_vectors v ON v.chunk_key = c.chunk_key AND v.embedder = $3
WHERE c.document_id = $1 AND c.generation = $2 ORDER BY c.position"""
CHUNKS_BY_KEY = {
    "sqlite": f"""
SELECT c.chunk_key, c.document_id, c.position, d.name, c.page, c.start_at, c.end_at, c.content, c.heading, c.words
FROM json_each($1) wanted CROSS JOIN chunks c ON c.chunk_key = wanted.value
CROSS JOIN documents d ON d.document_id = c.document_id WHERE d.owner_id = $2 AND {READY_CHUNK}""",
    "postgresql": f"""
SELECT c.chunk_key, c.document_id, c.position, d.name, c.page, c.start_at, c.end_at, c.content, c.heading, c.words
FROM jsonb_array_elements_text($1::jsonb) wanted JOIN chunks c ON c.chunk_key = wanted.value::bigint
JOIN documents d ON d.document_id = c.document_id WHERE d.owner_id = $2 AND {READY_CHUNK}""",
}
OPERATORS = {"sqlite": (" AND ", " OR ", '"{}"'), "postgresql": (" & ", " | ", "{}")}
"""AND, OR and the form of a term, in the language of each full-text index."""


class SearchableDocument(NamedTuple):
    """A ready document in the generation that searches see."""

    document_id: str
    generation: int
    chunks: int
    embedding: str | None
    """The embedder of its vectors; None without vectors."""


class ChunkTerms(NamedTuple):
    """A chunk with its terms and their counts, see `app.rag.ranking.terms`."""

    chunk_key: int
    words: str
    counts: bytes


class ChunkSimilarity(NamedTuple):
    """A chunk and the cosine of its vector and the query's."""

    chunk_key: int
    cosine: float


class ChunkVector(NamedTuple):
    """A chunk and its vector, as 32-bit floats."""

    chunk_key: int
    vector: bytes


class FoundChunk(NamedTuple):
    """A chunk with all that a passage shows of it."""

    chunk_key: int
    document_id: str
    position: int
    name: str
    page: int | None
    start: int
    end: int
    content: str
    heading: str
    words: str


def document_ids_of(owner_id: str) -> Transaction[set[str]]:
    """Return the ids of a user's documents that callers see, in any status."""
    rows = yield Statement(DOCUMENT_IDS, (owner_id,))
    return {str(row[0]) for row in rows}


def corpus_version(owner_id: str) -> Transaction[int]:
    """Return the user's corpus version, which is incremented with each change of the searchable documents."""
    row = yield from first_row(Statement(CORPUS_VERSION, (owner_id,)))
    return row[0] if row else 0


def searchable(owner_id: str) -> Transaction[list[SearchableDocument]]:
    """List a user's searchable documents, by id."""
    rows = yield Statement(SEARCHABLE, (owner_id,))
    return [SearchableDocument(str(row[0]), row[1], row[2] or 0, row[3]) for row in rows]


def terms_at(kind: Kind, positions: Sequence[tuple[str, int, int]]) -> Transaction[list[ChunkTerms]]:
    """Return the terms of the chunks at positions: document, generation and position in it."""
    rows = yield Statement(TERMS_AT[kind], (json.dumps(positions),))
    return [ChunkTerms(*row) for row in rows]


def matching_terms(
    kind: Kind, owner_id: str, clauses: Sequence[Sequence[str]], documents: Sequence[str], limit: int
) -> Transaction[list[ChunkTerms]]:
    """Return the terms of chunks that match a query.

    Args:
        kind: The database's.
        owner_id: The user's row.
        clauses: Hashed terms; a chunk has all of at least one clause.
        documents: Hashed ids of documents, of which a chunk has one; empty for those of the user.
        limit: Number of chunks at most.
    """
    query = match_expression(kind, clauses, documents)
    rows = yield Statement(MATCHING_TERMS[kind], (query, owner_id, limit))
    return [ChunkTerms(*row) for row in rows]


def match_expression(kind: Kind, clauses: Sequence[Sequence[str]], documents: Sequence[str]) -> str:
    """Write a query in the language of the full-text index; hashed terms are letters and digits and need no escape."""
    both, either, term = OPERATORS[kind]
    query = either.join(f"({both.join(term.format(each) for each in clause)})" for clause in clauses)
    within = either.join(term.format(each) for each in documents)
    return f"({query}){both}({within})" if documents else query


def nearest_chunks(
    owner_id: str, embedder: str, vector: bytes, limit: int, document_ids: Collection[str] | None, *, indexed: bool
) -> Transaction[list[ChunkSimilarity]]:
    """Return the chunks nearest to a vector, on PostgreSQL: of documents, or of all where `document_ids` is None.

    `indexed` is for a user with a vector index, which covers all documents.
    """
    sql = NEAREST.format(
        cast=f"::halfvec({len(vector) // 4})" if indexed else "",
        predicate=VectorIndex(owner_id, embedder).predicate("c."),
        visible=READY_CHUNK_OF.format(owner="$1"),
        within="" if document_ids is None else WITHIN,
    )
    within = () if document_ids is None else (json.dumps(list(document_ids)),)
    rows = yield Statement(sql, (owner_id, vector_literal(vector), limit, *within))
    return [ChunkSimilarity(*row) for row in rows]


def document_vectors(document: SearchableDocument, embedder: str) -> Transaction[list[ChunkVector]]:
    """Return the vectors of a document's chunks, on SQLite."""
    rows = yield Statement(VECTORS, (document.document_id, document.generation, embedder))
    return [ChunkVector(*row) for row in rows]


def chunks_by_key(kind: Kind, owner_id: str, chunk_keys: Sequence[int]) -> Transaction[dict[int, FoundChunk]]:
    """Return the user's chunks by key; those that are not searchable any more are left out."""
    rows = yield Statement(CHUNKS_BY_KEY[kind], (json.dumps(chunk_keys), owner_id))
    return {row[0]: FoundChunk(row[0], str(row[1]), *row[2:]) for row in rows}
