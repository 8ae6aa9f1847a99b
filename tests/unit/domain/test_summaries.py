from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.prompt import PromptRecord
from app.domain.summaries import material, summarise_up_to
from app.domain.token_estimate import cut_to_tokens
from app.domain.turns import HistoryMessage


def turns(*lengths: int) -> list[HistoryMessage]:
    """Return turns whose replies have these lengths in characters."""
    return [
        message
        for n, length in enumerate(lengths)
        for message in (HistoryMessage(2 * n + 1, "q", None), HistoryMessage(2 * n + 2, "r" * length, 2 * n + 1))
    ]


def test_material_is_whole_turns() -> None:
    """As many whole turns as fit half of the budget are summarised at once."""
    text, reached = material(turns(50, 50, 50, 50), 80)
    assert reached == 4
    assert text == f"User: q\n\nAssistant: {'r' * 50}\n\nUser: q\n\nAssistant: {'r' * 50}"


def test_oversized_turn_is_cut() -> None:
    """One turn is always taken, cut if it is too long, so that summarising makes progress."""
    text, reached = material(turns(10_000), 100)
    assert (text, reached) == (cut_to_tokens(f"User: q\n\nAssistant: {'r' * 200}", 50), 2)


def test_half_of_the_history_is_summarised() -> None:
    """A summary also covers half of the sent history, to the end of a turn, so that the next one is due later."""
    assert summarise_up_to(PromptRecord(question_number=13, sent=((5, 12),), dropped_up_to=4)) == 8
    assert summarise_up_to(PromptRecord(question_number=11, sent=((5, 6), (9, 10)), dropped_up_to=4)) == 6
    assert summarise_up_to(PromptRecord(question_number=7, sent=((5, 6),), dropped_up_to=4)) == 4
    assert summarise_up_to(PromptRecord(question_number=5, dropped_up_to=4)) == 4


@given(st.lists(st.integers(0, 300), max_size=12), st.integers(min_value=2, max_value=400))
def test_material_fits_and_progresses(lengths: list[int], room: int) -> None:
    """For any conversation the material fits half of the budget, ends with a turn and makes progress."""
    text, reached = material(turns(*lengths), room)
    assert len(text) <= room // 2 * 4 + 2 * len(lengths)
    assert reached % 2 == 0
    assert (reached > 0) == bool(lengths)
