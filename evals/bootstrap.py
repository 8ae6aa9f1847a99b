"""Whether a difference between two runs is more than luck of the queries: the paired bootstrap (Efron, 1979)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
SEED = 5
BLOCK = 500
"""Resamples that are drawn at once: some thousand queries then take a few MB."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How a measure differs from that of an earlier run, over the queries that both had."""

    mean: float
    low: float
    high: float
    """Between these lie 95 of 100 resampled means."""
    p: float
    """How often luck alone makes a difference so large, two-sided."""
    queries: int


def difference(now: Mapping[str, float], before: Mapping[str, float]) -> Difference | None:
    """Compares a measure query by query; None where the runs have no query in common."""
    shared = sorted(now.keys() & before.keys())
    if not shared:
        return None
    each = np.array([now[query] - before[query] for query in shared])
    means, middle = resampled_means(each), float(each.mean())
    low, high = np.percentile(means, [2.5, 97.5])
    # What luck does is the same spread about no difference at all. Equal sums may differ in their last bits.
    extreme = int(np.count_nonzero(np.abs(means - middle) >= abs(middle) - 1e-12))
    return Difference(middle, float(low), float(high), (extreme + 1) / (RESAMPLES + 1), len(shared))


def resampled_means(values: np.ndarray) -> np.ndarray:
    """The means of as many values drawn with replacement, `RESAMPLES` times."""
    draw = np.random.default_rng(SEED)
    blocks = (draw.integers(0, values.size, (BLOCK, values.size)) for _ in range(RESAMPLES // BLOCK))
    return np.concatenate([values[block].mean(axis=1) for block in blocks])
