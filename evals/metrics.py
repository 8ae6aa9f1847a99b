"""Measures of a ranking: pure functions of the ranked and the relevant items."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

Grades = Mapping[str, float]
"""Relevance of items to a query; items that are missing or not above 0 are irrelevant."""


def ndcg(ranking: Sequence[str], grades: Grades, depth: int = 10) -> float:
    """Return the gain of the first `depth` items, each divided by log2 of its rank + 1, over that of the best order.

    Järvelin and Kekäläinen, 2002, with the grade itself as the gain, as in trec_eval.
    """
    best = discounted(sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth])
    return discounted([max(0.0, grades.get(each, 0.0)) for each in ranking[:depth]]) / best if best else 0.0


def discounted(gains: Sequence[float]) -> float:
    """Return the sum of gains, each divided by log2 of its rank + 1."""
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1))


def recall(ranking: Sequence[str], relevant: Collection[str], depth: int) -> float:
    """Return the share of relevant items that is among the first `depth`."""
    return len(set(ranking[:depth]) & set(relevant)) / len(set(relevant)) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str]) -> float:
    """Return one over the rank of the first relevant item; 0 without one."""
    return next((1 / place for place, each in enumerate(ranking, start=1) if each in relevant), 0.0)


def success(ranking: Sequence[str], relevant: Collection[str], depth: int) -> float:
    """Return 1 if a relevant item is among the first `depth`, otherwise 0."""
    return float(not set(relevant).isdisjoint(ranking[:depth]))


def ranking_scores(ranking: Sequence[str], grades: Grades) -> dict[str, float]:
    """Return all measures of a query's ranking by their printed names."""
    relevant = {item for item, grade in grades.items() if grade > 0}
    return {
        "nDCG@10": ndcg(ranking, grades),
        "recall@3": recall(ranking, relevant, 3),
        "recall@5": recall(ranking, relevant, 5),
        "recall@10": recall(ranking, relevant, 10),
        "MRR": reciprocal_rank(ranking, relevant),
        "success@5": success(ranking, relevant, 5),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the percentile `share`, from 0 to 1, by the nearest rank; nan without values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def mean(values: Collection[float]) -> float:
    """Return the arithmetic mean; nan without values."""
    return math.fsum(values) / len(values) if values else math.nan
