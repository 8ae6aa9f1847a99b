from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.documents import Passage
from app.domain.grounded_prompt import (
    NOTHING_FOUND,
    delimited,
    document_openings,
    grounded_prompt,
    instructed,
    outlined,
    quoted,
)
from app.domain.prompt import Window
from app.domain.turns import History, HistoryMessage
from app.errors import MessageTooLong

MARK = "0123456789abcdef"
EARLIER: list[HistoryMessage] = [(1, "Hello", None), (2, "Hi.", 1)]
QUESTION: HistoryMessage = (3, "When was it built?", None)
HISTORY = History("Be brief.", [*EARLIER, QUESTION])


def passage(text: str, **more: object) -> Passage:
    """A passage of a document."""
    return replace(Passage("d:0", "d", "a.txt", None, 0, len(text), text, 1.0), **more)  # type: ignore[arg-type]  # names of its fields


def test_passages_stand_before_the_question() -> None:
    """One system message, alternating roles, and the passages with where they are from in the last user message."""
    made = grounded_prompt(
        HISTORY, 3, Window(8_000), [passage("Built in 1889.", page=4, heading="Paris > Tower")], MARK
    )
    assert [each["role"] for each in made.messages] == ["system", "user", "assistant", "user"]
    assert made.messages[0]["content"] == instructed("Be brief.")
    assert made.messages[-1]["content"] == (
        f'<passage 1 {MARK} document="a.txt" page="4" section="Paris \u203a Tower">\n'
        f"Built in 1889.\n</passage 1 {MARK}>\n\n"
        "When was it built?"
    )
    assert (made.asked, made.draft, made.context.passages) == ("When was it built?", False, 1)


@given(st.integers(300, 6_000), st.lists(st.integers(1, 3_000), max_size=8), st.floats(0.5, 4))
def test_passages_take_half_of_the_room_and_fit(tokens: int, lengths: list[int], correction: float) -> None:
    """The best passages come first and whole; prompt and reply stay within the window, the question is whole."""
    window = Window.of(tokens, None, correction)
    found = [passage("w" * length) for length in lengths]
    try:
        made = grounded_prompt(HISTORY, 3, window, found, MARK)
    except MessageTooLong:
        assert window.room < 250
        return
    assert made.estimate <= window.room
    assert made.messages[-1]["content"].endswith(QUESTION[1])
    assert made.messages[-1]["content"].count("</passage") == made.context.passages
    smaller = window.smaller(made)
    assert smaller is None or grounded_prompt(HISTORY, 3, smaller, found, MARK).estimate < made.estimate


def test_numbers_are_the_same_in_a_smaller_window() -> None:
    """Whoever is asked next gets fewer passages, under the numbers that they had."""
    found = [passage(f"{number} " + "w" * 800) for number in range(1, 6)]
    large, small = (grounded_prompt(HISTORY, 3, Window.of(tokens, None), found, MARK) for tokens in (9_000, 2_500))
    assert (large.context.passages, small.context.passages) == (5, 2)
    for made in (large, small):
        for number in range(1, made.context.passages + 1):
            assert f'<passage {number} {MARK} document="a.txt">\n{number} w' in made.messages[-1]["content"]


def test_a_model_that_cannot_cite_is_told_little() -> None:
    """It gets the best passage, no history and a plain instruction, and what it writes is a draft."""
    found = [passage("w" * 900), passage("v" * 900)]
    made = grounded_prompt(HISTORY, 3, Window(4_096, cites=False), found, MARK)
    assert [each["role"] for each in made.messages] == ["system", "user"]
    assert "cite" not in made.messages[0]["content"]
    assert (made.draft, made.context.passages, made.context.sent, made.context.cut) == (True, 1, (), 2)


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
def test_look_alikes_are_defused(text: str) -> None:
    """What looks like a mark of ours or of a chat template begins with another character."""
    [block] = delimited([passage(text)], MARK)
    assert text not in block
    assert text.strip("<\uff1c[") in block


def test_what_only_resembles_them_stays() -> None:
    """Code and mark-up that mean nothing to a model are told as they are."""
    text = "if a < b: <div> [1] x[INSTANCE] <stdio.h>"
    assert text in delimited([passage(text)], MARK)[0]


def test_a_quote_stands_behind_what_it_supports() -> None:
    """A draft with support is shown with sentence, number and source; without, the quote stands alone."""
    found = [passage("It is high. It was built in 1889[7].", page=2), passage("Nothing.")]
    quote = "“It was built in 1889.” [1] (a.txt, page 2)"
    assert quoted("It was built in 1889.\nOr so.", "When was it built?", found) == f"It was built in 1889.\n\n{quote}"
    assert quoted("It was built in 1066.", "When was it built?", found) == quote
    assert quoted("", "When was it built?", []) == NOTHING_FOUND


def test_documents_are_outlined_by_their_own_words() -> None:
    """By their headings, or how they begin, each with its mark and source."""
    found = [passage("A text. More.", heading="Taxes; Income"), passage("It begins here. More.", page=1)]
    assert outlined(found) == "a.txt: Taxes; Income [1]\na.txt, page 1: “It begins here.” [2]"


def test_openings_are_of_the_documents_that_are_named() -> None:
    """One that is named is told whole; several are each cut, at spans that are real."""
    found = [passage("word " * 200, document_name=name) for name in ("tax.pdf", "zoo.md")]
    assert document_openings("Summarise Tax.pdf", found) == found[:1]
    for each in document_openings("Summarise all", found):
        assert (each.end - each.start, each.text) == (len(each.text), found[0].text[: len(each.text)])
        assert len(each.text) <= 400
