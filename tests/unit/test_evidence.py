from __future__ import annotations

from dataclasses import replace

from app.domain.documents import Passage
from app.domain.evidence import best_sentence, closest, content_words, is_evidence, quotable, sentences, supported

TEXT = "The tower was finished in 1889. It is 330 metres high!\n\nThe bridge was finished in 1900."
PASSAGE = Passage("d:0", "d", "paris.txt", None, 0, len(TEXT), TEXT, 1.0)


def test_the_sentence_with_most_of_the_words_is_quoted() -> None:
    """Sentences and rows are told apart; white space is folded, what is too long is cut at a word."""
    assert best_sentence(TEXT, content_words("When was the bridge finished?")) == "The bridge was finished in 1900."
    assert best_sentence("one  two\nthree", content_words("three")) == "one two three"
    assert best_sentence("word " * 200, ()).endswith("word …")
    assert best_sentence("", ()) == ""


def test_abbreviations_end_no_sentence() -> None:
    """Titles, initials and the like are followed by what belongs to them."""
    text = "Tickets are booked by Ms. Okafor. Ask Dr. J. Smith, e.g. by mail. Thanks!"
    assert list(sentences(text)) == [
        "Tickets are booked by Ms. Okafor.",
        "Ask Dr. J. Smith, e.g. by mail.",
        "Thanks!",
    ]


def test_the_nearest_sentence_is_quoted_where_it_is_near_enough() -> None:
    """Meaning and words count together; where nothing is near and the words are not there either, nothing is quoted."""
    quotes = quotable([PASSAGE])
    assert [each.sentence for each in quotes] == list(sentences(TEXT))
    found = closest(quotes, [0.6, 0.1, 0.5], "When was the bridge finished?")
    assert found is not None
    assert found.sentence == "The bridge was finished in 1900."
    assert closest(quotes, [0.1, 0.1, 0.1], "Who is the mayor?") is None
    there = quotable([replace(PASSAGE, coverage=0.9)])
    assert closest(there, [0.1, 0.1, 0.1], "When was the bridge finished?") is not None
    assert closest([], [], "Anything?") is None


def test_an_answer_has_support_in_a_sentence_or_none() -> None:
    """Numbers and words that the question does not have stand in the sentence; what adds nothing has no support."""
    question, sentence = "When was the tower finished?", "The tower was finished in 1889."
    assert supported("It was finished in 1889.", question, sentence)
    assert not supported("It was finished in 1887.", question, sentence)
    assert not supported("The tower was finished.", question, sentence)
    assert not supported("Gustave Eiffel finished it in 1889.", question, sentence)
    assert not supported("", question, sentence)


def test_who_cannot_refuse_needs_nearer_passages() -> None:
    """By similarity or by words: for a model that can say that it is not there, little is enough."""
    far, near = (replace(PASSAGE, similarity=each) for each in (0.05, 0.9))
    assert [is_evidence([far], strict=each) for each in (True, False)] == [False, False]
    assert [is_evidence([near], strict=each) for each in (True, False)] == [True, True]
    words = replace(PASSAGE, coverage=0.55)
    assert [is_evidence([words], strict=each) for each in (True, False)] == [False, True]
    assert not is_evidence([], strict=False)
    few = replace(PASSAGE, coverage=0.3)
    assert is_evidence([few], strict=False)
    assert not is_evidence([replace(few, similarity=0.1)], strict=False)
