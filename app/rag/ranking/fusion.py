"""Several rankings as one, by a convex combination of their scores (Bruch, Gai and Ingber, ACM TOIS 2023)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from app.rag.ranking.bm25 import Ranked

DEPTH = 250
"""How much of each ranking is looked at: of chunks, of which a document may have several among the best."""


class Ranking(NamedTuple):
    """Chunks with scores of which 0 means nothing, the best first, and what they count beside other rankings."""

    chunks: Sequence[Ranked]
    weight: float = 1.0


def fused(rankings: Sequence[Ranking]) -> dict[int, float]:
    """Chunks by their keys with their scores, the best first: 1 for one that is the best of every ranking.

    Each ranking counts by how near its scores come to its best one: places alone, as in reciprocal rank fusion, say
    less, as the decision on search has measured.
    """
    scores: dict[int, float] = defaultdict(float)
    total = sum(each.weight for each in rankings)
    for chunks, weight in rankings:
        best = max((each.score for each in chunks[:1]), default=0.0)
        for chunk_key, score in chunks[:DEPTH]:
            scores[chunk_key] += weight / total * max(score, 0.0) / best if best > 0 else 0.0
    return dict(sorted(scores.items(), key=lambda each: -each[1]))
