"""Queries for the candidates of a search, without a database."""

from __future__ import annotations

from app.db.search import ChunkTerms
from app.domain.ids import new_id
from app.rag.ranking.bm25 import TermStatistics
from app.rag.ranking.candidates import CANDIDATES, MAX_CANDIDATES, CandidateTerms
from app.rag.ranking.fusion import RANKING_DEPTH
from app.services.search.corpus_cache import UserCorpus
from app.services.search.service import SearchScope, find_candidates

RARE, COMMON = ("raretext",), ("commonte",)
BY = CandidateTerms([[RARE]], [COMMON])


def limits_and_keys(by: CandidateTerms, *results: range) -> tuple[list[int], list[int]]:
    """Answer each query with chunks of these keys; return the limits of the queries, and the keys that are found."""
    corpus = UserCorpus(1, (), TermStatistics(100_000, 2_000, 100.0, {}), None, 0)
    transaction = find_candidates("sqlite", SearchScope(new_id(), corpus, (), whole=True), by, large=False)
    limits = []
    try:
        statement = next(transaction)
        for keys in results:
            limits.append(statement.values["limit"])
            statement = transaction.send([ChunkTerms(key, "", b"") for key in keys])
    except StopIteration as end:
        return limits, [each.chunk_key for each in end.value]
    raise AssertionError(statement)


def test_rare_words_fill_ranking() -> None:
    """Common words are not searched for if the rare ones find enough chunks for a ranking."""
    found = range(RANKING_DEPTH)
    assert limits_and_keys(BY, found) == ([MAX_CANDIDATES], list(found))


def test_common_words_add_candidates() -> None:
    """If they find fewer, some chunks with the common words are added, each chunk once."""
    assert limits_and_keys(BY, range(10), range(5, 20)) == ([MAX_CANDIDATES, CANDIDATES], list(range(20)))
    assert limits_and_keys(CandidateTerms([], [COMMON]), range(5)) == ([CANDIDATES], list(range(5)))
