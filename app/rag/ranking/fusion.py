"""Fusion of rankings by a convex combination of their scores (Bruch, Gai and Ingber, ACM TOIS 2023)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from app.rag.models.calibration import Calibration
from app.rag.ranking.bm25 import Ranked

RANKING_DEPTH = 250
"""Chunks of each ranking that are fused; one document may have several among the best."""
FULL_CONTRAST = 0.8
"""Share of an embedder's contrast by which the best chunk exceeds the mean where its ranking has its full weight."""
LONG_QUESTION = 40
"""Words of a question for which the ranking by words has half of its weight."""
STEEPNESS = 4


class Ranking(NamedTuple):
    """Chunks with scores from 0 to 1, the best first, and the ranking's weight."""

    chunks: Sequence[Ranked]
    weight: float = 1.0


def fuse(rankings: Sequence[Ranking]) -> dict[int, float]:
    """Return scores from 0 to 1 by chunk key, the best first; 1 is that of a chunk which leads every ranking.

    Chunks of a ranking without weight come last, in its order. Ranks alone, as in reciprocal rank fusion, are less
    accurate (docs/decisions/0010).
    """
    scores: dict[int, float] = defaultdict(float)
    total = sum(each.weight for each in rankings) or 1.0
    for chunks, weight in sorted(rankings, key=lambda each: -each.weight):
        for chunk_key, score in chunks[:RANKING_DEPTH]:
            scores[chunk_key] += weight / total * score
    return dict(sorted(scores.items(), key=lambda each: -each[1]))


def relative_to_best(chunks: Sequence[Ranked]) -> list[Ranked]:
    """Return a lexical ranking with its scores divided by the best."""
    best = max((each.score for each in chunks[:1]), default=0.0)
    return [Ranked(each.chunk_key, each.score / best if best > 0 else 0.0) for each in chunks[:RANKING_DEPTH]]


def relative_to_mean(chunks: Sequence[Ranked], calibration: Calibration) -> list[Ranked]:
    """Return a ranking by cosine with scores for the distance from the mean, 0 for all below it.

    The mean includes one unrelated text, so that a single chunk has a score. Where the best chunk hardly exceeds the
    others, as in a language that the model does not know, all scores are low: the distance that scores 1 is at least
    `FULL_CONTRAST` of that between related and unrelated texts.
    """
    chunks = chunks[:RANKING_DEPTH]
    compared = [each.score for each in chunks if is_compared(each)]
    if not compared:
        return [Ranked(each.chunk_key, 0.0) for each in chunks]
    mean = (sum(compared) + calibration.unrelated) / (len(compared) + 1)
    scale = max(compared[0] - mean, FULL_CONTRAST * calibration.contrast)
    return [
        Ranked(each.chunk_key, max(each.score - mean, 0.0) / scale if is_compared(each) and scale > 0 else 0.0)
        for each in chunks
    ]


def is_compared(chunk: Ranked) -> bool:
    """Return whether a chunk in a ranking by cosine has a vector: the cosine of zeros is exactly 0."""
    return chunk.score != 0.0


def weight_of_words(query: str) -> float:
    """Return the weight of a query's ranking by words, relative to 1 for that by vectors: near 0 for a pasted page.

    Most words of a long question are about the task and the setting, not about the passage that is wanted.
    """
    return 1 / (1 + (len(query.split()) / LONG_QUESTION) ** STEEPNESS)
