"""Measures of the evaluations, compared with values computed by hand."""

from __future__ import annotations

import math

import pytest

from evals.bootstrap import difference
from evals.data import Question
from evals.folding import Letters, fold
from evals.formats import evidence_scores
from evals.ingest import Library
from evals.metrics import ndcg, percentile, ranking_scores, recall, reciprocal_rank, success
from evals.passages import passage_scores, reply_scores
from evals.service import Hit
from evals.spans import places, span_scores, within


def test_ndcg_discounts_by_rank() -> None:
    """Graded gains are divided by the logarithm of their rank: (1/1 + 2/log2 4) over (2/1 + 1/log2 3)."""
    found = (1 + 2 / 2) / (2 + 1 / math.log2(3))
    assert ndcg(["b", "x", "a"], {"a": 2, "b": 1}) == pytest.approx(found)


def test_ndcg_of_the_best_order_is_one() -> None:
    """The best order has nDCG 1, also with twelve relevant items for ten places."""
    grades = {str(number): 1.0 for number in range(12)}
    assert ndcg([str(number) for number in range(10)], grades) == pytest.approx(1)


def test_ndcg_ignores_irrelevant_and_deep_items() -> None:
    """Items after the tenth and items of grade 0 or less contribute nothing."""
    assert ndcg([*"bcdefghijk", "a"], {"a": 1, "b": 0, "c": -1}) == 0
    assert ndcg(["a"], {"a": 0}) == 0


def test_recall() -> None:
    """Recall is the share of all relevant items that is among the first k: two of three here."""
    assert recall(["a", "x", "b", "c"], {"a", "b", "c"}, 3) == pytest.approx(2 / 3)
    assert recall([], {"a"}, 5) == 0


def test_reciprocal_rank_and_success() -> None:
    """Both depend on the rank of the first relevant item: here the third."""
    assert reciprocal_rank(["x", "y", "a", "b"], {"a", "b"}) == pytest.approx(1 / 3)
    assert reciprocal_rank(["x"], {"a"}) == 0
    assert (success(["x", "y", "a"], {"a"}, 3), success(["x", "y", "a"], {"a"}, 2)) == (1, 0)


def test_grade_zero_is_irrelevant() -> None:
    """All measures of a ranking count only grades above zero as relevant."""
    found = ranking_scores(["x", "a"], {"a": 1, "x": 0})
    assert found["recall@3"] == 1
    assert found["MRR"] == pytest.approx(1 / 2)
    assert found["nDCG@10"] == pytest.approx(1 / math.log2(3))


def test_percentiles() -> None:
    """Percentiles are nearest ranks: of 1 to 20 the median is 10 and the 95th percentile 19."""
    values = [float(number) for number in range(20, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.95)) == (10, 19)
    assert math.isnan(percentile([], 0.5))


def test_constant_difference_is_significant() -> None:
    """Every resample of equal differences has the same mean, so p is almost 0."""
    found = difference({str(each): 0.5 for each in range(30)}, {str(each): 0.25 for each in range(30)})
    assert found is not None
    assert (found.mean, found.low, found.high, found.queries) == (0.25, 0.25, 0.25, 30)
    assert found.p < 0.001


def test_no_difference_has_p_one() -> None:
    """Equal scores have the mean difference 0 and p = 1."""
    scores = {"a": 0.3, "b": 0.9}
    found = difference(scores, scores)
    assert found is not None
    assert (found.mean, found.p) == (0, 1)


def test_difference_uses_shared_queries() -> None:
    """Only queries of both runs are compared, and the seeded bootstrap gives the same result each time."""
    now = {str(each): each % 7 / 10 for each in range(40)}
    before = {str(each): each % 5 / 10 for each in range(1, 60)}
    found = difference(now, before)
    assert found == difference(now, before)
    assert found is not None
    assert found.queries == 39
    assert found.low < found.mean < found.high
    assert difference({"a": 1.0}, {"b": 1.0}) is None


def test_document_ranks_by_its_best_passage() -> None:
    """A document has the rank of its best passage; documents with the same bytes share it."""
    library = Library("u", {"a": "1", "b": "2", "copy of a": "1"}, {})
    assert library.items(["2", "1", "2", "1"]) == ["b", "a", "copy of a"]


def test_passage_scores() -> None:
    """The relevant passage is second: MRR 0.5, recall 0 at 1 and 1 at greater depths."""
    recalls = {"recall@1": 0, "recall@3": 1, "recall@5": 1, "recall@10": 1}
    assert passage_scores(["x", "a"], "a") == {"MRR": 0.5, **recalls}


def test_reply_scores() -> None:
    """A reply is right if it has one of the answers, ignoring case and white space; an ungrounded one is refused."""
    question = Question("q", "Where?", "p", ["in the  North", "north"], unanswerable=False)
    assert reply_scores("It lies in the\nnorth [1].", True, question) == {"refused": 0, "right": 1}
    assert reply_scores("The documents do not say.", False, question) == {"refused": 1, "right": 0}
    assert reply_scores("Hm.", False, Question("q", "?", "p", [], unanswerable=True)) == {"refused": 1}


def test_evidence_in_the_right_document() -> None:
    """Evidence counts only in passages of the right document."""
    hits = [Hit("other", 0, 9, "up to 32 TB"), *[Hit("right", 0, 9, "-")] * 4, Hit("right", 0, 9, "up to  32\ntb")]
    found = evidence_scores("32 TB", "right", "It is 32 TB.", hits)
    assert found == {"in the first 5": 0, "in the first 8": 1, "in the text": 1}


def test_passages_within_a_token_budget() -> None:
    """Passages are taken in order while their word pieces fit the budget."""
    hits = [Hit("d", 0, 1, "one two three"), Hit("d", 1, 2, "one two"), Hit("d", 2, 3, "one two"), Hit("d", 3, 4, "x")]
    assert within(hits, 6) == hits[:2]


def test_characters_count_once() -> None:
    """Recall and precision count each character once, also where passages overlap."""
    hits = [Hit("d", 0, 10, ""), Hit("d", 5, 15, ""), Hit("e", 10, 20, "")]
    assert span_scores(hits, places("d", [(10, 20)])) == {"recall": 0.5, "precision": 5 / 25}
    assert span_scores([], places("d", [(10, 20)])) == {"recall": 0, "precision": 0}


def test_folding() -> None:
    """Texts are compared without case, extra white space and compatibility forms such as ligatures."""
    assert fold("The  ﬁrst\u202fSTEP\n") == "the first step"


@pytest.mark.parametrize(
    ("text", "wanted", "found"),
    [
        ("A **bold** claim, and more", "bold claim", "bold** claim"),
        ("a line\n\nbroken", "Line broken", "line\n\nbroken"),
        ("the  Chronicles", "the <unk> Chronicles", "the  Chronicles"),
    ],
)
def test_span_found_by_letters(text: str, wanted: str, found: str) -> None:
    """A span is found although its Markdown marks, white space or tags differ."""
    span = Letters(text).span(wanted)
    assert span is not None
    assert text[slice(*span)] == found


def test_nearest_span_is_taken() -> None:
    """Of several occurrences the one nearest to the expected place is taken; no occurrence gives None."""
    letters = Letters("more is not always more")
    assert (letters.span("more", 0.1), letters.span("more", 0.9)) == ((0, 4), (19, 23))
    assert letters.span("less") is None
    assert letters.span("--") is None
