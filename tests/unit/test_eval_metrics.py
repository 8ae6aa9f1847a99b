"""The measures of evaluations, against values computed by hand."""

from __future__ import annotations

import math

import pytest

from evals.bootstrap import difference
from evals.data import Question
from evals.folding import Letters, folded
from evals.formats import of_evidence
from evals.ingest import Shelf
from evals.metrics import ndcg, of_ranking, percentile, recall, reciprocal_rank, success
from evals.passages import of_passage, of_reply
from evals.service import Hit
from evals.spans import of_characters, places, within


def test_ndcg_discounts_graded_gains_by_the_logarithm_of_their_place() -> None:
    """(1/1 + 2/log2 4) over the best order's (2/1 + 1/log2 3)."""
    found = (1 + 2 / 2) / (2 + 1 / math.log2(3))
    assert ndcg(["b", "x", "a"], {"a": 2, "b": 1}) == pytest.approx(found)


def test_ndcg_of_the_best_order_is_one_also_with_more_relevant_items_than_places() -> None:
    """Twelve relevant items cannot all be among ten."""
    grades = {str(number): 1.0 for number in range(12)}
    assert ndcg([str(number) for number in range(10)], grades) == pytest.approx(1)


def test_ndcg_looks_no_further_than_its_depth_and_gives_nothing_for_what_is_not_relevant() -> None:
    """A place behind the tenth, a grade of 0 and a negative one are worth nothing."""
    assert ndcg([*"bcdefghijk", "a"], {"a": 1, "b": 0, "c": -1}) == 0
    assert ndcg(["a"], {"a": 0}) == 0


def test_recall_is_a_share_of_all_that_is_relevant() -> None:
    """Two of three are among the first three."""
    assert recall(["a", "x", "b", "c"], {"a", "b", "c"}, 3) == pytest.approx(2 / 3)
    assert recall([], {"a"}, 5) == 0


def test_reciprocal_rank_and_success_ask_for_the_first_relevant_item() -> None:
    """It stands third."""
    assert reciprocal_rank(["x", "y", "a", "b"], {"a", "b"}) == pytest.approx(1 / 3)
    assert reciprocal_rank(["x"], {"a"}) == 0
    assert (success(["x", "y", "a"], {"a"}, 3), success(["x", "y", "a"], {"a"}, 2)) == (1, 0)


def test_all_measures_of_a_ranking_take_grades_above_zero_as_relevant() -> None:
    """The grade 0 of `x` makes it no second relevant item."""
    found = of_ranking(["x", "a"], {"a": 1, "x": 0})
    assert found["recall@3"] == 1
    assert found["MRR"] == pytest.approx(1 / 2)
    assert found["nDCG@10"] == pytest.approx(1 / math.log2(3))


def test_percentiles_are_nearest_ranks() -> None:
    """Of 1 to 20 the median is 10, and 95 of 100 are up to 19."""
    values = [float(number) for number in range(20, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.95)) == (10, 19)
    assert math.isnan(percentile([], 0.5))


def test_a_constant_difference_is_no_luck() -> None:
    """Every resample of equal differences has the same mean."""
    found = difference({str(each): 0.5 for each in range(30)}, {str(each): 0.25 for each in range(30)})
    assert found is not None
    assert (found.mean, found.low, found.high, found.queries) == (0.25, 0.25, 0.25, 30)
    assert found.p < 0.001


def test_no_difference_has_p_one() -> None:
    """Whatever luck does is at least as much as nothing."""
    scores = {"a": 0.3, "b": 0.9}
    found = difference(scores, scores)
    assert found is not None
    assert (found.mean, found.p) == (0, 1)


def test_a_difference_is_of_the_queries_that_both_runs_had_and_the_same_each_time() -> None:
    """One query more is left out; its seed makes the bootstrap repeatable."""
    now = {str(each): each % 7 / 10 for each in range(40)}
    before = {str(each): each % 5 / 10 for each in range(1, 60)}
    found = difference(now, before)
    assert found == difference(now, before)
    assert found is not None
    assert found.queries == 39
    assert found.low < found.mean < found.high
    assert difference({"a": 1.0}, {"b": 1.0}) is None


def test_a_document_stands_where_its_best_passage_does_with_its_copies() -> None:
    """The same bytes are one document, which is called by two names here."""
    shelf = Shelf("u", {"a": "1", "b": "2", "copy of a": "1"}, {})
    assert shelf.items(["2", "1", "2", "1"]) == ["b", "a", "copy of a"]


def test_one_passage_is_right() -> None:
    """It stands second."""
    assert of_passage(["x", "a"], "a") == {"MRR": 0.5, "recall@1": 0, "recall@5": 1}


def test_a_reply_is_right_when_it_has_one_of_the_answers_and_refused_when_it_is_not_grounded() -> None:
    """Case and white space do not count."""
    question = Question("q", "Where?", "p", ["in the  North", "north"], unanswerable=False)
    assert of_reply("It lies in the\nnorth [1].", True, question) == {"refused": 0, "right": 1}
    assert of_reply("The documents do not say.", False, question) == {"refused": 1, "right": 0}
    assert of_reply("Hm.", False, Question("q", "?", "p", [], unanswerable=True)) == {"refused": 1}


def test_evidence_counts_in_the_right_document_alone() -> None:
    """The same words elsewhere are another document's."""
    hits = [Hit("other", 0, 9, "up to 32 TB"), *[Hit("right", 0, 9, "-")] * 4, Hit("right", 0, 9, "up to  32\ntb")]
    found = of_evidence("32 TB", "right", "It is 32 TB.", hits)
    assert found == {"in the first 5": 0, "in the first 8": 1, "in the text": 1}


def test_passages_are_taken_while_they_fit_the_budget() -> None:
    """Word pieces are counted: the third would be the seventh."""
    hits = [Hit("d", 0, 1, "one two three"), Hit("d", 1, 2, "one two"), Hit("d", 2, 3, "one two"), Hit("d", 3, 4, "x")]
    assert within(hits, 6) == hits[:2]


def test_characters_are_found_and_gold_once_each() -> None:
    """Of ten gold characters five are found, by passages that overlap."""
    hits = [Hit("d", 0, 10, ""), Hit("d", 5, 15, ""), Hit("e", 10, 20, "")]
    assert of_characters(hits, places("d", [(10, 20)])) == {"recall": 0.5, "precision": 5 / 25}
    assert of_characters([], places("d", [(10, 20)])) == {"recall": 0, "precision": 0}


def test_texts_are_compared_without_white_space_case_and_compatible_forms() -> None:
    """A ligature and a narrow space are those of a PDF."""
    assert folded("The  ﬁrst\u202fSTEP\n") == "the first step"


@pytest.mark.parametrize(
    ("text", "wanted", "found"),
    [
        ("A **bold** claim, and more", "bold claim", "bold** claim"),
        ("a line\n\nbroken", "Line broken", "line\n\nbroken"),
        ("the  Chronicles", "the <unk> Chronicles", "the  Chronicles"),
    ],
)
def test_a_span_is_found_by_its_letters(text: str, wanted: str, found: str) -> None:
    """Marks and white space may differ, and tags be gone."""
    span = Letters(text).span(wanted)
    assert span is not None
    assert text[slice(*span)] == found


def test_of_several_places_the_nearest_is_taken() -> None:
    """`more` stands at both ends; `less` nowhere."""
    letters = Letters("more is not always more")
    assert (letters.span("more", 0.1), letters.span("more", 0.9)) == ((0, 4), (19, 23))
    assert letters.span("less") is None
    assert letters.span("--") is None
