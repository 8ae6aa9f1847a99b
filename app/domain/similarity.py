"""Bars of similarity, which depend on the embedding model."""

from __future__ import annotations

from typing import NamedTuple


class SimilarityBars(NamedTuple):
    """The least cosine with a question from which a text counts as evidence."""

    passage: float
    sentence: float
    sentence_named: float
    """Of a sentence, where the question has names or numbers and the document mentions all of them."""
    sentence_sure: float
    """Of a sentence that counts whatever names it shares with the question."""
    unnamed: float
    """Of another sentence, where the names are left out of question and sentence."""
