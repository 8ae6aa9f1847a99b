"""Decide by similarity and words whether retrieved passages may hold an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from app.domain.documents import Passage
from app.domain.outline_questions import names_document
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


def select_openings(subject: str, openings: Sequence[Passage]) -> list[Passage]:
    """Select the openings of the documents that an `outline_subject` names; all for a subject without a name.

    Several openings are each cut after a few sentences, so that all fit into a prompt.
    """
    selected = [each for each in openings if names_document(subject, each.document_name)] if subject else openings
    return list(selected) if len(selected) == 1 else [shortened_opening(each) for each in selected]


def shortened_opening(passage: Passage) -> Passage:
    """Cut a passage at a word, to at most `OPENING_CHARACTERS`."""
    if len(passage.text) <= OPENING_CHARACTERS:
        return passage
    text = passage.text[:OPENING_CHARACTERS].rpartition(" ")[0] or passage.text[:OPENING_CHARACTERS]
    return replace(passage, text=text, end=passage.start + len(text))
