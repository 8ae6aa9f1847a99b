from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.citations import CitationFilter, citations_in, without_marks
from app.domain.reply_scanner import HELD_CHARACTERS
from tests.support.citations import candidates

GIVEN = (1, 2, 12)
TEXTS = st.text(alphabet="[]0129, `~\n>-.aé", max_size=120)
WORDS = (
    "[1] [9] [2 [^1] [^1]: [1]: [1,2] [1,9] [8-9] 【1】 【9†x】 [passage_1] [ ] [[ ]] [x] ( ) : . , 5 { } f( $ $$ `"
    r" `` ``` ~~~ \( \) \[ \] a a1 Paris x= + http://x - # | > <code> </code> <pre> é 中 doc"
)
SPACES = [" ", " ", "\n", "\n\n", "    ", "- ", "\n```\n", "\\"]
PIECES = st.lists(st.sampled_from(WORDS.split() + SPACES), max_size=40).map("".join)


def filtered(*pieces: str) -> tuple[str, set[int]]:
    """Return the filtered text of these deltas and the numbers that it cites."""
    marks = CitationFilter(GIVEN)
    return "".join(map(marks.feed, pieces)) + marks.flush(), marks.cited


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


@pytest.mark.parametrize("text", ["~~ [9]", "a ~~~ [9]", "a ` b\n\n[9]", "\\`[9]"])
def test_incomplete_code_is_text(text: str) -> None:
    """A short or escaped run, a fence within a line, and an open span of an earlier paragraph protect nothing."""
    assert filtered(text)[0] == text.replace("[9]", "")


@given(TEXTS | PIECES, st.lists(st.integers(0, 120), max_size=12))
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
    prose = re.sub(r"[`~a]| {4,}", "", text)
    passed, cited = filtered(prose)
    left = set(re.findall(r"\[([0-9]{1,3})\]", passed))
    assert left <= {"1", "2", "12"}
    assert {int(number) for number in left} <= cited


@settings(derandomize=True, max_examples=300)
@given(PIECES)
def test_filter_is_idempotent(text: str) -> None:
    """Filtering the released text again changes nothing, so the stored text has the citations of the stream."""
    passed, cited = filtered(text)
    assert filtered(passed) == (passed, cited)
    assert {each.marker for each in citations_in(passed, candidates(12))} & set(GIVEN) == cited


def test_plain_text_is_not_delayed() -> None:
    """Only text that may become a mark waits, up to the character behind it."""
    marks = CitationFilter(GIVEN)
    pieces = ["Paris", " is [", "1", "]", ", ~5 km, `co", "de", "` and [so", "me", "] $5 [", "2].", " `"]
    released = ["Paris", " is ", "", "", "[1], ~5 km, `co", "de", "` and ", "[some", "] $5 ", "[2].", " "]
    assert [marks.feed(each) for each in pieces] == released


def test_citations_sorted_by_marker() -> None:
    """A reply's citations are the candidates that it names, sorted by number."""
    assert [each.marker for each in citations_in("So [3]. And [1][3], not `[2]` nor [7].", candidates(3))] == [1, 3]
    assert citations_in("So.", candidates(3)) == []


def test_marks_of_earlier_replies_removed() -> None:
    """Markers are removed from earlier replies, whose numbers belong to other passages; code is unchanged."""
    assert without_marks("So [3]. And [12]: `a[1]`.") == "So . And : `a[1]`."
    assert without_marks("So [3]. And a[i].") == "So . And a[i]."


@pytest.mark.parametrize("text", ["[^1] x", "$x [1]5", "[1, ", "[", "`", "[passage", "[1]: x"])
def test_held_text_is_bounded(text: str) -> None:
    """At most `HELD_CHARACTERS` are held back, whatever may follow."""
    marks = CitationFilter(GIVEN)
    released = 0
    for fed, character in enumerate((text * 3_000)[:3_000], 1):
        released += len(marks.feed(character))
        assert fed - released <= HELD_CHARACTERS


def test_footnotes_wait_once() -> None:
    """A `[^1]` waits for its definition; after one that was not defined soon, others are marks at once."""
    marks = CitationFilter(GIVEN)
    assert marks.feed("Paris[^1]. ") == "Paris"
    assert marks.feed("x" * HELD_CHARACTERS).startswith("[1]. x")
    assert marks.feed(" Rome[^2], ") == " Rome[2], "
    assert marks.feed("\n[^2]: A note.\n") == "\n[^2]: A note.\n"


def work_of(run: Callable[[], object]) -> int:
    """Return the number of calls of functions."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return calls


HOSTILE = ["[", "[1, ", "[[1] ", "`", "` ", "$x [1] ", "$x[1]5$5 ", r"\( [1] ", "[^1] ", "[x][1] ", "【", "<code>"]


@pytest.mark.parametrize("unit", HOSTILE)
def test_work_is_linear(unit: str) -> None:
    """Each character costs at most a hundred calls, of which none reads more than the held text."""
    marks = CitationFilter(GIVEN)
    text = (unit * 2_000)[:2_000]
    assert work_of(lambda: [marks.feed(each) for each in text]) <= 100 * len(text)
