"""Decide by similarity and words whether retrieved passages may hold an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from app.domain.documents import Passage
from app.domain.retrieval import RetrievalResult

CONSIDERED_PASSAGES = 3
"""Passages, from the best on, of which one has to reach the thresholds."""

OPENING_CHARACTERS = 400
"""Length of a document's opening among those of several documents."""


class Evidence(NamedTuple):
    """The retrieval result of a reply with the passages for its prompt."""

    retrieval: RetrievalResult
    passages: Sequence[Passage] = ()
    canned_answer: str | None = None
    """The whole reply where no model is needed."""


class Thresholds(NamedTuple):
    """Minimum similarity or coverage for a passage to count as evidence."""

    similarity: float
    coverage: float
    coverage_alone: float
    """The minimum coverage where no passage was compared by meaning."""


LENIENT = Thresholds(similarity=0.25, coverage=0.5, coverage_alone=0.25)
"""For a model that says itself when passages do not hold the answer.

Measured with all-MiniLM-L6-v2 (decision 12): these thresholds refuse 0.4 % of the questions that documents answer,
0.7 % of those that they only seem to answer, and 68 to 99 % of those on other subjects. The strict ones
(`app.domain.extractive.MINILM_BARS`) refuse 8 %, 16 %, and 85 to 100 %.
"""


def is_evidence(passages: Sequence[Passage], thresholds: Thresholds) -> bool:
    """Return whether one of the best passages reaches the thresholds by similarity or by coverage."""
    best = passages[:CONSIDERED_PASSAGES]
    if all(each.similarity is None for each in best):
        return any(each.coverage >= thresholds.coverage_alone for each in best)
    return any(each.coverage >= thresholds.coverage or (each.similarity or 0) >= thresholds.similarity for each in best)


def relevant_openings(question: str, openings: Sequence[Passage]) -> list[Passage]:
    """Select the openings of the documents that a question names, or all where it names none.

    Several openings are each cut after a few sentences, so that all fit into a prompt.
    """
    folded = question.casefold()
    named = [each for each in openings if len(stem := stem_of(each.document_name)) > 2 and stem in folded] or openings
    return list(named) if len(named) == 1 else [shortened_opening(each) for each in named]


def stem_of(name: str) -> str:
    """Return a file's name without its extension, case-folded."""
    return name.casefold().rpartition(".")[0] or name.casefold()


def shortened_opening(passage: Passage) -> Passage:
    """Cut a passage at a word, to at most `OPENING_CHARACTERS`."""
    if len(passage.text) <= OPENING_CHARACTERS:
        return passage
    text = passage.text[:OPENING_CHARACTERS].rpartition(" ")[0] or passage.text[:OPENING_CHARACTERS]
    return replace(passage, text=text, end=passage.start + len(text))
