"""Fusion of rankings by a convex combination of their scores (Bruch, Gai and Ingber, ACM TOIS 2023)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from app.rag.ranking.bm25 import Ranked

RANKING_DEPTH = 250
"""Chunks of each ranking that are fused; one document may have several among the best."""


class Ranking(NamedTuple):
    """Chunks with scores, of which 0 is the lowest, the best first, and the ranking's weight."""

    chunks: Sequence[Ranked]
    weight: float = 1.0


def fuse(rankings: Sequence[Ranking], depth: int = RANKING_DEPTH) -> dict[int, float]:
    """Return scores from 0 to 1 by chunk key, the best first; 1 is that of a chunk which leads every ranking.

    Scores count relative to the best of their ranking: ranks alone, as in reciprocal rank fusion, are less accurate
    (docs/decisions/0010).
    """
    scores: dict[int, float] = defaultdict(float)
    total = sum(each.weight for each in rankings)
    for chunks, weight in rankings:
        best = max((each.score for each in chunks[:1]), default=0.0)
        for chunk_key, score in chunks[:depth]:
            scores[chunk_key] += weight / total * max(score, 0.0) / best if best > 0 else 0.0
    return dict(sorted(scores.items(), key=lambda each: -each[1]))
