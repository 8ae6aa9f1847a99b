"""Transactions of search: a user's searchable documents, and the chunks with given terms or near vectors.

Each query names the owner. Rows that may be thousands are returned as they are: named tuples with the fields of the
type that a function names.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, ColumnElement, Float, Select, Text, and_, any_, bindparam, column, func, select, table
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import TSQUERY

from app.db.database import Kind
from app.db.document_versions import VERSION
from app.db.expressions import element_texts, elements, join_in_order, parameter
from app.db.models import ChunkRow, ChunkVectorRow, DocumentRow, HalfVector, UserRow
from app.db.predicates import current, is_of, searchable, visible
from app.db.transaction import Transaction, execute, fetch_value
from app.db.vector_indexes import VectorIndex
from app.db.vectors import vector_literal
from app.domain.documents import DocumentStatus

OWNED = DocumentRow.owner_id == bindparam("owner_id")
DOCUMENT_OF_CHUNK = DocumentRow.document_id == ChunkRow.document_id
CORPUS_VERSION = select(UserRow.documents_version).where(UserRow.id == bindparam("owner_id"))
DOCUMENT_IDS = select(DocumentRow.document_id).where(OWNED, visible())
SEARCHABLE = (
    select(
        DocumentRow.document_id,
        VERSION,
        DocumentRow.generation,
        func.coalesce(DocumentRow.chunk_count, 0).label("chunks"),
        DocumentRow.embedding,
        DocumentRow.language,
        DocumentRow.analysis,
    )
    .where(OWNED, DocumentRow.status == DocumentStatus.READY)
    .order_by(DocumentRow.document_id)
)
TERMS = select(ChunkRow.chunk_key, ChunkRow.words, ChunkRow.counts)
POSITIONS = elements("positions")
TERMS_AT = TERMS.select_from(
    join_in_order(
        POSITIONS,
        (
            ChunkRow,
            and_(
                ChunkRow.document_id == sql_cast(POSITIONS.c.value[0].as_string(), ChunkRow.document_id.type),
                ChunkRow.generation == POSITIONS.c.value[1].as_integer(),
                ChunkRow.position == POSITIONS.c.value[2].as_integer(),
            ),
        ),
    )
)
CHUNK_WORDS = table("chunk_words", column("rowid"), column("chunk_words"))
"""SQLite's full-text index; `MATCH` takes its column of the table's name."""
MATCHES = func.lexemes(ChunkRow.words).bool_op("@@")(
    select(sql_cast(bindparam("query", type_=Text), TSQUERY)).scalar_subquery()
)
"""The condition that a chunk matches a query of PostgreSQL's full-text index."""
MATCHING_TERMS: dict[Kind, Select[int, str, bytes]] = {
    "sqlite": TERMS.select_from(
        join_in_order(
            CHUNK_WORDS, (ChunkRow, ChunkRow.chunk_key == CHUNK_WORDS.c.rowid), (DocumentRow, DOCUMENT_OF_CHUNK)
        )
    )
    .where(CHUNK_WORDS.c.chunk_words.bool_op("MATCH")(bindparam("query", type_=Text)), OWNED, current(ChunkRow))
    .limit(bindparam("limit")),
    "postgresql": TERMS.where(MATCHES, searchable(ChunkRow)).limit(bindparam("limit")),
}


SEARCHED = select(DocumentRow.document_id, DocumentRow.generation).where(
    DocumentRow.owner_id == parameter(DocumentRow.owner_id), DocumentRow.status == DocumentStatus.READY
)
GIVEN_IDS = bindparam("document_ids", type_=ARRAY(DocumentRow.document_id.type))
SEARCHED_WITHIN = SEARCHED.where(DocumentRow.document_id == any_(GIVEN_IDS))
OF_EMBEDDER = and_(ChunkVectorRow.owner_id == bindparam("owner_id"), ChunkVectorRow.embedder == bindparam("embedder"))


def nearest_query(*conditions: ColumnElement[bool], dimension: int | None = None) -> Select[int, float]:
    """Select the chunks nearest to a vector among those with the conditions, on PostgreSQL.

    With the dimension of the vectors it is the expression of a vector index.
    """
    # A subquery is evaluated once; a cast in its place may be evaluated for each row.
    wanted = select(sql_cast(bindparam("vector", type_=Text), HalfVector)).scalar_subquery()
    vector = ChunkVectorRow.vector if dimension is None else sql_cast(ChunkVectorRow.vector, HalfVector(dimension))
    distance = vector.op("<#>", return_type=Float())(wanted)
    query = select(ChunkVectorRow.chunk_key, (-distance).label("cosine")).where(*conditions)
    return query.order_by(distance).limit(bindparam("limit"))


NEAREST = nearest_query(OF_EMBEDDER, is_of(SEARCHED, ChunkVectorRow))
MATCHING_TERMS_WITHIN: dict[Kind, Select[int, str, bytes]] = {
    "postgresql": TERMS.where(MATCHES, is_of(SEARCHED_WITHIN, ChunkRow)).limit(bindparam("limit"))
}
NEAREST_WITHIN = nearest_query(
    OF_EMBEDDER, ChunkVectorRow.document_id == any_(GIVEN_IDS), is_of(SEARCHED_WITHIN, ChunkVectorRow)
)
"""Nearest chunks of some documents; both conditions name these, the first for the index."""


@functools.lru_cache(maxsize=500)
def nearest_in_index(index: VectorIndex, dimension: int, *, within: bool) -> Select[int, float]:
    """Select the nearest chunks through a vector index, of all documents or `within` some.

    With the index's constants, so that it is a statement of its own for each large corpus.
    """
    selected = is_of(SEARCHED_WITHIN, ChunkVectorRow) if within else searchable(ChunkVectorRow)
    return nearest_query(index.condition, selected, dimension=dimension)


VECTORS = (
    select(ChunkVectorRow.chunk_key, ChunkVectorRow.vector)
    .join_from(
        ChunkRow,
        ChunkVectorRow,
        and_(ChunkVectorRow.chunk_key == ChunkRow.chunk_key, ChunkVectorRow.embedder == bindparam("embedder")),
    )
    .where(ChunkRow.document_id == bindparam("document_id"), ChunkRow.generation == bindparam("generation"))
    .order_by(ChunkRow.position)
)
CHUNK_KEYS = element_texts("chunk_keys")
CHUNKS_WITH_KEY = join_in_order(
    CHUNK_KEYS,
    (ChunkRow, ChunkRow.chunk_key == sql_cast(CHUNK_KEYS.c.value, ChunkRow.chunk_key.type)),
    (DocumentRow, DOCUMENT_OF_CHUNK),
)
NAMES_BY_KEY = (
    select(ChunkRow.chunk_key, ChunkRow.document_id, DocumentRow.name)
    .select_from(CHUNKS_WITH_KEY)
    .where(OWNED, current(ChunkRow))
)
CHUNKS_BY_KEY = (
    select(
        ChunkRow.chunk_key,
        ChunkRow.document_id,
        ChunkRow.position,
        DocumentRow.name,
        DocumentRow.created_at,
        ChunkRow.page,
        ChunkRow.later_pages,
        ChunkRow.start_at,
        ChunkRow.end_at,
        ChunkRow.content,
        ChunkRow.heading,
        ChunkRow.words,
    )
    .select_from(CHUNKS_WITH_KEY)
    .where(OWNED, current(ChunkRow))
)
OPERATORS = {"sqlite": (" AND ", " OR ", '"{}"'), "postgresql": (" & ", " | ", "{}")}
"""AND, OR and the form of a term, in the language of each full-text index."""


class SearchableDocument(NamedTuple):
    """A ready document in the generation that searches see."""

    document_id: str
    version: int
    """1 for the newest of its name, 2 for the one before it, and so on."""
    generation: int
    chunks: int
    embedding: str | None
    """The embedder of its vectors; None without vectors."""
    language: str | None
    """ISO 639-1 code of its main language; None if it is unknown."""
    analysis: int
    """Version of the analysis that its terms are from, or some of them while they are renewed."""


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
    created_at: int
    """Of the document, in ms since the epoch."""
    page: int | None
    later_pages: Sequence[Sequence[int]] | None
    start: int
    end: int
    content: str
    heading: str
    words: str


def document_ids_of(owner_id: str) -> Transaction[set[str]]:
    """Return the ids of a user's documents that callers see, in any status."""
    rows = yield from execute(DOCUMENT_IDS, owner_id=owner_id)
    return {row.document_id for row in rows}


def corpus_version(owner_id: str) -> Transaction[int]:
    """Return the user's corpus version, which is incremented with each change of the searchable documents."""
    return (yield from fetch_value(CORPUS_VERSION, owner_id=owner_id)) or 0


def searchable_documents(owner_id: str) -> Transaction[list[SearchableDocument]]:
    """List a user's searchable documents, by id."""
    rows = yield from execute(SEARCHABLE, owner_id=owner_id)
    return [SearchableDocument(*row) for row in rows]


def terms_at(positions: Sequence[tuple[str, int, int]]) -> Transaction[list[ChunkTerms]]:
    """Return the terms of the chunks at positions: document, generation and position in it."""
    return (yield from execute(TERMS_AT, positions=positions))


def matching_terms(
    kind: Kind,
    owner_id: str,
    clauses: Sequence[Sequence[Sequence[str]]],
    documents: Sequence[str],
    limit: int,
    *,
    document_ids: Sequence[str] | None = None,
) -> Transaction[list[ChunkTerms]]:
    """Return the terms of chunks that match a query.

    Args:
        kind: The database's.
        owner_id: The user's row.
        clauses: Words, each as hashed terms; a chunk has a term of each word of at least one clause.
        documents: Hashed ids of documents, of which a chunk has one; empty for those of the user.
        limit: Number of chunks at most.
        document_ids: On PostgreSQL the ids of documents in place of their hashes: faster if they have very many chunks.
    """
    values: dict[str, Any] = {"query": match_expression(kind, clauses, documents), "owner_id": owner_id, "limit": limit}
    if document_ids is not None:
        return (yield from execute(MATCHING_TERMS_WITHIN[kind], document_ids=document_ids, **values))
    return (yield from execute(MATCHING_TERMS[kind], **values))


def match_expression(kind: Kind, clauses: Sequence[Sequence[Sequence[str]]], documents: Sequence[str]) -> str:
    """Write a query in the language of the full-text index; hashed terms are letters and digits and need no escape."""
    both, either, term = OPERATORS[kind]

    def any_of(terms: Sequence[str]) -> str:
        return either.join(map(term.format, terms))

    query = either.join(f"({both.join(f'({any_of(word)})' for word in clause)})" for clause in clauses)
    within = any_of(documents)
    return f"({query}){both}({within})" if documents else query


def nearest_chunks(
    owner_id: str, embedder: str, vector: bytes, limit: int, document_ids: Collection[str] | None, *, indexed: bool
) -> Transaction[list[ChunkSimilarity]]:
    """Return the chunks nearest to a vector, on PostgreSQL: of documents, or of all where `document_ids` is None.

    If `indexed`, the user's vector index is used, unless it gives up before it has found `limit` chunks: most of the
    nearest ones may be of other documents.
    """
    within = document_ids is not None
    values: dict[str, Any] = {"owner_id": owner_id, "vector": vector_literal(vector), "limit": limit}
    if document_ids is not None:
        values["document_ids"] = list(document_ids)
    if indexed:
        query = nearest_in_index(VectorIndex(owner_id, embedder), len(vector) // 4, within=within)
        found: list[ChunkSimilarity] = yield from execute(query, **values)
        if len(found) == limit:
            return found
    return (yield from execute(NEAREST_WITHIN if within else NEAREST, embedder=embedder, **values))


def document_vectors(document: SearchableDocument, embedder: str) -> Transaction[list[ChunkVector]]:
    """Return the vectors of a document's chunks, on SQLite."""
    document_id, generation = document.document_id, document.generation
    return (yield from execute(VECTORS, document_id=document_id, generation=generation, embedder=embedder))


def names_by_key(owner_id: str, chunk_keys: Sequence[int]) -> Transaction[dict[int, tuple[str, str]]]:
    """Return id and name of the documents of a user's chunks by key; see `chunks_by_key`."""
    rows = yield from execute(NAMES_BY_KEY, chunk_keys=chunk_keys, owner_id=owner_id)
    return {row.chunk_key: (row.document_id, row.name) for row in rows}


def chunks_by_key(owner_id: str, chunk_keys: Sequence[int]) -> Transaction[dict[int, FoundChunk]]:
    """Return the user's chunks by key; those that are not searchable any more are left out."""
    rows = yield from execute(CHUNKS_BY_KEY, chunk_keys=chunk_keys, owner_id=owner_id)
    return {row.chunk_key: FoundChunk(*row) for row in rows}
