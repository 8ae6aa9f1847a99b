from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.citations import citations_in
from app.domain.documents import Passage
from app.domain.grounded_prompt import build_grounded_prompt, candidates_of, delimited, with_instruction
from app.domain.prompt import Window
from app.domain.turns import History, HistoryMessage
from app.errors import MessageTooLong

MARK = "0123456789abcdef"
EARLIER = [HistoryMessage(1, "Hello", None), HistoryMessage(2, "Hi.", 1)]
QUESTION = HistoryMessage(3, "When was it built?", None)
HISTORY = History("Be brief.", [*EARLIER, QUESTION])


def passage(text: str, **more: object) -> Passage:
    """Return a passage of a document."""
    return replace(Passage("d:0", "d", "a.txt", None, 0, len(text), text, 1.0), **more)  # type: ignore[arg-type]  # names of its fields


def test_passages_precede_the_question() -> None:
    """The prompt has one system message, alternating roles, and the passages before the question in the last one."""
    made = build_grounded_prompt(
        HISTORY, 3, Window(8_000), [passage("Built in 1889.", page=4, heading="Paris > Tower")], MARK
    )
    assert [each["role"] for each in made.messages] == ["system", "user", "assistant", "user"]
    assert made.messages[0]["content"] == with_instruction("Be brief.")
    assert made.messages[-1]["content"] == (
        f'<passage 1 {MARK} document="a.txt" page="4" section="Paris \u203a Tower">\n'
        f"Built in 1889.\n</passage 1 {MARK}>\n\n"
        "When was it built?"
    )
    assert (made.question, made.record.passage_count) == ("When was it built?", 1)


@given(st.integers(300, 6_000), st.lists(st.integers(1, 3_000), max_size=8), st.floats(0.5, 4))
def test_passages_fit_the_window(tokens: int, lengths: list[int], correction: float) -> None:
    """The best passages come first and whole, the question is whole, and the prompt fits the window."""
    window = Window.of(tokens, None, correction)
    found = [passage("w" * length) for length in lengths]
    try:
        made = build_grounded_prompt(HISTORY, 3, window, found, MARK)
    except MessageTooLong:
        assert window.prompt_budget < 250
        return
    assert made.estimate <= window.prompt_budget
    assert made.messages[-1]["content"].endswith(QUESTION.content)
    assert made.messages[-1]["content"].count("</passage") == made.record.passage_count
    smaller = window.halved(made)
    assert smaller is None or build_grounded_prompt(HISTORY, 3, smaller, found, MARK).estimate < made.estimate


def test_smaller_window_keeps_the_numbers() -> None:
    """A prompt for a smaller window has fewer passages under the same numbers."""
    found = [passage(f"{number} " + "w" * 800) for number in range(1, 6)]
    large, small = (
        build_grounded_prompt(HISTORY, 3, Window.of(tokens, None), found, MARK) for tokens in (9_000, 2_500)
    )
    assert (large.record.passage_count, small.record.passage_count) == (5, 2)
    for made in (large, small):
        for number in range(1, made.record.passage_count + 1):
            assert f'<passage {number} {MARK} document="a.txt">\n{number} w' in made.messages[-1]["content"]


@pytest.mark.parametrize(
    "text",
    [
        "</passage 1 x>",
        "< / PASSAGE",
        "<passages>",
        "<|im_end|>",
        "\uff1cpassage",
        "<<SYS>>",
        "</s>",
        "<start_of_turn>",
        "[INST]",
        "[/inst]",
        "<system>",
    ],
)
def test_imitated_marks_are_defused(text: str) -> None:
    """Text that resembles a passage delimiter or a chat template mark has its first character replaced."""
    [block] = delimited([passage(text)], MARK)
    assert text not in block
    assert text.strip("<\uff1c[") in block


def test_harmless_markup_is_unchanged() -> None:
    """Code and markup that mean nothing to a model are passed on unchanged."""
    text = "if a < b: <div> x[1] x[INSTANCE] <stdio.h>"
    assert text in delimited([passage(text)], MARK)[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Built in 1889 [3].", "Built in 1889 (3)."),
        ("As Smith [3, 4] and [5-7] say[8]", "As Smith (3, 4) and (5-7) say(8)"),
        ("東京【3】\uff3b4\uff3d", "東京(3)(4)"),
        ("【3†source】 [^3] [passage 3] [source: 1]", "(3†source) (^3) (passage 3) (source: 1)"),
        ("[^3]: A note.\n[3]: https://x.example", "(^3): A note.\n(3): https://x.example"),
        ("[3](https://x.example) [[3]]", "(3)(https://x.example) ((3))"),
        ("    [3] Smith, 2020", "    (3) Smith, 2020"),
    ],
)
def test_marks_of_documents_are_harmless(text: str, shown: str) -> None:
    """A document's own marks stand in parentheses, in its name and headings too; its citation has its exact text."""
    found = passage(text, document_name=text, heading=text)
    [block] = delimited([found], MARK)
    assert f">\n{shown}\n</" in block
    assert "[" not in block
    assert citations_in(block, candidates_of([found] * 9)) == []
    assert candidates_of([found])[0].quote == text


@pytest.mark.parametrize(
    "text",
    [
        "In [2024] a[1] and arr[i][2]",
        "v = [3, 4]; f([1, 2])",
        "Use `[3]` as\n```py\nreturn [3]\n```",
        "m = [\n    [1, 2],\n    [3, 4],\n]",
    ],
)
def test_code_of_documents_is_unchanged(text: str) -> None:
    """Years, indices, vectors and code in a document reach the model as they are."""
    assert text in delimited([passage(text)], MARK)[0]
