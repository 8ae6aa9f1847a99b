"""Fusion of rankings by a convex combination of their scores (Bruch, Gai and Ingber, ACM TOIS 2023)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from app.rag.models.calibration import Calibration
from app.rag.ranking.bm25 import Ranked

RANKING_DEPTH = 250
"""Chunks of each ranking that are fused; one document may have several among the best."""
NO_CONFIDENCE, FULL_CONFIDENCE = 0.4, 0.6
"""Distances of the best chunk from the mean, in units of an embedder's contrast, between which its weight rises."""
RELIABLE_LEAD = 0.3
"""By this they are nearer to the mean for an embedder that is reliable in all languages of its scripts.

In a small corpus about one subject all chunks are near, the best one too.
"""
MIN_DISTANCE = 1e-6
LONG_QUESTION = 40
"""Words of a question for which the ranking by words has half of its weight."""
STEEPNESS = 6


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
        for chunk_key, score in chunks:
            scores[chunk_key] += weight / total * score
    return dict(sorted(scores.items(), key=lambda each: -each[1]))


def relative_to_best(chunks: Sequence[Ranked]) -> list[Ranked]:
    """Return a lexical ranking with its scores divided by the best."""
    best = max((each.score for each in chunks[:1]), default=0.0)
    return [Ranked(each.chunk_key, each.score / best if best > 0 else 0.0) for each in chunks]


def relative_to_mean(chunks: Sequence[Ranked], calibration: Calibration, searched: int) -> list[Ranked]:
    """Return a ranking by cosine with scores for the distance from the mean, 0 for all below it.

    Where the best of all `searched` chunks hardly exceeds their mean, as in a language that the model does not know,
    the scores are lowered, to 0 in the end.
    """
    compared = [each.score for each in chunks[:RANKING_DEPTH] if is_compared(each)]
    if not compared:
        return [Ranked(each.chunk_key, 0.0) for each in chunks]
    mean = mean_with_unrelated(compared, calibration)
    distance = compared[0] - mean
    is_part = len(compared) == RANKING_DEPTH < searched
    corpus_mean = mean_of_all(compared, searched) if is_part else mean
    lead = (compared[0] - corpus_mean) / calibration.contrast if calibration.contrast > 0 else 1.0
    confidence = confidence_at(lead + RELIABLE_LEAD if calibration.reliable else lead)
    return [
        Ranked(each.chunk_key, confidence * max(each.score - mean, 0.0) / distance if is_compared(each) else 0.0)
        for each in chunks
    ]


def mean_with_unrelated(cosines: Sequence[float], calibration: Calibration) -> float:
    """Return the mean of cosines and of one unrelated text, so that a single chunk exceeds it."""
    lowest = min(calibration.unrelated, cosines[0] - MIN_DISTANCE)
    return (sum(cosines) + lowest) / (len(cosines) + 1)


def mean_of_all(best: Sequence[float], count: int) -> float:
    """Estimate the mean of `count` normally distributed cosines from the best of them, in descending order."""
    normal, share = NormalDist(), len(best) / count
    threshold = normal.inv_cdf(1 - share)
    mean_beyond = normal.pdf(threshold) / share
    deviation = (sum(best) / len(best) - best[-1]) / (mean_beyond - threshold)
    return best[-1] - deviation * threshold


def confidence_at(distance: float) -> float:
    """Return the confidence in a ranking whose best chunk has this distance from the mean, in units of contrast."""
    return min(1.0, max(0.0, (distance - NO_CONFIDENCE) / (FULL_CONFIDENCE - NO_CONFIDENCE)))


def is_compared(chunk: Ranked) -> bool:
    """Return whether a chunk in a ranking by cosine has a vector: the cosine of zeros is exactly 0."""
    return chunk.score != 0.0


def weight_of_words(query: str) -> float:
    """Return the weight of a query's ranking by words, relative to 1 for that by vectors: near 0 for a pasted page.

    Most words of a long question are about the task and the setting, not about the passage that is wanted.
    """
    return 1 / (1 + (len(query.split()) / LONG_QUESTION) ** STEEPNESS)
