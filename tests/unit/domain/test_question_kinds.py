from __future__ import annotations

import pytest

from app.domain.question_kinds import is_follow_up, is_small_talk, wants_rephrasing


@pytest.mark.parametrize(
    "message",
    [
        "hi",
        "Hi there!",
        "Thanks!",
        "ok",
        "OK, thank you very much :)",
        "Hello, how are you?",
        "👍",
        "Danke schön",
        "¡Gracias!",
        "谢谢",
        "D\u2019accord, merci.",
    ],
)
def test_small_talk(message: str) -> None:
    """Greetings and thanks in several languages, alone or together, need no search."""
    assert is_small_talk(message)


@pytest.mark.parametrize(
    "message", ["hi, what is the notice period?", "Is it ok?", "good reasons", "Hello world program", "1889", "no"]
)
def test_question_is_not_small_talk(message: str) -> None:
    """A message with any other word is searched for."""
    assert not is_small_talk(message)


def test_rephrasing() -> None:
    """A request for a shorter, translated or rephrased reply needs no search."""
    wants = ("Shorter please", "Translate that into German.", "make it shorter", "rephrase your last answer")
    assert all(map(wants_rephrasing, wants))
    assert not any(map(wants_rephrasing, ("Translate chapter 2", "make a list of fees", "It is shorter than what?")))


@pytest.mark.parametrize(
    "question", ["And in 2023?", "What about Paris?", "When was it built?", "Why?", "Und wie hoch ist er?"]
)
def test_follow_up(question: str) -> None:
    """A short question, or one that refers back, is a follow-up."""
    assert is_follow_up(question)


def test_complete_question_is_no_follow_up() -> None:
    """A question with names in place of pronouns is no follow-up."""
    assert not is_follow_up("When was the Eiffel Tower in Paris built?")
