from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.think_tags import MARKS, ReasoningSplitter

HARMONY = "<|channel|>analysis<|message|>hmm<|end|><|start|>assistant<|channel|>final<|message|>Hi you<|return|>"
TOOLS = "<|start|>assistant<|channel|>commentary to=f <|constrain|>json<|message|>{}<|call|>"

CASES = {
    "none": ("Hi you", "Hi you", ""),
    "blanks": ("\n\n Hi", "\n\n Hi", ""),
    "a mark later": ("Use <think> and </think>.", "Use <think> and </think>.", ""),
    "a quoted closing mark": ("The mark `</think>` ends it.", "The mark `</think>` ends it.", ""),
    "another opening": ("<thinker>", "<thinker>", ""),
    "nothing but the start of a mark": ("<thin", "<thin", ""),
    "no closing mark": ("<think>hmm", "", "hmm"),
    "harmony": (HARMONY, "Hi you", "hmm"),
    "harmony, final alone": ("<|channel|>final<|message|>Hi", "Hi", ""),
    "harmony, a call": (TOOLS + HARMONY, "Hi you", "{}hmm"),
    "harmony, no end": ("<|start|>assistant<|channel|>analysis<|message|>hmm", "", "hmm"),
    "harmony, no message": ("<|channel|>analysis", "", ""),
    "harmony, no header": ("<|channel|>" + "x" * 300, "x" * 300, ""),
    "analysis as a word": ("analysis of it", "analysis of it", ""),
    "analysis alone": ("analysis", "analysis", ""),
    "Gemma's, unnamed": ("<|channel>\nhmm<channel|>Hi", "Hi", "\nhmm"),
    "Gemma's, closed alone": ("hmm<channel|>Hi", "Hi", "hmm"),
    "closed, not opened": ("hmm\n</think>\n\nHi", "Hi", "hmm\n"),
    "closed at once": ("</think>\n\nHi", "Hi", ""),
    "closed twice": ("hmm</think>Hi </think> you", "Hi </think> you", "hmm"),
    "closed as Magistral does": ("hmm[/THINK]Hi", "Hi", "hmm"),
    "closed after a quoted one": ("`</think>`? hmm</think>Hi", "Hi", "`</think>`? hmm"),
}
for opening, closing in MARKS.items():
    thought = f"\nhmm, 1 < 2 {closing[:3]}\n"
    CASES[opening] = f" \n{opening}{thought}{closing}\n\nHi {opening} you", f"Hi {opening} you", thought


class Reader:
    """A reader of a reply, which may have received text already."""

    def __init__(self, *, sent: bool = False, hold: bool = False) -> None:
        self.text = self.reasoning = ""
        self.sent = sent
        self.thinking = ReasoningSplitter(self.retract, hold=hold)

    def retract(self) -> str | None:
        if self.sent and self.text:
            return None
        text, self.text = self.text, ""
        return text

    def read(self, *pieces: str) -> Reader:
        for piece in pieces:
            self.take(*self.thinking.feed(piece))
        self.take(*self.thinking.flush())
        return self

    def take(self, text: str, reasoning: str) -> None:
        self.text += text
        self.reasoning += reasoning


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("case", CASES)
@given(cuts=st.lists(st.integers(0, 400), max_size=8))
def test_reasoning_is_separated(case: str, hold: bool, cuts: list[int]) -> None:
    """Reasoning marks at the beginning, and an unopened closing mark, separate a reply the same for any split."""
    whole, text, reasoning = CASES[case]
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    reader = Reader(hold=hold).read(*pieces)
    assert (reader.text, reader.reasoning) == (text, reasoning)


@pytest.mark.parametrize("case", CASES)
def test_reasoning_is_separated_by_character(case: str) -> None:
    """The result is the same if each character comes alone."""
    whole, text, reasoning = CASES[case]
    reader = Reader().read(*whole)
    assert (reader.text, reader.reasoning) == (text, reasoning)


def test_harmony_without_marks() -> None:
    """If a server has removed harmony's marks, the remaining channel names separate reasoning from text."""
    pieces = ["analysis", "The user asks. ", "So: ", "assistant", "final", "Hi", " you"]
    assert Reader().read(*pieces).text == "Hi you"
    assert Reader().read("".join(pieces)).reasoning == "The user asks. So: "


def test_sent_text_is_not_retracted() -> None:
    """Text that a reader has received stays; only the closing mark is removed from it."""
    reader = Reader(sent=True).read("hmm\n", "</think>", "\n\nHi")
    assert (reader.text, reader.reasoning, reader.thinking.closed_unopened) == ("hmm\n\n\nHi", "", True)


def test_beginning_is_held_until_release() -> None:
    """With `hold` nothing is returned before the mark or the release; after it as usual."""
    reader = Reader(sent=True, hold=True)
    reader.take(*reader.thinking.feed("hmm "))
    assert (reader.text, reader.thinking.is_holding) == ("", True)
    reader.take(*reader.thinking.release())
    assert (reader.text, reader.thinking.is_holding) == ("hmm ", False)
    reader.read("so</think>Hi")
    assert (reader.text, reader.reasoning) == ("hmm soHi", "")


def test_other_beginnings_are_not_held() -> None:
    """Text that begins without a mark is passed on as it arrives."""
    reader = Reader()
    for piece in ("Hi", " <", "b>", " you"):
        reader.take(*reader.thinking.feed(piece))
    assert (reader.text, reader.thinking.is_holding) == ("Hi <b> you", False)
