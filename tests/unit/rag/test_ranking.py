from __future__ import annotations

from functools import partial
from statistics import NormalDist

import pytest

from app.domain.ids import new_id
from app.rag.models.calibration import Calibration
from app.rag.ranking import bm25, terms
from app.rag.ranking.bm25 import Candidate, Postings, Ranked, estimate_statistics, term_weight
from app.rag.ranking.candidates import candidate_terms
from app.rag.ranking.fusion import Ranking, fuse, mean_of_all, relative_to_best, relative_to_mean, weight_of_words
from app.rag.ranking.stemming import porter

OWNER, DOCUMENT = new_id(), new_id()
A, B, C, D = ("a",), ("b", "β"), ("c",), ("d",)


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
        ("東京都", ["東京", "京都", "東", "京", "都"]),
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
    """A word has a stem for each language of the documents."""
    forms = terms.query_forms("Rechnungen bezahlt?", ["de", "en", None])
    assert forms == [("rechnung", "rechnungen"), ("bezahlt",)]


def test_compounds() -> None:
    """A long word in a language that writes compounds as one has its parts as terms; one in another has none."""
    assert list(terms.stems("Büromöbel", "de")) == ["buromobel", "burom", "uromo", "romob", "omobe", "mobel"]
    assert list(terms.stems("Möbel", "de")) == ["mobel"]
    assert list(terms.stems("furniture", "en")) == ["furnitur"]


@pytest.mark.parametrize(
    ("query", "languages", "searched"),
    [
        ("Wo stehen die Möbel?", ["de", "en"], {("stehe", "steh", "stehen"), ("tehen", "steh", "stehen")}),
        ("Büromöbel", ["de"], {(part, "buromobel") for part in ("burom", "uromo", "romob", "omobe", "mobel")}),
        ("Wo stehen die Möbel?", ["en", "fr"], set()),
        ("Where is the furniture?", ["de", "en"], set()),
        ("refund policy", ["de", "en"], set()),
        ("refunds", ["de"], {("refun", "refund"), ("efund", "refund"), ("funds", "refund")}),
    ],
)
def test_parts_of_a_query(query: str, languages: list[str | None], searched: set[terms.Forms]) -> None:
    """Words have parts for documents with compounds, unless the query may be in a language without them."""
    assert set(terms.compound_forms(query, languages)) == searched


def test_pasted_document() -> None:
    """Of a very long query the words at its beginning and its end are searched for."""
    space = " " * terms.QUERY_CHARACTERS
    assert terms.query_forms(f"begins{space}middle{space}ended") == [("begin",), ("end",)]


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
    assert Postings(found).chunks_with(mark) == 1


def test_coverage() -> None:
    """Coverage is the share of the query's words, by weight, that a chunk has."""
    (one, two) = terms.term_hashes(OWNER, ["one", "two"])
    assert bm25.coverage(f"{one} other", {(one,): 3.0, (two, "two"): 1.0}) == 0.75
    assert bm25.coverage(one, {}) == 0.0


def test_candidate_terms() -> None:
    """The rarest words select candidates alone while there is room; the others have to occur together."""
    terms_of = partial(candidate_terms, room=100)
    assert terms_of({A: 1, B: 50, C: 200, D: 300}, 1_000) == ([[A], [B], [C, D]], ())
    assert terms_of({A: 5, B: 7}, 10) == ([[A], [B]], ())
    assert terms_of({}, 10) == ([], ())


def test_common_terms() -> None:
    """Words that too many chunks have together are apart from those that select candidates."""
    assert candidate_terms({A: 900}, 1_000, room=100) == ([], [A])
    assert candidate_terms({A: 60, B: 800, C: 900}, 1_000, room=100) == ([[A]], [B, C])


def test_fusion() -> None:
    """A chunk that is best in every ranking scores 1; each ranking counts by its weight, an empty one as zero."""
    lexical, dense = Ranking([Ranked(1, 1.0), Ranked(2, 0.5)]), Ranking([Ranked(2, 1.0), Ranked(1, 1.0)], 3.0)
    assert fuse([lexical, dense]) == {1: 1.0, 2: 0.875}
    assert fuse([lexical, Ranking([], 1.0)]) == {1: 0.5, 2: 0.25}
    assert fuse([]) == {}


def test_ranking_without_weight_comes_last() -> None:
    """Its chunks follow those of the others, in its own order, and change no score."""
    dense = Ranking([Ranked(3, 0.9), Ranked(1, 0.8), Ranked(4, 0.7)], 0.0)
    assert list(fuse([dense, Ranking([Ranked(1, 1.0), Ranked(2, 0.0)])]).items()) == [(1, 1.0), (2, 0), (3, 0), (4, 0)]
    assert list(fuse([dense])) == [3, 1, 4]


def test_lexical_scores_are_relative_to_best() -> None:
    """The best chunk has 1; without any positive score all have 0."""
    assert relative_to_best([Ranked(1, 8.0), Ranked(2, 2.0)]) == [(1, 1.0), (2, 0.25)]
    assert relative_to_best([Ranked(1, 0.0)]) == [(1, 0.0)]
    assert relative_to_best([]) == []


@pytest.mark.parametrize(
    ("cosines", "expected"),
    [
        ([0.9, 0.3, 0.1, 0.1], [1.0, 0.02, 0.0, 0.0]),  # mean with one unrelated text: 0.29
        ([0.5, 0.22, 0.2, 0.2], [0.65, 0.0, 0.0, 0.0]),  # the best exceeds the mean by 0.53 of the contrast
        ([0.5, 0.42, 0.4, 0.4], [0.0, 0.0, 0.0, 0.0]),  # no chunk stands out
        ([0.65], [1.0]),
        ([0.65, 0.0, 0.0], [1.0, 0.0, 0.0]),  # no vectors, which do not count in the mean
        ([0.0, 0.0], [0.0, 0.0]),
        ([-0.2], [0.0]),
        ([], []),
    ],
)
def test_cosines_are_relative_to_mean(cosines: list[float], expected: list[float]) -> None:
    """Scores are distances from the mean of those compared, less where the best hardly exceeds it."""
    scored = relative_to_mean([Ranked(*each) for each in enumerate(cosines)], Calibration(0.55, 0.05), len(cosines))
    assert [each.score for each in scored] == pytest.approx(expected, abs=0.02)
    assert [each.chunk_key for each in scored] == list(range(len(cosines)))


def test_large_corpus_lowers_no_confidence() -> None:
    """Among the nearest of many chunks the best exceeds their mean less: the mean of all is what counts."""
    normal, count = NormalDist(0.05, 0.1), 100_000
    best = [normal.inv_cdf(1 - (place + 0.5) / count) for place in range(250)]
    assert mean_of_all(best, count) == pytest.approx(0.05, abs=0.01)
    scored = relative_to_mean([Ranked(*each) for each in enumerate(best)], Calibration(0.55, 0.05), count)
    assert scored[0].score == 1.0


def test_scale_of_cosines_changes_no_score() -> None:
    """A model whose cosines are all higher and nearer to each other ranks as one with the same order and distances."""
    low, high = ([Ranked(*each) for each in enumerate(cosines)] for cosines in ([0.6, 0.3, 0.1], [0.88, 0.82, 0.78]))
    scores = [each.score for each in relative_to_mean(low, Calibration(0.5, 0.0), 3)]
    assert [each.score for each in relative_to_mean(high, Calibration(0.86, 0.76), 3)] == pytest.approx(scores)


def test_reliable_model_needs_less_confidence() -> None:
    """A chunk that exceeds the others a little counts if the model knows all languages of its scripts, else not."""
    near = [Ranked(*each) for each in enumerate([0.84, 0.81, 0.81, 0.81])]
    doubtful, reliable = (Calibration(0.86, 0.76, reliable=each) for each in (False, True))
    assert [each.score for each in relative_to_mean(near, doubtful, 4)] == [0.0] * 4
    assert relative_to_mean(near, reliable, 4)[0].score > 0.9


def test_long_question_weighs_words_less() -> None:
    """The weight falls with the number of words: hardly for a sentence, by half at 40 words."""
    weights = [weight_of_words("word " * count) for count in (1, 12, 20, 30, 40, 60, 500)]
    assert weights == sorted(weights, reverse=True)
    assert weights[1] > 0.98 and weights[2] > 0.9 and weights[4] == 0.5 and weights[6] < 0.001
