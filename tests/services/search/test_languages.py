"""Search with the default embedding model in the bundled languages, against words alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from app.db import schema
from app.db.connect import connect
from app.db.database import Database
from app.domain.language import language_of
from app.rag.models.local_embedder import LocalEmbedder
from app.services.search.service import DocumentSearch
from tests.support.library import Directions, new_document, new_owner

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETS = Path(__file__).parents[3] / "evals/multilingual"
LANGUAGES = sorted(each.name for each in SETS.iterdir() if each.is_dir())


class Embedded(Directions):
    """The vectors of the default model, for passages embedded before."""

    def __init__(self, embedder: LocalEmbedder, vectors: Mapping[str, bytes]) -> None:
        super().__init__(embedder.name)
        self.vectors = vectors

    def vector(self, text: str) -> bytes:
        return self.vectors[text]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder() -> AsyncIterator[LocalEmbedder]:
    """The default embedding model."""
    opened = LocalEmbedder()
    yield opened
    await opened.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    """An SQLite database: the ranking is the same on both."""
    opened = connect(f"sqlite:///{tmp_path_factory.mktemp('languages')}/parley.db", pool_size=2)
    await schema.upgrade(opened)
    yield opened
    await opened.close()


def lines(language: str, name: str) -> list[dict[str, str]]:
    """Read a file of a bundled set."""
    text = (SETS / language / name).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_vectors_make_no_language_worse(database: Database, embedder: LocalEmbedder, language: str) -> None:
    """With vectors the passages with the answers are ranked at least as high as by words alone."""
    corpus = lines(language, "corpus.jsonl")
    vectors = dict(
        zip(
            (each["text"] for each in corpus),
            await embedder.embed_passages([each["text"] for each in corpus]),
            strict=True,
        )
    )
    owner = await new_owner(database, language)
    documents = {}
    for each in corpus:
        documents[each["_id"]] = await new_document(
            database,
            owner,
            each["text"],
            embedder=Embedded(embedder, vectors),
            name=each["_id"],
            language=language_of(each["text"]),
        )

    async def reciprocal_rank(search: DocumentSearch, question: dict[str, str]) -> float:
        found = await search.search(owner, [question["question"]], 10)
        ranked = [each.document_id for each in found.passages]
        wanted = documents[question["passage_id"]]
        return 1 / (ranked.index(wanted) + 1) if wanted in ranked else 0.0

    answerable = [each for each in lines(language, "questions.jsonl") if not each["unanswerable"]]
    by_words, with_vectors = DocumentSearch(database, None), DocumentSearch(database, embedder)
    ranks = [[await reciprocal_rank(search, each) for each in answerable] for search in (by_words, with_vectors)]
    assert sum(ranks[1]) >= sum(ranks[0]) - 1e-9, list(zip(answerable, *ranks, strict=True))
    assert sum(each >= 1 / 3 for each in ranks[1]) >= 8, list(zip(answerable, *ranks, strict=True))
