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
    """Return the filtered text of these deltas and the numbers that it cites."""
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
    """Markers of passages that were not given are removed when they stand alone; lists and other text stay."""
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
def test_code_is_unchanged(code: str) -> None:
    """Numbers within code fences and code spans are no markers; after the code they count again."""
    assert filtered(code) == (code, set())
    assert filtered(f"{code.replace('9', '1')}") == (code.replace("9", "1"), set())
    if not code.endswith("\n"):
        assert filtered(f"{code}\n[9] [1]") == (f"{code}\n [1]", {1})


@pytest.mark.parametrize("text", ["a ` b [9]", "a ``` b [9]\n", "it`s [9]\nit`s", "~~ [9]", "a ~~~ [9]", "```x` [9]"])
def test_incomplete_code_is_text(text: str) -> None:
    """A run of backticks without its other half and a fence within a line protect nothing."""
    assert filtered(text)[0] == text.replace("[9]", "")


@given(TEXTS, st.lists(st.integers(0, 120), max_size=12))
@example("``` `[9]\n``" + "[9]", [3, 4, 11])
@example("[" * 1_100 + "9]", [999, 1_000, 1_001])
@example("`" * 1_100 + "[9]`", [999, 1_000, 1_001])
@example("`" + "a[9]" * 300 + "`", [1, 998, 999, 1_000, 1_001])
def test_filter_ignores_the_split(text: str, cuts: list[int]) -> None:
    """Any split into deltas gives the same text, so streamed and stored text are equal."""
    places = [0, *sorted(cuts), len(text)]
    assert filtered(*(text[a:b] for a, b in itertools.pairwise(places))) == filtered(text)
    assert filtered(*text) == filtered(text)


@given(TEXTS)
def test_unknown_marks_are_removed(text: str) -> None:
    """In a text without code no number in brackets remains that was not given."""
    passed, cited = filtered(text.replace("`", "").replace("~", ""))
    left = set(re.findall(r"\[([0-9]+)\]", passed))
    assert left <= {"1", "2", "12"}
    assert {int(number) for number in left} <= cited


def test_plain_text_is_not_delayed() -> None:
    """Only text that may become a marker or code waits, until the end of its line at most."""
    marks = CitationFilter(GIVEN)
    pieces = ["Paris", " is [", "1", "]", ", ~5 km, `co", "de`", " and"]
    assert [marks.feed(each) for each in pieces] == ["Paris", " is ", "", "[1]", ", ~5 km, ", "", "`code` and"]


def test_citations_sorted_by_marker() -> None:
    """A reply's citations are the candidates that it names, sorted by number."""
    candidates = [
        Citation(
            n, document_id="d", document_name="a", chunk_id=f"d:{n}", page=None, start=n, end=n + 1, quote="x", score=1
        )
        for n in (1, 2, 3)
    ]
    assert [each.marker for each in citations_in("So [3]. And [1][3], not `[2]` nor [7].", candidates)] == [1, 3]
    assert citations_in("So.", candidates) == []


def test_marks_of_earlier_replies_removed() -> None:
    """Markers are removed from earlier replies, whose numbers belong to other passages; code is unchanged."""
    assert without_marks("So [3]. And [12]: `a[1]`.") == "So . And : `a[1]`."
    assert without_marks("So [3]. And a[i].") == "So . And a[i]."
