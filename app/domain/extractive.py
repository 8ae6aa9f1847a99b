"""Extractive answers, for a model that can neither cite nor refuse: its reply is a draft, published with a quote."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from app.domain.citations import without_marks
from app.domain.documents import Passage
from app.domain.evidence import CONSIDERED_PASSAGES, Thresholds
from app.domain.grounded_prompt import HEADING_CHARACTERS, NOTHING_FOUND, build_grounded_prompt
from app.domain.language import STOP_WORDS
from app.domain.prompt import Prompt, Window, question_text
from app.domain.question_kinds import words_of
from app.domain.turns import History, HistoryMessage

INSTRUCTION = "Answer the question from the text in one short sentence."

PROMPT_CHARACTERS = 1_000
"""Characters of passages in the prompt: small models get lost in more."""

STRICT = Thresholds(similarity=0.5, coverage=0.6, coverage_alone=0.6)
"""Thresholds for passages, see `app.domain.evidence.LENIENT`."""

NEAR_SENTENCE = 0.45
"""Minimum cosine of question and sentence for the sentence to count as an answer.

On SQuAD 2.0, among the sentences of the three nearest passages, 3 % of 150 answered questions stay below it, and all
of 98 on other subjects; no threshold for whole passages separates them that well, since a passage has several subjects.
"""
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


class Quote(NamedTuple):
    """A sentence that may hold the answer, on one line, with its passage."""

    passage: Passage
    sentence: str


def build_extractive_prompt(
    history: History, question_number: int, window: Window, passages: Sequence[Passage], nonce: str
) -> Prompt:
    """Build the prompt for a draft: few passages, the question and no history.

    Args and exceptions as of `build_grounded_prompt`.
    """
    question = HistoryMessage(question_number, question_text(history, question_number), None)
    alone = replace(history, messages=[question], summary=None, dropped_up_to=question_number - 1)
    short = within_prompt_budget(passages)
    return build_grounded_prompt(alone, question_number, window, short, nonce, INSTRUCTION)._replace(is_draft=True)


def within_prompt_budget(passages: Sequence[Passage]) -> list[Passage]:
    """Return the first passage, and the next ones as long as all together are short."""
    chosen: list[Passage] = []
    left = PROMPT_CHARACTERS
    for passage in passages:
        if chosen and len(passage.text) > left:
            break
        chosen.append(passage)
        left -= len(passage.text)
    return chosen


def quotes_of(passages: Sequence[Passage]) -> list[Quote]:
    """Return the sentences of the best passages, at most `MAX_QUOTES`."""
    quotes = [
        Quote(each, on_one_line(sentence))
        for each in passages[:CONSIDERED_PASSAGES]
        for sentence in sentences(each.text)
    ]
    return quotes[:MAX_QUOTES]


def closest_quote(quotes: Sequence[Quote], similarities: Sequence[float], question: str) -> Quote | None:
    """Return the quote closest to a question by meaning and words together; None where none is close enough.

    Args:
        quotes: The quotes to choose from.
        similarities: The cosine of each quote and the question.
        question: The question, for its words.
    """
    wanted = content_words(question)
    coverages = [len(content_words(each.sentence) & wanted) / max(len(wanted), 1) for each in quotes]
    is_near = max(similarities, default=0.0) >= NEAR_SENTENCE
    if not is_near and all(each.passage.coverage < STRICT.coverage for each in quotes):
        return None
    scores = [sum(each) for each in zip(similarities, coverages, strict=True)]
    return quotes[scores.index(max(scores))]


def quoted_answer(draft: str, question: str, passages: Sequence[Passage], sentence: str | None = None) -> str:
    """Return a draft with a quote that supports it, or the quote alone where it does not support the draft.

    Args:
        draft: The model's reply, of which only the first line is used.
        question: The question as the user wrote it.
        passages: The passages of the prompt; without any the answer is `NOTHING_FOUND`.
        sentence: The sentence of the first passage to quote; None for the one with most words of the question.
    """
    if not passages:
        return NOTHING_FOUND
    answer = draft.strip().partition("\n")[0]
    number, quote = (1, sentence) if sentence else quote_by_words(question, passages)
    cited = f"“{without_marks(quote)}” [{number}] ({source_label(passages[number - 1])})"
    return f"{answer}\n\n{cited}" if is_supported(answer, question, quote) else cited


def quote_by_words(question: str, passages: Sequence[Passage]) -> tuple[int, str]:
    """Return the sentence with most of a question's words, after the number of its passage (from 1)."""
    wanted = content_words(question)
    found = [(number, best_sentence(each.text, wanted)) for number, each in enumerate(passages, 1)]
    return max(found, key=lambda each: len(content_words(each[1]) & wanted))


def is_supported(answer: str, question: str, sentence: str) -> bool:
    """Return whether a sentence has each number and content word that an answer adds to its question.

    Of 80 answers of the embedded model to questions with known answers 31 were right; of the 10 with support, 9.
    """
    added = content_words(answer) - content_words(question)
    return bool(added) and added <= content_words(sentence) and numbers(answer) <= numbers(f"{sentence} {question}")


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


def numbers(text: str) -> set[str]:
    """Return the words with digits."""
    return {word for word in words_of(text) if any(map(str.isdecimal, word))}


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
