from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.citations import CitationFilter, citations_in, without_marks
from app.domain.documents import Citation

GIVEN = (1, 2, 12)
TEXTS = st.text(alphabet="[]0129, `~\n>-.aé", max_size=120)


def filtered(*pieces: str) -> tuple[str, set[int]]:
    """A text that came in pieces, as it is passed on, and what it cites."""
    marks = CitationFilter(GIVEN)
    return "".join(map(marks.feed, pieces)) + marks.flush(), marks.cited


@pytest.mark.parametrize(
    ("text", "passed", "cited"),
    [
        ("Paris [1], or Rome [9].", "Paris [1], or Rome .", {1}),
        ("[1][2][12]", "[1][2][12]", {1, 2, 12}),
        ("[0][01][3][123456789012345678901234567890]", "", set()),
        (
            "One [1, 2], a range [0, 1], a list [10,20], [ 1 ].",
            "One [1, 2], a range [0, 1], a list [10,20], [ 1 ].",
            {1, 2},
        ),
        ("[1](https://x.example) [9](https://x.example)", "[1](https://x.example) (https://x.example)", {1}),
        ("A note[^1], a box [ ], [x], [], a [", "A note[^1], a box [ ], [x], [], a [", set()),
        ("[[9]9] [1[9]2] [[2]]", " [12] [[2]]", {2, 12}),
        ("[1", "[1", set()),
    ],
)
def test_marks(text: str, passed: str, cited: set[int]) -> None:
    """Numbers that were not given are taken out, marks alone; lists and all else stay."""
    assert filtered(text) == (passed, cited)


@pytest.mark.parametrize(
    "code",
    [
        "`a[9]`",
        "``a ` [9]``",
        "```\n[9]\n```",
        "```py\na[9]\n\n~~~\nb[9]\n```  ",
        "~~~~ info ` [9]\n[9]\n~~~\n[9]\n~~~~~",
        "> ```\n> [9]\n> ```",
        "1. ```\n   [9]\n   ```",
        "````\n```\n[9]\n````",
        "```\n[9] to the end\n",
    ],
)
def test_code_is_left_alone(code: str) -> None:
    """What stands in fences and spans is no mark, given or not; behind them marks count again."""
    assert filtered(code) == (code, set())
    assert filtered(f"{code.replace('9', '1')}") == (code.replace("9", "1"), set())
    if not code.endswith("\n"):
        assert filtered(f"{code}\n[9] [1]") == (f"{code}\n [1]", {1})


@pytest.mark.parametrize("text", ["a ` b [9]", "a ``` b [9]\n", "it`s [9]\nit`s", "~~ [9]", "a ~~~ [9]", "```x` [9]"])
def test_what_only_looks_like_code_is_text(text: str) -> None:
    """A run of backticks without its other half, and a fence that stands in a line, hide nothing."""
    assert filtered(text)[0] == text.replace("[9]", "")


@given(TEXTS, st.lists(st.integers(0, 120), max_size=12))
@example("``` `[9]\n``" + "[9]", [3, 4, 11])
@example("[" * 1_100 + "9]", [999, 1_000, 1_001])
@example("`" * 1_100 + "[9]`", [999, 1_000, 1_001])
@example("`" + "a[9]" * 300 + "`", [1, 998, 999, 1_000, 1_001])
def test_a_text_is_filtered_the_same_however_it_was_cut(text: str, cuts: list[int]) -> None:
    """Streamed and stored text are one."""
    places = [0, *sorted(cuts), len(text)]
    assert filtered(*(text[a:b] for a, b in itertools.pairwise(places))) == filtered(text)
    assert filtered(*text) == filtered(text)


@given(TEXTS)
def test_no_mark_that_was_not_given_is_left(text: str) -> None:
    """Without code in the text, no number in brackets is left that was not given."""
    passed, cited = filtered(text.replace("`", "").replace("~", ""))
    left = set(re.findall(r"\[([0-9]+)\]", passed))
    assert left <= {"1", "2", "12"}
    assert {int(number) for number in left} <= cited


def test_text_without_brackets_is_not_held_back() -> None:
    """Only what may become a mark or code waits; a line's end decides at the latest."""
    marks = CitationFilter(GIVEN)
    pieces = ["Paris", " is [", "1", "]", ", ~5 km, `co", "de`", " and"]
    assert [marks.feed(each) for each in pieces] == ["Paris", " is ", "", "[1]", ", ~5 km, ", "", "`code` and"]


def test_citations_are_sorted_by_marker() -> None:
    """A reply's citations are those of its candidates that it names, in the order of their numbers."""
    candidates = [
        Citation(
            n, document_id="d", document_name="a", chunk_id=f"d:{n}", page=None, start=n, end=n + 1, quote="x", score=1
        )
        for n in (1, 2, 3)
    ]
    assert [each.marker for each in citations_in("So [3]. And [1][3], not `[2]` nor [7].", candidates)] == [1, 3]
    assert citations_in("So.", candidates) == []


def test_earlier_replies_lose_their_marks() -> None:
    """Numbers of an earlier reply would be taken for those of the next one's passages; in code they are none."""
    assert without_marks("So [3]. And [12]: `a[1]`.") == "So . And : `a[1]`."
    assert without_marks("So [3]. And a[i].") == "So . And a[i]."
