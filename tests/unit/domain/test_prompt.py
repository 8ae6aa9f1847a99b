from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain.messages import WHITE_SPACE, has_text
from app.domain.prompt import Prompt, Window, build_prompt, message_tokens, to_ranges
from app.domain.turns import History, HistoryMessage, Summary
from app.errors import MessageTooLong

WINDOW = 128_000


def conversation(*pairs: tuple[str, str | None]) -> list[HistoryMessage]:
    """Return earlier turns, given as (question, reply or None), followed by the question 'now'."""
    messages: list[HistoryMessage] = []
    for place, (question, reply) in enumerate(pairs):
        number = 2 * place + 1
        messages.append(HistoryMessage(number, question, None))
        if reply is not None:
            messages.append(HistoryMessage(number + 1, reply, number))
    return [*messages, HistoryMessage(2 * len(pairs) + 1, "now", None)]


def history(*messages: tuple[int, str, int | None]) -> list[HistoryMessage]:
    return [HistoryMessage(*each) for each in messages]


def prompt_for(
    messages: list[HistoryMessage], *, window: int = WINDOW, system: str | None = None
) -> list[tuple[str, str]]:
    return role_texts(compose(History(system, messages), window))


def compose(given: History, window: int = WINDOW, **more: Any) -> Prompt:
    return build_prompt(given, given.messages[-1].sequence_number, Window.of(window, None, **more))


def role_texts(made: Prompt) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in made.messages]


def test_prompt_order() -> None:
    """The prompt is the system prompt, the earlier turns in sequence order, and the question."""
    assert prompt_for(conversation(("a", "A"), ("b", "B")), system="Be kind.") == [
        ("system", "Be kind."),
        ("user", "a"),
        ("assistant", "A"),
        ("user", "b"),
        ("assistant", "B"),
        ("user", "now"),
    ]


@pytest.mark.parametrize("reply", [None, "", " \n"])
def test_turn_without_a_reply_is_left_out(reply: str | None) -> None:
    """A turn whose reply has no text is left out together with its question."""
    assert prompt_for(conversation(("a", reply), ("b", "B"))) == [("user", "b"), ("assistant", "B"), ("user", "now")]


def test_white_space_is_equal_in_sql() -> None:
    """The characters that SQL trims are exactly those that Python counts as white space."""
    assert "".join(each for each in map(chr, range(0x110000)) if not has_text(each)) == WHITE_SPACE


def test_latest_reply_with_text_is_used() -> None:
    """A question is included once, with its latest reply that has text."""
    messages = history((1, "a", None), (2, "A", 1), (3, " \n", 1), (4, "now", None))
    assert prompt_for(messages) == [("user", "a"), ("assistant", "A"), ("user", "now")]


def test_reply_without_its_question_is_left_out() -> None:
    """A reply whose question was deleted is left out."""
    assert prompt_for(history((2, "A", 1), (3, "now", None))) == [("user", "now")]


def test_newest_turns_are_kept() -> None:
    """If the window is too small the oldest turns are left out, whole."""
    long = "x" * 400
    messages = conversation(*[(f"{n}{long}", long) for n in range(10)])
    sent = prompt_for(messages, window=1_200)
    assert sent[0] == ("user", f"8{long}")
    assert sent[-1] == ("user", "now")
    assert len(sent) == 5


def test_oversized_question_is_refused() -> None:
    """A question that does not fit is refused with the number of tokens that it needs."""
    with pytest.raises(MessageTooLong, match=r"8004 tokens.*room for 8000, 1024 of them"):
        prompt_for(history((1, "x" * 32_000, None)), window=8_000)
    assert prompt_for(history((1, "x" * 32_000, None)), window=9_100) == [("user", "x" * 32_000)]


def test_system_prompt_counts_for_the_limit() -> None:
    """System prompt and question have to fit the window together."""
    with pytest.raises(MessageTooLong, match="message and system prompt"):
        prompt_for(history((1, "x" * 2_000, None)), window=1_000, system="y" * 2_000)


def test_reply_takes_at_most_half() -> None:
    """The tokens reserved for a reply are at most half of the window."""
    assert Window.of(1_000, 900).prompt_budget == 500


def test_correction_shrinks_the_budget() -> None:
    """If the model counts twice as many tokens as the estimate, half as much history is sent."""
    messages = conversation(*[("q" * 400, "r" * 400) for _ in range(10)])
    plain, corrected = (compose(History(None, messages), 3_000, correction=by) for by in (1.0, 2.0))
    assert len(plain.record.sent) == len(corrected.record.sent) == 1
    assert (len(plain.messages), len(corrected.messages)) == (19, 9)
    assert corrected.record.tokens == 2 * corrected.estimate


def test_budget_depends_on_the_script() -> None:
    """Turns of equal length take the tokens of their script: fewer Chinese turns fit than English ones."""
    letters = {"q": 0.25, "\u0449": 0.4, "\u4e2d": 1.0}
    for letter, tokens in letters.items():
        made = compose(History(None, conversation(*[(letter * 400, letter * 400) for _ in range(30)])), 6_000)
        turn = 800 * tokens + 8
        assert len(made.messages) == 1 + 2 * min(30, int((6_000 - 1_024 - 5) // turn))
        assert made.estimate == 5 + (len(made.messages) - 1) / 2 * turn


def test_prompt_record() -> None:
    """The record has the sent sequence numbers as ranges, the cut and the question's number."""
    messages = conversation(("x" * 4_000, "X"), ("a", "A"), ("b", None), ("c", "C"))
    made = compose(History("Be kind.", messages), 1_200)
    assert (made.record.sent, made.record.dropped_up_to, made.record.question_number) == (((3, 4), (7, 8)), 2, 9)
    assert made.record.system_tokens == message_tokens("Be kind.")


def test_summary_in_the_system_message() -> None:
    """A summary follows the system prompt in the same message, and the record has what it covers."""
    messages = history((5, "c", None), (6, "C", 5), (7, "now", None))
    made = compose(History("Be kind.", messages, Summary("id", 4, "They greeted.")))
    [(role, system), *rest] = role_texts(made)
    assert (role, system.splitlines()[0], system.splitlines()[-1]) == ("system", "Be kind.", "They greeted.")
    assert rest == [("user", "c"), ("assistant", "C"), ("user", "now")]
    assert (made.record.summary_id, made.record.summarised_up_to, made.record.dropped_up_to) == ("id", 4, 0)


def test_oversized_summary_is_left_out() -> None:
    """A summary longer than half of the budget is left out in favour of the messages."""
    messages = history((5, "c", None), (6, "C", 5), (7, "now", None))
    made = compose(History(None, messages, Summary("id", 4, "s" * 4_000)), 1_000)
    assert (made.record.summary_id, made.record.summarised_up_to) == (None, 4)
    assert role_texts(made)[0] == ("user", "c")


def test_halved_window() -> None:
    """After a refusal half of the history is sent with the whole question; without history there is no half."""
    messages = conversation(*[("q" * 400, "r" * 400) for _ in range(8)])
    window = Window.of(WINDOW, None)
    made = build_prompt(History("Be kind.", messages), 17, window)
    smaller = window.halved(made)
    assert smaller is not None
    again = build_prompt(History("Be kind.", messages), 17, smaller)
    assert (len(made.messages), len(again.messages)) == (18, 10)
    assert window.halved(build_prompt(History(None, history((1, "now", None))), 1, window)) is None


@given(st.sets(st.integers(min_value=1, max_value=60)))
def test_ranges_round_trip(numbers: set[int]) -> None:
    """Ranges hold exactly their numbers and are as few as possible."""
    found = to_ranges(sorted(numbers))
    assert {number for first, last in found for number in range(first, last + 1)} == numbers
    assert all(last + 1 < following for (_, last), (following, _) in itertools.pairwise(found))


texts = st.text(max_size=300)


@given(
    pairs=st.lists(st.tuples(texts, st.none() | texts), max_size=30),
    window=st.integers(min_value=400, max_value=4_000),
    system=st.none() | texts,
    correction=st.floats(min_value=0.5, max_value=4),
)
def test_roles_alternate_and_turns_fit(
    pairs: list[tuple[str, str | None]], window: int, system: str | None, correction: float
) -> None:
    """In any conversation roles alternate, the question is last, and the earlier turns fit the window."""
    try:
        made = compose(History(system, conversation(*pairs)), window, correction=correction)
    except MessageTooLong:
        assume(False)
    roles = [message["role"] for message in made.messages if message["role"] != "system"]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert made.messages[-1]["content"] == "now"
    assert sum(message_tokens(message["content"]) for message in made.messages) - len(made.messages) <= made.estimate
    assert made.estimate * correction <= window
    smaller = Window.of(window, None, correction).halved(made)
    assert smaller is None or build_prompt(History(system, conversation(*pairs)), 2 * len(pairs) + 1, smaller)
