"""Searches: what a user's documents are, and which of their chunks have words or are near. The owner is in every query.

Lists go to both databases as JSON; what is said twice is said in each one's own way.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import NamedTuple

from app.db.database import Kind
from app.db.transaction import Row, Statement, Transaction, first_row
from app.db.vector_indexes import Indexed
from app.db.vectors import literal

SEEN = "d.status = 'ready' AND d.generation = c.generation"
# Not a join: until PostgreSQL has looked at new tables, it would meet each chunk with each document.
SEEN_OF = (
    "c.generation = (SELECT d.generation FROM documents d "
    "WHERE d.document_id = c.document_id AND d.owner_id = {owner} AND d.status = 'ready')"
)
VERSION = "SELECT documents_version FROM users WHERE id = $1"
OWNER = "SELECT id FROM users WHERE user_id = $1"
OWNED = """
SELECT document_id FROM documents WHERE owner_id = $1 AND status IN ('queued', 'processing', 'ready', 'failed')"""
DOCUMENTS = """
SELECT document_id, generation, chunk_count, embedding FROM documents
WHERE owner_id = $1 AND status = 'ready' ORDER BY document_id"""
SAMPLE = {
    "sqlite": """
SELECT c.chunk_key, c.words, c.counts FROM json_each($1) place CROSS JOIN chunks c
ON c.document_id = json_extract(place.value, '$[0]') AND c.generation = json_extract(place.value, '$[1]')
AND c.position = json_extract(place.value, '$[2]')""",
    "postgresql": """
SELECT c.chunk_key, c.words, c.counts FROM jsonb_array_elements($1::jsonb) place JOIN chunks c
ON c.document_id = (place->>0)::uuid AND c.generation = (place->>1)::int AND c.position = (place->>2)::int""",
}
HAVING_WORDS = {
    "sqlite": f"""
SELECT c.chunk_key, c.words, c.counts FROM chunk_words CROSS JOIN chunks c ON c.chunk_key = chunk_words.rowid
CROSS JOIN documents d ON d.document_id = c.document_id
WHERE chunk_words MATCH $1 AND d.owner_id = $2 AND {SEEN} LIMIT $3""",
    "postgresql": f"""
SELECT c.chunk_key, c.words, c.counts FROM chunks c
WHERE lexemes(c.words) @@ (SELECT $1::text::tsquery) AND {SEEN_OF.format(owner="$2")} LIMIT $3""",
}
# The subqueries are read once; a cast in their place might be, for each row.
NEAREST = """
SELECT c.chunk_key, -(c.vector{cast} <#> (SELECT $2::text::halfvec)) AS cosine
FROM chunk_vectors c WHERE {predicate} AND {seen}{within}
ORDER BY c.vector{cast} <#> (SELECT $2::text::halfvec) LIMIT $3"""
WITHIN = " AND c.document_id IN (SELECT value::uuid FROM jsonb_array_elements_text($4::jsonb))"
VECTORS = """
SELECT v.chunk_key, v.vector FROM chunks c JOIN chunk_vectors v ON v.chunk_key = c.chunk_key AND v.embedder = $3
WHERE c.document_id = $1 AND c.generation = $2 ORDER BY c.position"""
FOUND = {
    "sqlite": f"""
SELECT c.chunk_key, c.document_id, c.position, d.name, c.page, c.start_at, c.end_at, c.content, c.heading, c.words
FROM json_each($1) wanted CROSS JOIN chunks c ON c.chunk_key = wanted.value
CROSS JOIN documents d ON d.document_id = c.document_id WHERE d.owner_id = $2 AND {SEEN}""",
    "postgresql": f"""
SELECT c.chunk_key, c.document_id, c.position, d.name, c.page, c.start_at, c.end_at, c.content, c.heading, c.words
FROM jsonb_array_elements_text($1::jsonb) wanted JOIN chunks c ON c.chunk_key = wanted.value::bigint
JOIN documents d ON d.document_id = c.document_id WHERE d.owner_id = $2 AND {SEEN}""",
}
OPERATORS = {"sqlite": (" AND ", " OR ", '"{}"'), "postgresql": (" & ", " | ", "{}")}


class Searchable(NamedTuple):
    """A document that is found, in the generation that is."""

    document_id: str
    generation: int
    chunks: int
    embedding: str | None


class FoundChunk(NamedTuple):
    """A chunk with all that is shown of it."""

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


def owner_of(user_id: str) -> Transaction[str | None]:
    """The row of a user; None when nothing was ever written for the user."""
    row = yield from first_row(Statement(OWNER, (user_id,)))
    return None if row is None else str(row[0])


def owned(owner_id: str) -> Transaction[set[str]]:
    """The documents of a user, in whatever state."""
    rows = yield Statement(OWNED, (owner_id,))
    return {str(row[0]) for row in rows}


def corpus_version(owner_id: str) -> Transaction[int]:
    """What changes with each change of a user's documents."""
    row = yield from first_row(Statement(VERSION, (owner_id,)))
    return row[0] if row else 0


def searchable(owner_id: str) -> Transaction[list[Searchable]]:
    """The documents of a user that are found."""
    rows = yield Statement(DOCUMENTS, (owner_id,))
    return [Searchable(str(row[0]), row[1], row[2] or 0, row[3]) for row in rows]


def sample(kind: Kind, places: Sequence[tuple[str, int, int]]) -> Transaction[list[Row]]:
    """Key, words and counts of the chunks at places: document, generation and position."""
    return (yield Statement(SAMPLE[kind], (json.dumps(places),)))


def having_words(
    kind: Kind, owner_id: str, clauses: Sequence[Sequence[str]], documents: Sequence[str], limit: int
) -> Transaction[list[Row]]:
    """Key, words and counts of chunks that have all marks of a clause, and of `documents`, where there are any, one."""
    query = wanted(kind, clauses, documents)
    return (yield Statement(HAVING_WORDS[kind], (query, owner_id, limit)))


def wanted(kind: Kind, clauses: Sequence[Sequence[str]], documents: Sequence[str]) -> str:
    """The query in the index's own language: marks are letters and digits, so that there is nothing to escape."""
    both, either, mark = OPERATORS[kind]
    query = either.join(f"({both.join(mark.format(each) for each in clause)})" for clause in clauses)
    within = either.join(mark.format(each) for each in documents)
    return f"({query}){both}({within})" if documents else query


def nearest(
    owner_id: str, embedder: str, vector: bytes, limit: int, document_ids: Collection[str] | None, *, indexed: bool
) -> Transaction[list[Row]]:
    """Key and cosine of the chunks that are nearest to a vector, on PostgreSQL: of all, or by the owner's index."""
    sql = NEAREST.format(
        cast=f"::halfvec({len(vector) // 4})" if indexed else "",
        predicate=Indexed(owner_id, embedder).predicate("c."),
        seen=SEEN_OF.format(owner="$1"),
        within="" if document_ids is None else WITHIN,
    )
    within = () if document_ids is None else (json.dumps(list(document_ids)),)
    return (yield Statement(sql, (owner_id, literal(vector), limit, *within)))


def vectors(document: Searchable, embedder: str) -> Transaction[list[Row]]:
    """Key and vector of a document's chunks, on SQLite."""
    return (yield Statement(VECTORS, (document.document_id, document.generation, embedder)))


def found(kind: Kind, owner_id: str, chunk_keys: Sequence[int]) -> Transaction[dict[int, FoundChunk]]:
    """The chunks with these keys, those that are still to be found."""
    rows = yield Statement(FOUND[kind], (json.dumps(chunk_keys), owner_id))
    return {row[0]: FoundChunk(row[0], str(row[1]), *row[2:]) for row in rows}
