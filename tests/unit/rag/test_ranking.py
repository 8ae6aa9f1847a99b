from __future__ import annotations

import pytest

from app.domain.ids import new_id
from app.rag.ranking import bm25, terms
from app.rag.ranking.bm25 import Candidate, Postings, Ranked, estimate_statistics, term_weight
from app.rag.ranking.candidates import rare_term_clauses
from app.rag.ranking.fusion import Ranking, fuse
from app.rag.ranking.stemming import porter

OWNER, DOCUMENT = new_id(), new_id()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *(("caresses", "caress"), ("ponies", "poni"), ("agreed", "agre"), ("plastered", "plaster"), ("bled", "bled")),
        *(("conflated", "conflat"), ("hopping", "hop"), ("falling", "fall"), ("filing", "file"), ("happy", "happi")),
        *(("sky", "sky"), ("relational", "relat"), ("vietnamization", "vietnam"), ("hopefulness", "hope")),
        *(("triplicate", "triplic"), ("electrical", "electr"), ("replacement", "replac"), ("adoption", "adopt")),
        *(
            ("probate", "probat"),
            ("rate", "rate"),
            ("cease", "ceas"),
            ("controll", "control"),
            ("generalizations", "gener"),
        ),
        *(("is", "is"), ("größe", "größe"), ("b12", "b12")),
    ],
)
def test_stemming(word: str, expected: str) -> None:
    """English endings are removed as in Porter's paper; other words are unchanged."""
    assert porter(word) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("How do I reset the password?", ["reset", "password"]),
        ("to be or not to be", ["to", "be", "or", "not"]),
        ("Café crème", ["cafe", "creme"]),
        ("maxRetries", ["maxretri", "max", "retri"]),
        ("get_user_name ERR-1042", ["get", "user", "name", "err", "1042", "err1042"]),
        ("東京都", ["東京", "京都"]),
        ("猫", ["猫"]),
        ("हिन्दी", ["हिन्द"]),
        ('" * NEAR( :*', ["near"]),
        ("", []),
    ],
)
def test_query_forms(query: str, expected: list[str]) -> None:
    """Stop words are dropped unless a query has no others; identifiers are searched whole and in parts."""
    assert terms.query_forms(query) == [(each,) for each in expected]


def test_query_in_languages() -> None:
    """A word has a stem for each language of the documents, and its stop words are those of the query's language."""
    forms = terms.query_forms("Wann werden die Rechnungen bezahlt?", ["de", "en", None])
    assert forms == [("rechnung", "rechnungen"), ("bezahlt",)]
    assert ("werden",) in terms.query_forms("Wann werden die Rechnungen bezahlt?", ["en"])


def test_query_for_older_documents() -> None:
    """While documents of an older release are searched, words are searched for as it has stemmed them too."""
    assert terms.query_forms("договоров", ["ru"], older=True) == [("договор", "договоров")]
    assert terms.query_forms("contracts", ["ru"], older=True) == [("contract",)]


def test_word_with_several_terms() -> None:
    """A chunk is ranked by the most frequent term of a word, and the word by the chunks with its most frequent one."""
    found = candidates("cat cat katze", "katze", "dog")
    word = terms.term_hashes(OWNER, ["cat", "katz"])
    known = estimate_statistics(3, found)
    assert known.frequency(word) == 2.0
    ranked, single = Postings(found), Postings(candidates("cat cat dog", "katz", "dog"))
    assert ranked.chunks_with(word) == 2
    assert ranked.rank({word: 1.0}, 2.0, 9) == single.rank({word: 1.0}, 2.0, 9)


def test_term_hashes_differ_by_owner() -> None:
    """The same word has another hash for each owner, made of letters and digits alone."""
    (mine,), (theirs,) = terms.term_hashes(OWNER, ["secret"]), terms.term_hashes(new_id(), ["secret"])
    assert mine != theirs
    assert mine.isalnum()
    assert len(mine) == terms.HASH_LENGTH


def test_indexed_chunk() -> None:
    """A chunk is indexed as its document and its words with their counts: at most 255, twice for a heading's words."""
    made = terms.index_chunk(OWNER, DOCUMENT, "cats cat dog " + "x " * 300, "Cat", "")
    assert made.terms.split(" ") == [terms.document_hash(DOCUMENT), *terms.term_hashes(OWNER, ["cat", "dog", "x"])]
    assert list(made.counts) == [0, 4, 1, 255]


def candidates(*texts: str) -> list[Candidate]:
    return [Candidate(place, *terms.index_chunk(OWNER, DOCUMENT, text)) for place, text in enumerate(texts)]


def test_bm25_by_hand() -> None:
    """Scores are those of BM25, computed by hand for one chunk of two words."""
    found = candidates("rare word", "common words are there")
    mark = terms.term_hashes(OWNER, ["rare"])
    known = estimate_statistics(2, found)
    assert (known.mean_length, known.frequency(mark), known.complete) == (3.0, 1.0, True)
    score = term_weight(1, 2) * (bm25.K1 + 1) / (1 + bm25.K1 * (1 - bm25.B + bm25.B * 2 / 3))
    ranking = Postings(found).rank({mark: term_weight(1, 2)}, known.mean_length, 10)
    assert [each.chunk_key for each in ranking] == [0]
    assert ranking[0].score == pytest.approx(score)
    assert Postings([]).rank({mark: 1.0}, 0, 10) == []


def test_coverage() -> None:
    """Coverage is the share of the query's words, by weight, that a chunk has."""
    (one, two) = terms.term_hashes(OWNER, ["one", "two"])
    assert bm25.coverage(f"{one} other", {(one,): 3.0, (two, "two"): 1.0}) == 0.75
    assert bm25.coverage(one, {}) == 0.0


def test_rare_term_clauses() -> None:
    """The rarest words select candidates alone while there is room; the others have to occur together."""
    a, b, c, d = ("a",), ("b", "β"), ("c",), ("d",)
    assert rare_term_clauses({a: 1, b: 50, c: 400, d: 500}, 1_000, room=100) == [[a], [b], [c, d]]
    assert rare_term_clauses({a: 5, b: 7}, 10, room=100) == [[a], [b]]
    assert rare_term_clauses({a: 900}, 1_000, room=100) == [[a]]


def test_fusion() -> None:
    """A chunk that is best in every ranking scores 1; each ranking counts by its weight, an empty one as zero."""
    lexical, dense = Ranking([Ranked(1, 8.0), Ranked(2, 4.0)]), Ranking([Ranked(2, 0.5), Ranked(1, 0.5)], 3.0)
    assert fuse([lexical, dense]) == {1: pytest.approx(1.0), 2: pytest.approx(0.875)}
    assert fuse([lexical, Ranking([], 1.0)]) == {1: 0.5, 2: 0.25}
    assert fuse([Ranking([Ranked(1, -0.2)])]) == {1: 0.0}
    assert fuse([]) == {}
