from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from sqlalchemy import delete

from app.db import schema
from app.db.connect import connect
from app.db.database import Database
from app.db.models import UserRow
from app.domain.documents import Passage
from app.domain.ids import new_id
from app.domain.retrieval import RetrievalStatus
from app.errors import DocumentNotFound, EmbeddingFailed
from app.services.search import service
from app.services.search.service import DocumentSearch
from tests.support.library import Directions, changed, chunks, counted, new_document, new_owner

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = (
    '"',
    "*",
    "NEAR(a b)",
    "'; DROP TABLE chunks --",
    "%",
    ":*",
    "a & | ! b",
    "(",
    "\\",
    "words : x",
    "\u202e",
    " ",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_database(shared_database_url: str) -> AsyncIterator[Database]:
    opened = connect(shared_database_url, pool_size=4)
    await schema.upgrade(opened)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def database(shared_database: Database) -> Database:
    """An empty database."""
    async with shared_database.write_session() as session:
        await session.execute(delete(UserRow))
    return shared_database


def texts(passages: Sequence[Passage]) -> list[str]:
    return [each.text for each in passages]


async def found(search: DocumentSearch, owner_id: str, *queries: str, within: Sequence[str] | None = None) -> list[str]:
    return texts((await search.search(owner_id, queries, 8, within)).passages)


async def test_words_find_a_passage_and_what_it_is(database: Database) -> None:
    """A passage is the chunk, with its document's name, its span, and how much of the query it has."""
    owner = await new_owner(database)
    document_id = await new_document(database, owner, "Nothing of note.", "Invoices are paid within thirty days.")
    result = await DocumentSearch(database, None).search(owner, ["when is an invoice paid"], 8)
    [passage] = result.passages
    assert result.status is RetrievalStatus.OK
    assert passage.chunk_id == f"{document_id}:1"
    assert (passage.document_name, passage.text) == ("Nothing of note.", "Invoices are paid within thirty days.")
    assert (passage.similarity, passage.coverage, passage.score) == (None, 1.0, 1.0)


async def test_meaning_finds_what_words_do_not(database: Database) -> None:
    """A passage without any word of the query is found by its vector, with the cosine."""
    owner, embedder = await new_owner(database), Directions()
    await new_document(database, owner, "The feline sleeps.", "A vehicle stands there.", embedder=embedder)
    result = await DocumentSearch(database, embedder).search(owner, ["cat"], 1)
    assert texts(result.passages) == ["The feline sleeps."]
    assert result.passages[0].similarity == pytest.approx(1.0, abs=1e-3)
    assert result.status is RetrievalStatus.OK


async def test_another_user_s_chunks_are_never_found(database: Database) -> None:
    """Not by words, by meaning, or by naming the document; nor where their text holds the marks of an owner's words."""
    embedder = Directions()
    ada, eve = await new_owner(database, "ada"), await new_owner(database, "eve")
    secret = await new_document(database, ada, "The cat's password is swordfish.", embedder=embedder)
    stolen = (await database.read(words_of_chunks))[0]
    await new_document(database, eve, f"Only tea. {stolen}", embedder=embedder)
    search = DocumentSearch(database, embedder)
    for query in ("swordfish", "cat", stolen):
        assert not [each for each in await found(search, eve, query) if "swordfish" in each]
        assert not [each for each in await found(search, ada, query) if "tea" in each]
    assert await found(search, eve, "swordfish", within=[secret]) == []
    with pytest.raises(DocumentNotFound):
        await search.search_for_user("eve", "swordfish", 8, [secret])


def words_of_chunks():
    from app.db.transaction import Statement

    rows = yield Statement("SELECT words FROM chunks")
    return [row[0] for row in rows]


async def test_named_documents_alone_are_searched(database: Database) -> None:
    """document_ids narrows a search by words and by meaning."""
    owner, embedder = await new_owner(database), Directions()
    first = await new_document(database, owner, "cat one", embedder=embedder)
    await new_document(database, owner, "cat two", embedder=embedder)
    search = DocumentSearch(database, embedder)
    assert await found(search, owner, "cat", within=[first]) == ["cat one"]
    assert set(await found(search, owner, "cat")) == {"cat one", "cat two"}
    assert texts(await search.search_for_user("ada", "cat", 8, [first])) == ["cat one"]
    assert await search.search_for_user("nobody", "cat", 8) == ()
    with pytest.raises(DocumentNotFound):
        await search.search_for_user("ada", "cat", 8, [first, new_id()])
    with pytest.raises(DocumentNotFound):
        await search.search_for_user("nobody", "cat", 8, [first])


@pytest.mark.parametrize("query", HOSTILE)
async def test_metacharacters_are_text(database: Database, query: str) -> None:
    """Nothing in a query is syntax, of either database."""
    owner = await new_owner(database)
    await new_document(database, owner, "words and x, a b")
    await DocumentSearch(database, None).search(owner, [query], 8)
    assert await counted(database, "chunks") == 1


async def test_only_the_generation_that_is_found_is_seen(database: Database) -> None:
    """Chunks that are being written are not found, nor are documents that are not ready."""
    owner, embedder = await new_owner(database), Directions()
    document_id = await new_document(database, owner, "old cat", embedder=embedder)
    await database.write(chunks, database, owner, document_id, ["new cat"], 2, embedder)
    await new_document(database, owner, "queued cat", embedder=embedder, status="processing")
    search = DocumentSearch(database, embedder)
    assert await found(search, owner, "cat") == ["old cat"]
    await changed(database, owner, "UPDATE documents SET generation = 2 WHERE document_id = $1", document_id)
    assert await found(search, owner, "cat") == ["new cat"]


async def test_vectors_of_another_embedder_are_not_mixed_in(database: Database) -> None:
    """While one document has other vectors, all are searched by words alone, and the result says so."""
    owner, embedder = await new_owner(database), Directions()
    own = await new_document(database, owner, "a feline", embedder=embedder)
    await new_document(database, owner, "a cat", embedder=Directions("test:older"))
    search = DocumentSearch(database, embedder)
    result = await search.search(owner, ["cat"], 8)
    assert (texts(result.passages), result.status) == (["a cat"], RetrievalStatus.DEGRADED)
    result = await search.search(owner, ["cat"], 8, [own])
    assert (texts(result.passages), result.status) == (["a feline"], RetrievalStatus.OK)


async def test_a_query_that_is_not_embedded_is_searched_by_words(database: Database) -> None:
    """The embedder's failure costs a search its vectors, not its answer."""
    owner, embedder = await new_owner(database), Directions()
    await new_document(database, owner, "a cat", "a feline", embedder=embedder)
    embedder.fails = True
    result = await DocumentSearch(database, embedder).search(owner, ["cat"], 8)
    assert (texts(result.passages), result.status) == (["a cat"], RetrievalStatus.DEGRADED)


async def test_without_documents_nothing_is_asked_of_anybody(database: Database) -> None:
    """An empty library is empty, whatever is searched for."""
    owner = await new_owner(database)
    result = await DocumentSearch(database, Directions(fails=True)).search(owner, ["cat"], 8)
    assert (result.passages, result.status) == ((), RetrievalStatus.EMPTY)


async def test_what_another_process_changes_is_seen_at_once(database: Database, shared_database_url: str) -> None:
    """Each search looks whether documents have come or gone since the last one."""
    owner, embedder = await new_owner(database), Directions()
    gone = await new_document(database, owner, "first cat", embedder=embedder)
    search = DocumentSearch(database, embedder)
    assert await found(search, owner, "feline") == ["first cat"]
    other = connect(shared_database_url, pool_size=1)
    await new_document(other, owner, "second cat", embedder=embedder)
    assert set(await found(search, owner, "feline")) == {"first cat", "second cat"}
    await changed(other, owner, "DELETE FROM documents WHERE document_id = $1", gone)
    assert await found(search, owner, "feline") == ["second cat"]
    await other.close()


async def test_a_deleted_document_leaves_nothing_behind(database: Database) -> None:
    """Words and vectors go with the chunks, also when the whole user goes."""
    owner, embedder = await new_owner(database), Directions()
    document_id = await new_document(database, owner, "a cat", "some tea", embedder=embedder)
    await new_document(database, owner, "a car", embedder=embedder)
    await changed(database, owner, "DELETE FROM documents WHERE document_id = $1", document_id)
    assert (await counted(database, "chunks"), await counted(database, "chunk_vectors")) == (1, 1)
    await changed(database, owner, "DELETE FROM users WHERE id = $1", owner)
    assert (await counted(database, "chunks"), await counted(database, "chunk_vectors")) == (0, 0)
    if database.kind == "sqlite":
        await changed(database, owner, "INSERT INTO chunk_words (chunk_words) VALUES ('integrity-check')")


async def test_memory_is_bounded(sqlite_template) -> None:
    """The libraries that are kept stay within their bound; one beyond it is searched without being kept."""
    with sqlite_template.copy() as url:
        database, embedder = connect(url, pool_size=2), Directions()
        database.vectors_stored = True
        owners = [await new_owner(database, f"user {n}") for n in range(4)]
        for owner in owners:
            await new_document(database, owner, *["a feline"] * 20, "some tea", embedder=embedder)
        roomy, tight = (
            DocumentSearch(database, embedder, cache_bytes=3_000),
            DocumentSearch(database, embedder, cache_bytes=10),
        )
        for search in (roomy, tight):
            for owner in owners:
                assert set(await found(search, owner, "cat")) == {"a feline"}
            assert (await search.search(owner, ["cat"], 1)).passages[0].similarity == pytest.approx(1.0, abs=1e-3)
        assert 0 < roomy.cached_bytes <= 3_000
        await database.close()


async def test_the_best_of_many_is_found_by_its_rare_word(database: Database) -> None:
    """Where words are counted in a sample and few chunks are ranked, rare words and several common ones still lead."""
    owner = await new_owner(database)
    filler = [f"common words about topic{n % 7} and item{n % 5}" for n in range(300)]
    await new_document(database, owner, *filler, "common words and a zebra", "topic3 item2 together common")
    search = DocumentSearch(database, None, sample=20)
    assert (await found(search, owner, "common zebra words"))[0] == "common words and a zebra"
    assert "topic3" in (await found(search, owner, "topic3 item2"))[0]


async def test_several_queries_are_one_search(database: Database) -> None:
    """What answers to both of two queries comes before what answers to one."""
    owner = await new_owner(database)
    await new_document(database, owner, "red apples", "green pears", "red pears")
    assert (await found(DocumentSearch(database, None), owner, "red", "pears"))[0] == "red pears"


async def test_searches_at_once_do_not_disturb_each_other(database: Database) -> None:
    """Many searches of one user at the same moment give what each alone does."""
    owner, embedder = await new_owner(database), Directions()
    await new_document(database, owner, "a cat", "a car", "some tea", embedder=embedder)
    search = DocumentSearch(database, embedder)
    results = await asyncio.gather(*(found(search, owner, word) for word in ("feline", "vehicle", "drink") * 5))
    assert [each[0] for each in results] == ["a cat", "a car", "some tea"] * 5


class Reversing:
    """A reranker that likes long passages, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        if self.fails:
            raise EmbeddingFailed
        return [float(len(each)) for each in passages]

    async def aclose(self) -> None:
        pass


async def test_a_reranker_has_the_last_word_unless_it_fails(database: Database) -> None:
    """Its scores order the passages; without them they stay in their order."""
    owner = await new_owner(database)
    await new_document(database, owner, "cat cat cat", "a cat among many other words of no weight")
    assert (await found(DocumentSearch(database, None, Reversing()), owner, "cat"))[0].startswith("a cat among")
    assert (await found(DocumentSearch(database, None, Reversing(fails=True)), owner, "cat"))[0] == "cat cat cat"
    assert service.RERANKED >= 8
