from __future__ import annotations

from dataclasses import replace

from app.domain.documents import Passage
from app.domain.extractive import (
    best_sentence,
    build_extractive_prompt,
    closest_quote,
    content_words,
    is_supported,
    outline_answer,
    quoted_answer,
    quotes_of,
    sentences,
)
from app.domain.grounded_prompt import NOTHING_FOUND
from app.domain.prompt import Window
from app.domain.turns import History, HistoryMessage

TEXT = "The tower was finished in 1889. It is 330 metres high!\n\nThe bridge was finished in 1900."
PASSAGE = Passage("d:0", "d", "paris.txt", None, 0, len(TEXT), TEXT, 1.0)


def passage(text: str, **more: object) -> Passage:
    """Return a passage of a document."""
    return replace(Passage("d:0", "d", "a.txt", None, 0, len(text), text, 1.0), **more)  # type: ignore[arg-type]  # names of its fields


def test_extractive_prompt() -> None:
    """A model that cannot cite gets the best passage and a plain instruction without history; its answer is a draft."""
    history = History(
        "Be brief.",
        [HistoryMessage(1, "Hello", None), HistoryMessage(2, "Hi.", 1), HistoryMessage(3, "When was it built?", None)],
    )
    found = [passage("w" * 900), passage("v" * 900)]
    made = build_extractive_prompt(history, 3, Window(4_096, cites=False), found, "0123")
    assert [each["role"] for each in made.messages] == ["system", "user"]
    assert "cite" not in made.messages[0]["content"]
    assert (made.is_draft, made.record.passage_count, made.record.sent, made.record.dropped_up_to) == (True, 1, (), 2)


def test_best_sentence() -> None:
    """The sentence with most of the question's words is quoted, with white space folded, cut at a word if too long."""
    assert best_sentence(TEXT, content_words("When was the bridge finished?")) == "The bridge was finished in 1900."
    assert best_sentence("one  two\nthree", content_words("three")) == "one two three"
    assert best_sentence("word " * 200, ()).endswith("word …")
    assert best_sentence("", ()) == ""


def test_abbreviations_end_no_sentence() -> None:
    """Titles, initials and the like do not end a sentence."""
    text = "Tickets are booked by Ms. Okafor. Ask Dr. J. Smith, e.g. by mail. Thanks!"
    assert list(sentences(text)) == [
        "Tickets are booked by Ms. Okafor.",
        "Ask Dr. J. Smith, e.g. by mail.",
        "Thanks!",
    ]


def test_closest_quote() -> None:
    """Similarity and words count together; if no sentence is near enough there is no quote."""
    quotes = quotes_of([PASSAGE])
    assert [each.sentence for each in quotes] == list(sentences(TEXT))
    found = closest_quote(quotes, [0.6, 0.1, 0.5], "When was the bridge finished?")
    assert found is not None
    assert found.sentence == "The bridge was finished in 1900."
    assert closest_quote(quotes, [0.1, 0.1, 0.1], "Who is the mayor?") is None
    there = quotes_of([replace(PASSAGE, coverage=0.9)])
    assert closest_quote(there, [0.1, 0.1, 0.1], "When was the bridge finished?") is not None
    assert closest_quote([], [], "Anything?") is None


def test_answer_support() -> None:
    """An answer is supported if its numbers and new words are in the sentence; one that adds nothing is not."""
    question, sentence = "When was the tower finished?", "The tower was finished in 1889."
    assert is_supported("It was finished in 1889.", question, sentence)
    assert not is_supported("It was finished in 1887.", question, sentence)
    assert not is_supported("The tower was finished.", question, sentence)
    assert not is_supported("Gustave Eiffel finished it in 1889.", question, sentence)
    assert not is_supported("", question, sentence)
    assert not is_supported("The form is sent after the holiday.", "When is the form sent?", "It is sent before then.")
    assert not is_supported("Sent after the holiday.", "When is it sent?", "The form is sent before the holiday.")


def test_quoted_answer() -> None:
    """A supported draft is followed by sentence, marker and source; without support the quote stands alone."""
    found = [passage("It is high. It was built in 1889[7].", page=2), passage("Nothing.")]
    quote = "“It was built in 1889.” [1] (a.txt, page 2)"
    assert (
        quoted_answer("It was built in 1889.\nOr so.", "When was it built?", found)
        == f"It was built in 1889.\n\n{quote}"
    )
    assert quoted_answer("It was built in 1066.", "When was it built?", found) == quote
    assert quoted_answer("", "When was it built?", []) == NOTHING_FOUND


def test_outline_answer() -> None:
    """An outline gives the headings or opening words of each document with marker and source."""
    found = [passage("A text. More.", heading="Taxes; Income"), passage("It begins here. More.", page=1)]
    assert outline_answer(found) == "a.txt: Taxes; Income [1]\na.txt, page 1: “It begins here.” [2]"
