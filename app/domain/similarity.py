"""Bars of similarity, which depend on the embedding model."""

from __future__ import annotations

from typing import NamedTuple


class SimilarityBars(NamedTuple):
    """The least cosine with a question from which a text counts as evidence."""

    passage: float
    sentence: float
