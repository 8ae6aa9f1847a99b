from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.context import cost, prompt
from app.domain.turns import History, HistoryMessage

WINDOW = 128_000


def conversation(*pairs: tuple[str, str | None]) -> list[HistoryMessage]:
    """Earlier turns as (question, reply), a reply of None being none, and the question 'now' at their end."""
    messages: list[HistoryMessage] = []
    for place, (question, reply) in enumerate(pairs):
        number = 2 * place + 1
        messages.append((number, question, None))
        if reply is not None:
            messages.append((number + 1, reply, number))
    return [*messages, (2 * len(pairs) + 1, "now", None)]


def told(messages: list[HistoryMessage], *, window: int = WINDOW, system: str | None = None) -> list[tuple[str, str]]:
    question = messages[-1][0]
    return [(m["role"], m["content"]) for m in prompt(History(system, messages), question, window, None)]


def test_a_model_is_told_system_prompt_turns_and_question_in_order() -> None:
    """The prompt is the system prompt, the earlier turns in sequence order, and the question."""
    assert told(conversation(("a", "A"), ("b", "B")), system="Be kind.") == [
        ("system", "Be kind."),
        ("user", "a"),
        ("assistant", "A"),
        ("user", "b"),
        ("assistant", "B"),
        ("user", "now"),
    ]


@pytest.mark.parametrize("reply", [None, "", " \n"])
def test_a_turn_without_a_reply_is_left_out_whole(reply: str | None) -> None:
    """A turn that has no text to show for itself is not told, and neither is its question."""
    assert told(conversation(("a", reply), ("b", "B"))) == [("user", "b"), ("assistant", "B"), ("user", "now")]


def test_a_reply_whose_question_was_deleted_is_left_out() -> None:
    """Half a turn is not told."""
    assert told([(2, "A", 1), (3, "now", None)]) == [("user", "now")]


def test_the_newest_turns_that_fit_are_told() -> None:
    """Where the window is too small for all, the oldest turns go, whole."""
    long = "x" * 400
    messages = conversation(*[(f"{n}{long}", long) for n in range(10)])
    sent = told(messages, window=1_200)
    assert sent[0] == ("user", f"8{long}")
    assert sent[-1] == ("user", "now")
    assert len(sent) == 5


def test_the_question_is_told_whole_however_long() -> None:
    """A question longer than the window is left to the provider to refuse."""
    assert told([(1, "x" * 32_000, None)], window=100) == [("user", "x" * 32_000)]


texts = st.text(max_size=300)


@given(
    pairs=st.lists(st.tuples(texts, st.none() | texts), max_size=30),
    window=st.integers(min_value=1, max_value=4_000),
    system=st.none() | texts,
)
def test_roles_alternate_and_earlier_turns_fit(
    pairs: list[tuple[str, str | None]], window: int, system: str | None
) -> None:
    """For any conversation user and assistant alternate, end with the question, and what is earlier fits."""
    sent = prompt(History(system, conversation(*pairs)), 2 * len(pairs) + 1, window, None)
    roles = [message["role"] for message in sent if message["role"] != "system"]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert sent[-1]["content"] == "now"
    if len(roles) > 1:
        assert sum(map(cost, sent)) - len(sent) <= window
