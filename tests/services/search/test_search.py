"""Search by terms and vectors, on both databases."""

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
from app.rag.models.calibration import Calibration
from app.services.search import service
from app.services.search.service import DocumentSearch
from tests.support.library import Directions, change_documents, chunks, count_rows, new_document, new_owner
from tests.support.sql import run_sql

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
    """A migrated database for all tests of a module."""
    opened = connect(shared_database_url, pool_size=4)
    await schema.upgrade(opened)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def database(shared_database: Database) -> Database:
    """A database without rows."""
    async with shared_database.write_session() as session:
        await session.execute(delete(UserRow))
    return shared_database


def texts(passages: Sequence[Passage]) -> list[str]:
    """Return the texts of passages."""
    return [each.text for each in passages]


async def found_texts(
    search: DocumentSearch, owner_id: str, *queries: str, within: Sequence[str] | None = None
) -> list[str]:
    """Return the texts of the passages that are found, at most eight."""
    return texts((await search.search(owner_id, queries, 8, within)).passages)


async def test_lexical_search(database: Database) -> None:
    """A passage is the chunk, with its document's name and its share of the query's terms."""
    owner = await new_owner(database)
    document_id = await new_document(database, owner, "Nothing of note.", "Invoices are paid within thirty days.")
    result = await DocumentSearch(database, None).search(owner, ["when is an invoice paid"], 8)
    [passage] = result.passages
    assert result.status is RetrievalStatus.OK
    assert passage.chunk_id == f"{document_id}:1"
    assert (passage.document_name, passage.text) == ("Nothing of note.", "Invoices are paid within thirty days.")
    assert (passage.similarity, passage.coverage, passage.score) == (None, 1.0, 1.0)


async def test_vector_search(database: Database) -> None:
    """A passage without any term of the query is found by its vector, with the cosine."""
    owner, embedder = await new_owner(database), Directions()
    await new_document(database, owner, "The feline sleeps.", "A vehicle stands there.", embedder=embedder)
    result = await DocumentSearch(database, embedder).search(owner, ["cat"], 1)
    assert texts(result.passages) == ["The feline sleeps."]
    assert result.passages[0].similarity == pytest.approx(1.0, abs=1e-3)
    assert result.status is RetrievalStatus.OK


async def test_other_users_chunks_are_not_found(database: Database) -> None:
    """Not by terms, vectors or document ids, nor with another user's hashed terms in the text."""
    embedder = Directions()
    ada, eve = await new_owner(database, "ada"), await new_owner(database, "eve")
    secret = await new_document(database, ada, "The cat's password is swordfish.", embedder=embedder)
    stolen = (await database.read(words_of_chunks))[0]
    await new_document(database, eve, f"Only tea. {stolen}", embedder=embedder)
    search = DocumentSearch(database, embedder)
    for query in ("swordfish", "cat", stolen):
        assert not [each for each in await found_texts(search, eve, query) if "swordfish" in each]
        assert not [each for each in await found_texts(search, ada, query) if "tea" in each]
    assert await found_texts(search, eve, "swordfish", within=[secret]) == []
    with pytest.raises(DocumentNotFound):
        await search.search_for_user("eve", "swordfish", 8, [secret])


def words_of_chunks():
    """Read the hashed terms of all chunks."""
    rows = yield from run_sql("SELECT words FROM chunks")
    return [row[0] for row in rows]


async def test_document_ids_narrow_search(database: Database) -> None:
    """A search with document ids covers only those documents, by terms and by vectors."""
    owner, embedder = await new_owner(database), Directions()
    first = await new_document(database, owner, "cat one", embedder=embedder)
    await new_document(database, owner, "cat two", embedder=embedder)
    search = DocumentSearch(database, embedder)
    assert await found_texts(search, owner, "cat", within=[first]) == ["cat one"]
    assert set(await found_texts(search, owner, "cat")) == {"cat one", "cat two"}
    assert texts(await search.search_for_user("ada", "cat", 8, [first])) == ["cat one"]
    assert await search.search_for_user("nobody", "cat", 8) == ()
    with pytest.raises(DocumentNotFound):
        await search.search_for_user("ada", "cat", 8, [first, new_id()])
    with pytest.raises(DocumentNotFound):
        await search.search_for_user("nobody", "cat", 8, [first])


@pytest.mark.parametrize("query", HOSTILE)
async def test_metacharacters_are_text(database: Database, query: str) -> None:
    """No character of a query is syntax, in either database."""
    owner = await new_owner(database)
    await new_document(database, owner, "words and x, a b")
    await DocumentSearch(database, None).search(owner, [query], 8)
    assert await count_rows(database, "chunks") == 1


async def test_other_generations_are_not_found(database: Database) -> None:
    """Chunks of an ingestion in progress, and of documents that are not ready, are not found."""
    owner, embedder = await new_owner(database), Directions()
    document_id = await new_document(database, owner, "old cat", embedder=embedder)
    await database.write(chunks, database, owner, document_id, ["new cat"], 2, embedder)
    await new_document(database, owner, "queued cat", embedder=embedder, status="processing")
    search = DocumentSearch(database, embedder)
    assert await found_texts(search, owner, "cat") == ["old cat"]
    await change_documents(database, owner, "UPDATE documents SET generation = 2 WHERE document_id = $1", document_id)
    assert await found_texts(search, owner, "cat") == ["new cat"]


async def test_other_embedders_vectors_degrade_search(database: Database) -> None:
    """While one document has other vectors the search is lexical, and its result degraded."""
    owner, embedder = await new_owner(database), Directions()
    own = await new_document(database, owner, "a feline", embedder=embedder)
    await new_document(database, owner, "a cat", embedder=Directions("test:older"))
    search = DocumentSearch(database, embedder)
    result = await search.search(owner, ["cat"], 8)
    assert (texts(result.passages), result.status) == (["a cat"], RetrievalStatus.DEGRADED)
    result = await search.search(owner, ["cat"], 8, [own])
    assert (texts(result.passages), result.status) == (["a feline"], RetrievalStatus.OK)


async def test_failing_embedder_degrades_search(database: Database) -> None:
    """If the embedder fails the search is lexical, and its result degraded."""
    owner, embedder = await new_owner(database), Directions()
    await new_document(database, owner, "a cat", "a feline", embedder=embedder)
    embedder.fails = True
    result = await DocumentSearch(database, embedder).search(owner, ["cat"], 8)
    assert (texts(result.passages), result.status) == (["a cat"], RetrievalStatus.DEGRADED)


async def test_versions_leave_enough_passages(database: Database) -> None:
    """Though passages of older versions match as well, as many of the newest are found as were wanted."""
    owner, embedder = await new_owner(database), Directions()
    for version in range(4):
        rules = [f"Rule {each} of version {version}: pay for the car." for each in range(100)]
        newest = await new_document(database, owner, *rules, name="rules.md", embedder=embedder)
    passages = (await DocumentSearch(database, embedder).search(owner, ["pay for the car"], 100)).passages
    assert [each.document_id for each in passages] == [newest] * 100


async def test_old_version_says_more(database: Database) -> None:
    """A newer version that is only as near as everything is does not hide what the older one says."""
    owner, embedder = await new_owner(database), Directions()
    await new_document(database, owner, "Of cars.", name="a.md", embedder=embedder)
    await new_document(database, owner, "Of tea.", name="a.md", embedder=embedder)
    found = await found_texts(DocumentSearch(database, embedder), owner, "vehicle")
    assert found[0] == "Of cars."


async def test_search_without_documents(database: Database) -> None:
    """The result is empty, and the embedder is not called."""
    owner = await new_owner(database)
    result = await DocumentSearch(database, Directions(fails=True)).search(owner, ["cat"], 8)
    assert (result.passages, result.status) == ((), RetrievalStatus.EMPTY)


async def test_changes_of_other_processes_are_seen(database: Database, shared_database_url: str) -> None:
    """Each search covers the documents that exist when it starts."""
    owner, embedder = await new_owner(database), Directions()
    gone = await new_document(database, owner, "first cat", embedder=embedder)
    search = DocumentSearch(database, embedder)
    assert await found_texts(search, owner, "feline") == ["first cat"]
    other = connect(shared_database_url, pool_size=1)
    await new_document(other, owner, "second cat", embedder=embedder)
    assert set(await found_texts(search, owner, "feline")) == {"first cat", "second cat"}
    await change_documents(other, owner, "DELETE FROM documents WHERE document_id = $1", gone)
    assert await found_texts(search, owner, "feline") == ["second cat"]
    await other.close()


async def test_deletion_leaves_nothing(database: Database) -> None:
    """Terms and vectors are deleted with their chunks, also with the whole user."""
    owner, embedder = await new_owner(database), Directions()
    document_id = await new_document(database, owner, "a cat", "some tea", embedder=embedder)
    await new_document(database, owner, "a car", embedder=embedder)
    await change_documents(database, owner, "DELETE FROM documents WHERE document_id = $1", document_id)
    assert (await count_rows(database, "chunks"), await count_rows(database, "chunk_vectors")) == (1, 1)
    await change_documents(database, owner, "DELETE FROM users WHERE id = $1", owner)
    assert (await count_rows(database, "chunks"), await count_rows(database, "chunk_vectors")) == (0, 0)
    if database.kind == "sqlite":
        await change_documents(database, owner, "INSERT INTO chunk_words (chunk_words) VALUES ('integrity-check')")


async def test_cache_is_bounded(sqlite_template) -> None:
    """The cached corpora stay within their limit; a larger one is searched without the cache."""
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
                assert set(await found_texts(search, owner, "cat")) == {"a feline"}
            assert (await search.search(owner, ["cat"], 1)).passages[0].similarity == pytest.approx(1.0, abs=1e-3)
        assert 0 < roomy.cached_bytes <= 3_000
        await database.close()


async def test_rare_terms_lead_ranking(database: Database) -> None:
    """With sampled statistics and few candidates, rare terms and several common ones still rank first."""
    owner = await new_owner(database)
    filler = [f"common words about topic{n % 7} and item{n % 5}" for n in range(300)]
    await new_document(database, owner, *filler, "common words and a zebra", "topic3 item2 together common")
    search = DocumentSearch(database, None, sample=20)
    assert (await found_texts(search, owner, "common zebra words"))[0] == "common words and a zebra"
    assert "topic3" in (await found_texts(search, owner, "topic3 item2"))[0]


IN_LANGUAGES = {
    "de": ("Die Rechnungen werden im Mai bezahlt.", "Rechnung"),
    "es": ("Recibimos la información ayer.", "informaciones"),
    "fr": ("Les machines réparées restent ici.", "réparée"),
    "pt": ("Os pagamentos chegaram ontem.", "pagamento"),
    "ru": ("Стороны подписали договоры аренды.", "договор"),
    "ar": ("وصلت الكتب إلى المدرسة أمس.", "مدرسة"),
    "hi": ("मेज़ पर किताबें रखी हैं।", "किताब"),
    "zh": ("合同期限为三年。", "合同"),
    "ja": ("契約は三年間続きます。", "契約"),
    "ko": ("계약 기간은 삼 년입니다.", "계약"),
    "en": ("The invoices were paid late.", "invoice"),
}


async def test_words_are_found_in_each_language(database: Database) -> None:
    """A word is found by another form of it, whichever languages the other documents of the user are in."""
    owner = await new_owner(database)
    for language, (text, _) in IN_LANGUAGES.items():
        await new_document(database, owner, text, language=language)
    search = DocumentSearch(database, None)
    for text, word in IN_LANGUAGES.values():
        passages = (await search.search(owner, [word], 8)).passages
        assert (texts(passages)[:1], passages[0].coverage) == ([text], 1.0)


async def test_queries_are_fused(database: Database) -> None:
    """A passage for both of two queries precedes a passage for one."""
    owner = await new_owner(database)
    await new_document(database, owner, "red apples", "green pears", "red pears")
    assert (await found_texts(DocumentSearch(database, None), owner, "red", "pears"))[0] == "red pears"


async def test_parallel_searches(database: Database) -> None:
    """Parallel searches of one user have the results of single ones."""
    owner, embedder = await new_owner(database), Directions()
    await new_document(database, owner, "a cat", "a car", "some tea", embedder=embedder)
    search = DocumentSearch(database, embedder)
    results = await asyncio.gather(*(found_texts(search, owner, word) for word in ("feline", "vehicle", "drink") * 5))
    assert [each[0] for each in results] == ["a cat", "a car", "some tea"] * 5


LATIN = frozenset({"LATIN"})


async def test_words_decide_in_unknown_script(database: Database) -> None:
    """A query in a script unknown to the model ranks by words; its nearest chunks only follow, without similarity."""
    owner, embedder = await new_owner(database), Directions(scripts=LATIN)
    await new_document(database, owner, "кошка cat спит", "собака лает cat cat cat", "a cat", embedder=embedder)
    found = (await DocumentSearch(database, embedder).search(owner, ["где cat собака лает"], 8)).passages
    assert texts(found[:1]) == ["собака лает cat cat cat"]
    assert {each.text for each in found} == {"кошка cat спит", "собака лает cat cat cat", "a cat"}
    assert {each.similarity for each in found} == {None}
    assert found[0].score == 1.0


async def test_passage_in_unknown_script_has_no_similarity(database: Database) -> None:
    """A query in a known script compares only passages in known scripts; the others are found by their words."""
    owner, embedder = await new_owner(database), Directions(scripts=LATIN)
    await new_document(database, owner, "кошка мяукает cat", "the feline sleeps", "some tea", embedder=embedder)
    result = await DocumentSearch(database, embedder).search(owner, ["cat"], 8)
    similarities = {each.text: each.similarity for each in result.passages}
    assert similarities["кошка мяукает cat"] is None
    assert similarities["the feline sleeps"] == pytest.approx(1.0, abs=1e-2)
    assert result.status is RetrievalStatus.OK


async def test_question_without_common_words_finds_something(database: Database) -> None:
    """A question in an unknown script about documents in another language is not refused by the search."""
    owner, embedder = await new_owner(database), Directions(scripts=LATIN)
    await new_document(database, owner, "the cat sleeps", "some tea", embedder=embedder)
    result = await DocumentSearch(database, embedder).search(owner, ["где спит кошка"], 8)
    assert result.status is RetrievalStatus.OK
    assert [each.score for each in result.passages] == [0, 0]


async def test_sentences_in_unknown_scripts(sqlite_template) -> None:
    """They have no similarity; where no question or no sentence can be compared, there are none at all."""
    with sqlite_template.copy() as url:
        database = connect(url, pool_size=1)
        search = DocumentSearch(database, Directions(scripts=LATIN))
        assert await search.similarities(["cat"], ["кошка", "feline"]) == pytest.approx([0.0, 1.0], abs=1e-2)
        assert await search.similarities(["кошка", "cat"], ["feline"]) == pytest.approx([1.0], abs=1e-2)
        assert await search.similarities(["кошка"], ["feline"]) is None
        assert await search.similarities(["cat"], ["кошка"]) is None
        assert await search.bars() == Calibration(1.0, 0.0).bars
        assert await DocumentSearch(database, None).bars() is None
        await database.close()


class SlowEmbedder(Directions):
    """An embedder that has too much work."""

    async def embed_query(self, text: str) -> bytes:
        raise TimeoutError


async def test_slow_comparison_leaves_words(database: Database) -> None:
    """Sentences that are not embedded in time are chosen by words alone."""
    assert await DocumentSearch(database, SlowEmbedder()).similarities(["cat"], ["feline"]) is None


class LengthReranker:
    """A reranker that prefers long passages, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        if self.fails:
            raise EmbeddingFailed
        return [float(len(each)) for each in passages]

    async def aclose(self) -> None:
        pass


async def test_reranker_orders_passages(database: Database) -> None:
    """Its scores order the passages; if it fails they keep their order."""
    owner = await new_owner(database)
    await new_document(database, owner, "cat cat cat", "a cat among many other words of no weight")
    assert (await found_texts(DocumentSearch(database, None, LengthReranker()), owner, "cat"))[0].startswith(
        "a cat among"
    )
    assert (await found_texts(DocumentSearch(database, None, LengthReranker(fails=True)), owner, "cat"))[
        0
    ] == "cat cat cat"
    assert service.RERANKED >= 8
