"""How good a ranking is: pure functions of what was found and what is relevant."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

Grades = Mapping[str, float]
"""How relevant each item is to a query; what is missing, or is not above 0, is not."""


def ndcg(ranking: Sequence[str], grades: Grades, depth: int = 10) -> float:
    """The gain of the first `depth` items, each discounted by log2 of its place + 1, over the best there is.

    Järvelin and Kekäläinen, 2002, with the grade itself as the gain, as trec_eval has it.
    """
    best = discounted(sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth])
    return discounted([max(0.0, grades.get(each, 0.0)) for each in ranking[:depth]]) / best if best else 0.0


def discounted(gains: Sequence[float]) -> float:
    """The sum of gains, worth less the later they come."""
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1))


def recall(ranking: Sequence[str], relevant: Collection[str], depth: int) -> float:
    """The share of what is relevant that is among the first `depth`."""
    return len(set(ranking[:depth]) & set(relevant)) / len(set(relevant)) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str]) -> float:
    """One over the place of the first relevant item; 0 where there is none."""
    return next((1 / place for place, each in enumerate(ranking, start=1) if each in relevant), 0.0)


def success(ranking: Sequence[str], relevant: Collection[str], depth: int) -> float:
    """1 when anything relevant is among the first `depth`, else 0."""
    return float(not set(relevant).isdisjoint(ranking[:depth]))


def of_ranking(ranking: Sequence[str], grades: Grades) -> dict[str, float]:
    """All measures of a query's ranking, by the names they are printed with."""
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
    """The value that `share` of all are not above, by the nearest rank; nan without values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def mean(values: Collection[float]) -> float:
    """The arithmetic mean; nan without values."""
    return math.fsum(values) / len(values) if values else math.nan
