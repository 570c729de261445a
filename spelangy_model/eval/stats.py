"""How sure a number is: intervals and paired tests.

Put here: statistics on arrays. Do not put here: scores, records or how a report words them. Standard methods come from
scipy; own code is the bootstrap over clusters, since two recordings of one question are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spelangy_model.rng import Key, stable_rng


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval."""

    value: float
    low: float
    high: float


def wilson_interval(correct: int, count: int, confidence: float = 0.95) -> Interval:
    """Return the proportion correct/count with Wilson's score interval. Raises ValueError for count 0."""
    from scipy.stats import binomtest

    interval = binomtest(correct, count).proportion_ci(confidence, method="wilson")
    return Interval(correct / count, float(interval.low), float(interval.high))


def cluster_bootstrap(
    values: np.ndarray, clusters: np.ndarray, seed: int, *keys: Key, resamples: int = 2000, confidence: float = 0.95
) -> Interval:
    """Return the mean of `values` with the percentile interval of a bootstrap that draws whole clusters.

    `values` and `clusters` are one-dimensional and of one length; values with the same cluster (for example all
    recordings of one question) are drawn together. Deterministic in (seed, keys). Raises ValueError for no values.
    """
    values = np.asarray(values, np.float64)
    if values.size == 0:
        raise ValueError("no values to average")
    _, index = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(index, values), np.bincount(index)
    rng = stable_rng(seed, "bootstrap", *keys)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    means = (drawn @ sums) / (drawn @ sizes)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    mean = float(values.mean())
    return Interval(mean, min(float(low), mean), max(float(high), mean))


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Return the two-sided p-value of the exact McNemar test on two runs' correctness (bool) on the same questions."""
    from scipy.stats import binomtest

    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(~first & second))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
