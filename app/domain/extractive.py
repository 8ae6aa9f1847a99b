"""Extractive answers, in the place of a model that can neither cite nor refuse: a sentence, or an outline."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from app.domain.citations import without_marks
from app.domain.documents import Passage
from app.domain.evidence import CONSIDERED_PASSAGES
from app.domain.grounded_prompt import HEADING_CHARACTERS
from app.domain.language import STOP_WORDS
from app.domain.question_kinds import words_of
from app.domain.similarity import SimilarityBars

MAX_QUOTES = 40
"""Sentences that are compared with a question."""

ABBREVIATIONS = (r"[MDS][rst]\.", r"Mrs\.", r"Prof\.", r"No\.", r"vs\.", r"e\.g\.", r"i\.e\.", r"[A-Z]\.")
NOT_ABBREVIATED = "".join(rf"(?<!\b{each})" for each in ABBREVIATIONS)
SENTENCE_END = re.compile(
    NOT_ABBREVIATED + r"(?<=[.!?\u3002\uff01\uff1f])[\"'\u201d\u2019)\]]*\s+|\n\s*\n|\n(?=\s*[-*•|\d])"
)
MAX_SENTENCE_CHARACTERS = 400
"""A longer sentence, such as a row of a wide table, is cut at a word."""
RELATIONS = frozenset({"after", "because", "before", "both", "off", "once", "out", "through", "until", "up", "while"})
"""Stop words of a search that change what a sentence states: "before the holiday" does not support "after it"."""


class Bars(NamedTuple):
    """The least values for passages and sentences that may hold an answer; those of cosines belong to an embedder."""

    sentence: float
    """Cosine of question and sentence."""
    similarity: float
    """Cosine of question and passage, where sentences were not compared by meaning."""
    coverage: float
    """Share of the question's words in a passage, by their weight."""
    coverage_alone: float
    """The same where nothing was compared by meaning."""


MINILM_BARS = Bars(sentence=0.45, similarity=0.5, coverage=0.6, coverage_alone=0.6)
"""Bars for all-MiniLM-L6-v2.

On SQuAD 2.0, among the sentences of the three nearest passages, 3 % of 150 answered questions stay below the bar for
sentences, and all of 98 on other subjects; no bar for whole passages separates them that well, since a passage has
several subjects.
"""


def bars_of(measured: SimilarityBars | None) -> Bars:
    """Return the bars with the cosines that were measured for an embedder; None where nothing is compared."""
    if measured is None:
        return MINILM_BARS
    return MINILM_BARS._replace(sentence=measured.sentence, similarity=measured.passage)


class Quote(NamedTuple):
    """A sentence that may hold the answer, on one line, with its passage."""

    passage: Passage
    sentence: str


def quotes_of(passages: Sequence[Passage]) -> list[Quote]:
    """Return the sentences of the best passages, at most `MAX_QUOTES`."""
    quotes = [
        Quote(each, on_one_line(sentence))
        for each in passages[:CONSIDERED_PASSAGES]
        for sentence in sentences(each.text)
    ]
    return quotes[:MAX_QUOTES]


def closest_quote(
    quotes: Sequence[Quote], similarities: Sequence[float] | None, question: str, bars: Bars = MINILM_BARS
) -> Quote | None:
    """Return the quote closest to a question by meaning and words together; None where none is close enough.

    Args:
        quotes: The quotes to choose from.
        similarities: The cosine of each quote and the question; None where words alone decide.
        question: The question, for its words.
        bars: The bars of the embedder.
    """
    if not quotes or not is_near(quotes, similarities, bars):
        return None
    wanted = content_words(question)
    scores = [len(content_words(each.sentence) & wanted) / max(len(wanted), 1) for each in quotes]
    if similarities is not None:
        scores = [sum(each) for each in zip(similarities, scores, strict=True)]
    return quotes[scores.index(max(scores))]


def is_near(quotes: Sequence[Quote], similarities: Sequence[float] | None, bars: Bars) -> bool:
    """Return whether a sentence reaches the bar by meaning, or its passage one of its own."""
    if similarities is not None:
        near = max(similarities) >= bars.sentence
        return near or any(each.passage.coverage >= bars.coverage for each in quotes)
    if all(each.passage.similarity is None for each in quotes):
        return any(each.passage.coverage >= bars.coverage_alone for each in quotes)
    return any(
        each.passage.coverage >= bars.coverage or (each.passage.similarity or 0) >= bars.similarity for each in quotes
    )


def quoted_answer(quote: Quote, passages: Sequence[Passage]) -> str:
    """Return a quote with the mark and the source of its passage."""
    number = passages.index(quote.passage) + 1
    return f"“{without_marks(quote.sentence)}” [{number}] ({source_label(quote.passage)})"


def outline_answer(openings: Sequence[Passage]) -> str:
    """Return a line for each document: its source, headings or first sentence, and citation mark."""
    lines = [f"{source_label(each)}: {outline_of(each)} [{number}]" for number, each in enumerate(openings, 1)]
    return "\n".join(lines)


def outline_of(opening: Passage) -> str:
    """Return a document's headings, or its first sentence as a quote where it has none."""
    return without_marks(opening.heading[:HEADING_CHARACTERS] or f"“{best_sentence(opening.text, ())}”")


def source_label(passage: Passage) -> str:
    """Return document and page of a passage, for readers."""
    page = f", page {passage.page}" if passage.page is not None else ""
    return f"{' '.join(passage.document_name.split())}{page}"


def content_words(text: str) -> set[str]:
    """Return the first six letters of all words with content: endings differ between question and answer."""
    return {word[:6] for word in words_of(text) if word not in STOP_WORDS or word in RELATIONS}


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences and table rows of a text, stripped."""
    for sentence in SENTENCE_END.split(text):
        if sentence and (stripped := sentence.strip()):
            yield stripped


def best_sentence(text: str, wanted: Collection[str]) -> str:
    """Return the first sentence with most of the wanted content words, on one line."""
    return on_one_line(max(sentences(text), key=lambda each: len(content_words(each) & set(wanted)), default=text))


def on_one_line(sentence: str) -> str:
    """Fold the white space of a sentence and cut it to `MAX_SENTENCE_CHARACTERS`."""
    line = " ".join(sentence.split())
    if len(line) <= MAX_SENTENCE_CHARACTERS:
        return line
    return f"{line[:MAX_SENTENCE_CHARACTERS].rpartition(' ')[0] or line[:MAX_SENTENCE_CHARACTERS]} …"
