"""Whether passages hold an answer, and where: by their words, as no model is asked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from app.domain.documents import Passage
from app.domain.language import STOP_WORDS
from app.domain.question_kinds import words_of

ABBREVIATED = (r"[MDS][rst]\.", r"Mrs\.", r"Prof\.", r"No\.", r"vs\.", r"e\.g\.", r"i\.e\.", r"[A-Z]\.")
NOT_ABBREVIATED = "".join(rf"(?<!\b{each})" for each in ABBREVIATED)
SENTENCE_END = re.compile(
    NOT_ABBREVIATED + r"(?<=[.!?\u3002\uff01\uff1f])[\"'\u201d\u2019)\]]*\s+|\n\s*\n|\n(?=\s*[-*•|\d])"
)
MAX_SENTENCE = 400
"""Characters: what is longer, such as a row of a wide table, is cut at a word."""


class Quote(NamedTuple):
    """A sentence of a passage that may hold the answer, on one line."""

    passage: Passage
    sentence: str


class Bar(NamedTuple):
    """What a passage has to reach in one of the two."""

    similarity: float
    coverage: float
    words_alone: float
    """The coverage where nothing was compared by meaning."""


CONSIDERED = 3
LENIENT = Bar(similarity=0.25, coverage=0.5, words_alone=0.25)
STRICT = Bar(similarity=0.5, coverage=0.6, words_alone=0.6)
"""Measured with all-MiniLM-L6-v2 (decision 12).

Of the questions that documents answer the lenient bar turns 0.4 % away and the strict one 8 %; of those that they
only seem to answer 0.7 % and 16 %; of those about something else 68 to 99 % and 85 to 100 %, depending on how far.
"""

NEAR_SENTENCE = 0.45
"""The cosine of question and sentence from which on the sentence may hold the answer.

On SQuAD 2.0, among the sentences of the three nearest passages, 3 % of 150 answered questions stay below it, and all
of 98 about something else; no bar for whole passages tells them apart that well, since they say more than one thing.
"""
MOST_QUOTES = 40


def content_words(text: str) -> set[str]:
    """The words that say something, by their first six letters: endings differ between question and answer."""
    return {word[:6] for word in words_of(text) if word not in STOP_WORDS}


def numbers(text: str) -> set[str]:
    """The numbers in a text."""
    return {word for word in words_of(text) if any(map(str.isdecimal, word))}


def sentences(text: str) -> Iterator[str]:
    """A text's sentences and rows, without white space around."""
    for sentence in SENTENCE_END.split(text):
        if sentence and (found := sentence.strip()):
            yield found


def best_sentence(text: str, wanted: Collection[str]) -> str:
    """The sentence of a text with most of the wanted words, the first of equals, on one line."""
    return on_one_line(max(sentences(text), key=lambda each: len(content_words(each) & set(wanted)), default=text))


def on_one_line(sentence: str) -> str:
    """A sentence as it is quoted."""
    line = " ".join(sentence.split())
    return line if len(line) <= MAX_SENTENCE else f"{line[:MAX_SENTENCE].rpartition(' ')[0] or line[:MAX_SENTENCE]} …"


def supported(answer: str, question: str, sentence: str) -> bool:
    """Whether a sentence says what an answer adds to its question: each number, and each word that says something.

    Of 80 answers of the embedded model to questions with known answers 31 were right; of the 10 with support, 9.
    """
    added = content_words(answer) - content_words(question)
    return bool(added) and added <= content_words(sentence) and numbers(answer) <= numbers(f"{sentence} {question}")


def is_evidence(passages: Sequence[Passage], *, strict: bool) -> bool:
    """Whether the best of the passages found may hold the answer.

    For a model that can say that they do not, whatever may be near is enough: of questions that the documents answer
    hardly any is to be refused. For one that cannot, the passage has to be near indeed.
    """
    bar = STRICT if strict else LENIENT
    nearest = passages[:CONSIDERED]
    if all(each.similarity is None for each in nearest):
        return any(each.coverage >= bar.words_alone for each in nearest)
    return any(each.coverage >= bar.coverage or (each.similarity or 0) >= bar.similarity for each in nearest)


def quotable(passages: Sequence[Passage]) -> list[Quote]:
    """The sentences of the best passages, as many as it does not take long to compare."""
    found = [Quote(each, on_one_line(sentence)) for each in passages[:CONSIDERED] for sentence in sentences(each.text)]
    return found[:MOST_QUOTES]


def closest(quotes: Sequence[Quote], nearness: Sequence[float], question: str) -> Quote | None:
    """The sentence that is nearest to a question by meaning and words together; None where none is near enough.

    Args:
        quotes: What may be quoted.
        nearness: The cosine of each and what is asked.
        question: What is asked, for its words.
    """
    wanted = content_words(question)
    shares = [len(content_words(each.sentence) & wanted) / max(len(wanted), 1) for each in quotes]
    near = max(nearness, default=0.0) >= NEAR_SENTENCE
    if not near and all(each.passage.coverage < STRICT.coverage for each in quotes):
        return None
    scores = [sum(each) for each in zip(nearness, shares, strict=True)]
    return quotes[scores.index(max(scores))]
