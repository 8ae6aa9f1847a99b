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
    """What a reader of a reply would have, and whether any of it was sent."""

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
def test_thinking_is_parted_from_text(case: str, hold: bool, cuts: list[int]) -> None:
    """Marks at the beginning, and closing ones without an opening, part a reply the same however it is split."""
    whole, text, reasoning = CASES[case]
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    reader = Reader(hold=hold).read(*pieces)
    assert (reader.text, reader.reasoning) == (text, reasoning)


@pytest.mark.parametrize("case", CASES)
def test_thinking_is_parted_one_by_one(case: str) -> None:
    """The same where each character comes alone."""
    whole, text, reasoning = CASES[case]
    reader = Reader().read(*whole)
    assert (reader.text, reader.reasoning) == (text, reasoning)


def test_harmony_without_its_marks_is_parted() -> None:
    """Where a server has taken harmony's marks out, the names that are left part thinking from text."""
    pieces = ["analysis", "The user asks. ", "So: ", "assistant", "final", "Hi", " you"]
    assert Reader().read(*pieces).text == "Hi you"
    assert Reader().read("".join(pieces)).reasoning == "The user asks. So: "


def test_what_was_sent_stays_text() -> None:
    """Where somebody has been sent the beginning, only the mark is taken out, the blanks behind it are not."""
    reader = Reader(sent=True).read("hmm\n", "</think>", "\n\nHi")
    assert (reader.text, reader.reasoning, reader.thinking.closed_unopened) == ("hmm\n\n\nHi", "", True)


def test_a_beginning_is_held_until_it_is_released() -> None:
    """A model that is known for it shows nothing before the mark or the release; then as any other."""
    reader = Reader(sent=True, hold=True)
    reader.take(*reader.thinking.feed("hmm "))
    assert (reader.text, reader.thinking.is_holding) == ("", True)
    reader.take(*reader.thinking.release())
    assert (reader.text, reader.thinking.is_holding) == ("hmm ", False)
    reader.read("so</think>Hi")
    assert (reader.text, reader.reasoning) == ("hmm soHi", "")


def test_other_beginnings_are_not_held() -> None:
    """Text that begins as no mark does is given on as it comes."""
    reader = Reader()
    for piece in ("Hi", " <", "b>", " you"):
        reader.take(*reader.thinking.feed(piece))
    assert (reader.text, reader.thinking.is_holding) == ("Hi <b> you", False)
