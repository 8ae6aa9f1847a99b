"""Extractive answers, in the place of a model that can neither cite nor refuse: a sentence, or an outline."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from app.domain.citation_imitations import citable, without_imitations
from app.domain.documents import Passage
from app.domain.evidence import CONSIDERED_PASSAGES
from app.domain.grounded_prompt import HEADING_CHARACTERS
from app.domain.language import STOP_WORDS, language_of, stop_words
from app.domain.mentions import EvidenceText, Mentions, mentions_of, without_names
from app.domain.question_kinds import words_of
from app.domain.sentences import sentences
from app.domain.similarity import SimilarityBars

MAX_QUOTES = 40
"""Sentences that are compared with a question."""

CUT = " \u2026"
"""End of a sentence that is cut."""
MAX_SENTENCE_CHARACTERS = 400
"""A longer sentence, such as a row of a wide table, is cut at a word."""
UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
"""Runs of scripts without spaces between words, or with endings behind most: Thai, Lao, kana, Chinese and Korean."""
HEADING = re.compile(r"^#{1,6} | #+$")
"""The marks of a heading in Markdown."""
LEAD = re.compile(r"[?\uff1f\u061f][\"'\u201d\u300d*_)]*$|^\(?[0-9]{1,3}[.)]\s+[^\W\d_]\S*(?:\s+\S+){0,3}[.:]$")
"""A question, or the label of a numbered clause: what follows is its answer."""
RELATIONS = frozenset({"after", "because", "before", "both", "off", "once", "out", "through", "until", "up", "while"})
"""Stop words of a search that change what a sentence states: "before the holiday" does not support "after it"."""


LEAST_COVERAGE = 0.6
"""Share of a question's words, by their weight, with which a passage may hold the answer, whatever the cosines."""
LEAST_COVERAGE_ALONE = 0.07
"""The same for a question in a script that the embedder does not know: answers are often worded otherwise."""


class Quote(NamedTuple):
    """A sentence that may hold the answer, on one line, with its passage."""

    passage: Passage
    sentence: str


def quotes_of(passages: Sequence[Passage], question: str) -> list[Quote]:
    """Return the sentences that may hold the answer to a question, at most `MAX_QUOTES`.

    They are those of the best passages from documents that mention each name and number of the question, in any of
    the passages given.
    """
    mentions = mentions_of(question)
    mentioning = documents_with(passages, mentions) if mentions else {each.document_id for each in passages}
    considered = [each for each in passages if each.document_id in mentioning][:CONSIDERED_PASSAGES]
    quotes = [Quote(each, on_one_line(statement)) for each in considered for statement in statements(each.text)]
    stating = [each for each in quotes if not is_heading(each)]
    return (stating or quotes)[:MAX_QUOTES]


def statements(text: str) -> Iterator[str]:
    """Yield the sentences of a text, each with the question or the label before it: "3. Deposit." states nothing."""
    lead = ""
    for sentence in sentences(text):
        if LEAD.search(sentence):
            if lead:
                yield lead
            lead = sentence
        else:
            yield f"{HEADING.sub('', lead)} {sentence}" if lead else sentence
            lead = ""
    if lead:
        yield lead


def is_heading(quote: Quote) -> bool:
    """Return whether a quote is a heading, which names its subject and says nothing about it."""
    heading = HEADING.sub("", quote.sentence)
    return heading != quote.sentence or heading in quote.passage.heading.split(" > ")


def documents_with(passages: Sequence[Passage], mentions: Mentions) -> set[str]:
    """Return the ids of the documents that mention all names and numbers in their passages, headings or names."""
    texts: dict[str, list[str]] = {}
    for each in passages:
        texts.setdefault(each.document_id, [each.document_name]).extend((each.heading, each.text))
    return {each for each, parts in texts.items() if EvidenceText(*parts).mentions_all(mentions)}


def closest_quote(
    quotes: Sequence[Quote], similarities: Sequence[float] | None, question: str, bars: SimilarityBars | None
) -> Quote | None:
    """Return the quote closest to a question by meaning and words together; None where none is close enough.

    Args:
        quotes: The quotes to choose from.
        similarities: The cosine of each quote and the question; None where words alone decide.
        question: The question, for its words.
        bars: The bars of the embedder; None where words alone decide.
    """
    if not quotes or not is_near(quotes, similarities, question, bars):
        return None
    wanted = content_words(question)
    wanted = wanted - {each[:6] for each in stop_words(language_of(question))} or wanted
    scores = [len(content_words(each.sentence) & wanted) / max(len(wanted), 1) for each in quotes]
    if similarities is not None:
        scores = [sum(each) for each in zip(similarities, scores, strict=True)]
    return quotes[scores.index(max(scores))]


def is_near(
    quotes: Sequence[Quote], similarities: Sequence[float] | None, question: str, bars: SimilarityBars | None
) -> bool:
    """Return whether a sentence reaches the bar by meaning, or its passage one of its own."""
    is_unknown = bars is not None and similarities is None
    least = LEAST_COVERAGE_ALONE if is_unknown else LEAST_COVERAGE
    if any(each.passage.coverage >= least for each in quotes):
        return True
    if bars is None:
        return False
    if similarities is not None:
        return max(similarities) >= (bars.sentence_named if mentions_of(question) else bars.sentence)
    return any((each.passage.similarity or 0) >= bars.passage for each in quotes)


def question_without_names(question: str) -> str | None:
    """Return a question without its names; None if it has none, or if nothing with content is left."""
    mentions = mentions_of(question)
    rest = without_names(question, mentions)
    return rest if rest != question and content_words(rest) else None


def quoted_answer(quote: Quote, passages: Sequence[Passage]) -> str:
    """Return a quote with the mark and the source of its passage."""
    number = passages.index(quote.passage) + 1
    return f"“{citable(quote.sentence)}” [{number}] ({source_label(quote.passage, page_of(quote))})"


def page_of(quote: Quote) -> int | None:
    """Return the page on which a quote begins."""
    words = quote.sentence.removesuffix(CUT).split()
    found = re.search(r"\s*".join(map(re.escape, words)), quote.passage.text)
    return quote.passage.page_at(quote.passage.start + (found.start() if found is not None else 0))


def outline_answer(openings: Sequence[Passage]) -> str:
    """Return a line for each document: its source, headings or first sentence, and citation mark."""
    return "\n".join(
        f"{source_label(each, each.page)}: {outline_of(each)} [{number}]" for number, each in enumerate(openings, 1)
    )


def outline_of(opening: Passage) -> str:
    """Return a document's headings, or its first sentence as a quote where it has none."""
    return citable(opening.heading[:HEADING_CHARACTERS] or f"“{best_sentence(opening.text, ())}”")


def source_label(passage: Passage, page: int | None) -> str:
    """Return the document of a passage and a page of it, for readers."""
    name = citable(without_imitations(" ".join(passage.document_name.split())))
    return name if page is None else f"{name}, page {page}"


def content_words(text: str) -> set[str]:
    """Return the first six letters of all words with content: endings differ between question and answer.

    Scripts without spaces between words have pairs of characters in their place.
    """
    words = [word for word in words_of(text) if word not in STOP_WORDS or word in RELATIONS]
    spaced = {word[:6] for word in words if not UNSPACED.search(word)}
    runs = [run for word in words for run in UNSPACED.findall(word)]
    return spaced | {run[place : place + 2] for run in runs for place in range(max(len(run) - 1, 1))}


def best_sentence(text: str, wanted: Collection[str]) -> str:
    """Return the first sentence with most of the wanted content words, on one line."""
    return on_one_line(max(sentences(text), key=lambda each: len(content_words(each) & set(wanted)), default=text))


def on_one_line(sentence: str) -> str:
    """Fold the white space of a sentence and cut it to `MAX_SENTENCE_CHARACTERS`."""
    line = " ".join(sentence.split())
    if len(line) <= MAX_SENTENCE_CHARACTERS:
        return line
    return f"{line[:MAX_SENTENCE_CHARACTERS].rpartition(' ')[0] or line[:MAX_SENTENCE_CHARACTERS]}{CUT}"
