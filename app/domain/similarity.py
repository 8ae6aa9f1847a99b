"""Bars of similarity, which depend on the embedding model."""

from __future__ import annotations

from typing import NamedTuple


class SimilarityBars(NamedTuple):
    """The least cosines with which a text may hold the answer to a question."""

    passage: float
    """Of question and passage, where sentences were not compared."""
    sentence: float
    """Of question and sentence."""
    sentence_named: float
    """The same for a question with names or numbers, all of which the document mentions."""
    sentence_sure: float
    """The same from which on a sentence is near whatever names it shares with the question."""
    unnamed: float
    """Of question and sentence below that, both without the names of the question."""
