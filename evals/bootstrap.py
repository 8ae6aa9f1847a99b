"""Significance of a difference between two runs: the paired bootstrap over queries (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
SEED = 5
BLOCK = 500
"""Resamples drawn at once, which take a few MB for some thousand queries."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of a measure from an earlier run, over the queries of both."""

    mean: float
    low: float
    high: float
    """Bounds of the 95 % interval of resampled means."""
    p: float
    """Two-sided probability of a difference as large by chance."""
    queries: int


def difference(now: Mapping[str, float], before: Mapping[str, float]) -> Difference | None:
    """Compare a measure query by query; return None if the runs share no query."""
    shared = sorted(now.keys() & before.keys())
    if not shared:
        return None
    each = np.array([now[query] - before[query] for query in shared])
    means, middle = resampled_means(each), float(each.mean())
    low, high = np.percentile(means, [2.5, 97.5])
    # By chance the means spread in the same way around 0. Equal sums may differ in their last bits.
    extreme = int(np.count_nonzero(np.abs(means - middle) >= abs(middle) - 1e-12))
    return Difference(middle, float(low), float(high), (extreme + 1) / (RESAMPLES + 1), len(shared))


def resampled_means(values: np.ndarray) -> np.ndarray:
    """Return the means of `RESAMPLES` samples of the same size, drawn with replacement."""
    draw = np.random.default_rng(SEED)
    blocks = (draw.integers(0, values.size, (BLOCK, values.size)) for _ in range(RESAMPLES // BLOCK))
    return np.concatenate([values[block].mean(axis=1) for block in blocks])
