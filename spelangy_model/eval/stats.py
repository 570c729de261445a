"""How sure a number is: intervals, paired tests, and what it would take to be sure.

Put here: statistics on arrays. Do not put here: scores, records or how a report words them. Standard methods come from
scipy; own code is what evaluation needs beside them: recordings of one question are not independent (clusters), and
neither are scores of one trained model (seeds).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spelangy_model.rng import Key, stable_rng

_DRAWS_AT_ONCE = 1_000_000


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
    means = _bootstrap_means(values, clusters, stable_rng(seed, "bootstrap", *keys), resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    mean = float(values.mean())
    return Interval(mean, min(float(low), mean), max(float(high), mean))


def _bootstrap_means(values: np.ndarray, clusters: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    _, index = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(index, values), np.bincount(index)
    rows = max(1, _DRAWS_AT_ONCE // len(sums))
    means = []
    for start in range(0, resamples, rows):
        drawn = rng.integers(0, len(sums), (min(rows, resamples - start), len(sums)))
        means.append(sums[drawn].sum(1) / sizes[drawn].sum(1))
    return np.concatenate(means)


def ratio_bootstrap(
    amounts: np.ndarray,
    units: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    seed: int,
    *keys: Key,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return a statistic of ratios of sums with the percentile interval of a bootstrap that draws items.

    `amounts` (series, items) are summed over the items and divided by the sum of `units` (items); `statistic` takes
    (series, resamples) of these ratios and returns one value a resample. With units of 1 the ratios are means.
    Deterministic in (seed, keys). Raises ValueError for no items.
    """
    amounts, units = np.atleast_2d(np.asarray(amounts, np.float64)), np.asarray(units, np.float64)
    if units.size == 0:
        raise ValueError("no values to average")
    rng = stable_rng(seed, "ratio_bootstrap", *keys)
    rows = max(1, _DRAWS_AT_ONCE // units.size)
    drawn = []
    for start in range(0, resamples, rows):
        chosen = rng.integers(0, units.size, (min(rows, resamples - start), units.size))
        drawn.append(statistic(amounts[:, chosen].sum(-1) / units[chosen].sum(-1)))
    value = float(statistic(amounts.sum(-1, keepdims=True) / units.sum())[0])
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail])
    return Interval(value, min(float(low), value), max(float(high), value))


def mcnemar(first: np.ndarray, second: np.ndarray, clusters: np.ndarray | None = None) -> float:
    """Return the two-sided p-value of the exact McNemar test on two models' correctness (bool) on the same items.

    With `clusters`, items of one cluster change sides together: the exact sign-flip test on the clusters' sums, which
    is McNemar's test when every cluster holds one item.
    """
    differences = np.asarray(first, np.int64) - np.asarray(second, np.int64)
    if clusters is not None:
        _, index = np.unique(clusters, return_inverse=True)
        differences = np.rint(np.bincount(index, differences)).astype(np.int64)
    from scipy.stats import binom

    sums = np.ones(1)  # the null distribution of the sum, from -reach to +reach
    for size in range(1, int(np.abs(differences).max(initial=0)) + 1):
        count = int(np.sum(np.abs(differences) == size))
        flips = np.zeros(2 * size * count + 1)
        flips[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        sums = np.convolve(sums, flips)
    reach = (len(sums) - 1) // 2
    distance = np.abs(np.arange(-reach, reach + 1))
    return float(min(1.0, sums[distance >= abs(int(differences.sum()))].sum()))


@dataclass(frozen=True)
class Comparison:
    """Two arms on the same items, each the mean over its seeds.

    `difference` is first - second with its 95% interval, `p_value` two-sided. `question_variance` and `seed_variance`
    are the parts of the variance of the difference; `seed_variance` is NaN where an arm has one seed: then all is said
    of the trained models that are there, and nothing of the next seed.
    """

    difference: Interval
    p_value: float
    questions: int
    seeds: tuple[int, int]
    question_variance: float
    seed_variance: float


def compare(
    first: np.ndarray, second: np.ndarray, clusters: np.ndarray, seed: int, *keys: Key, resamples: int = 2000
) -> Comparison:
    """Compare two arms by values (seeds, items) on the same items; items of one cluster are not independent.

    The variance over questions is that of a paired bootstrap of clusters; over seeds that of the seeds' means. Their
    sum gets Student's t with Satterthwaite's degrees of freedom, so that two seeds are trusted as little as two
    numbers deserve. The seeds' means hold some of the questions' variance too: the interval is cautious, not narrow.
    Raises ValueError for fewer than two clusters or unlike items.
    """
    from scipy.stats import t

    first, second = np.atleast_2d(np.asarray(first, np.float64)), np.atleast_2d(np.asarray(second, np.float64))
    if first.shape[1] != second.shape[1] or first.shape[1] != len(clusters):
        raise ValueError(f"two arms are compared on the same items, not on {first.shape[1]} and {second.shape[1]}")
    questions = len(np.unique(clusters))
    if questions < 2:
        raise ValueError("a comparison needs at least two questions")
    paired = first.mean(0) - second.mean(0)
    means = _bootstrap_means(paired, clusters, stable_rng(seed, "compare", *keys), resamples)
    # n - 1 in the place of the bootstrap's n
    parts = [(float(means.var()) * questions / (questions - 1), questions - 1)]
    seeds = (len(first), len(second))
    if min(seeds) > 1:
        parts += [(float(arm.mean(1).var(ddof=1)) / len(arm), len(arm) - 1) for arm in (first, second)]
    variance = sum(part for part, _ in parts)
    value = float(paired.mean())
    seed_variance = sum(part for part, _ in parts[1:]) if min(seeds) > 1 else math.nan
    if variance <= 1e-18:  # equal up to rounding everywhere, or apart everywhere by the same
        same = abs(value) < 1e-9
        return Comparison(Interval(value, value, value), 1.0 if same else 0.0, questions, seeds, 0.0, seed_variance)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    error = math.sqrt(variance)
    reach = float(t.ppf(0.975, freedom)) * error
    p_value = float(2 * t.sf(abs(value) / error, freedom))
    return Comparison(
        Interval(value, value - reach, value + reach), p_value, questions, seeds, parts[0][0], seed_variance
    )


def seeds_interval(means: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean over seeds with Student's t interval. Raises ValueError for fewer than two seeds."""
    from scipy.stats import t

    if len(means) < 2:
        raise ValueError("one seed says nothing of the next")
    mean = float(np.mean(means))
    reach = float(t.ppf((1 + confidence) / 2, len(means) - 1) * np.std(means, ddof=1) / math.sqrt(len(means)))
    return Interval(mean, mean - reach, mean + reach)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's method for being looked at together, in their order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


@dataclass(frozen=True)
class Needed:
    """What would resolve a difference of the observed size; None where no number of them would, or is not known.

    `questions` with the seeds that there are (one seed each: were there no noise between seeds), `seeds` an arm with
    the questions that there are.
    """

    questions: int | None
    seeds: int | None


def needed(comparison: Comparison, power: float = 0.8, alpha: float = 0.05) -> Needed:
    """Return the questions and the seeds with which a true difference of the observed size is found with `power`.

    The variance over questions falls with their number, that over seeds with theirs; the test is two-sided at `alpha`.
    """
    from scipy.stats import norm

    effect = abs(comparison.difference.value)
    if effect < 1e-12:
        return Needed(None, None)
    allowed = (effect / float(norm.ppf(1 - alpha / 2) + norm.ppf(power))) ** 2
    between = 0.0 if math.isnan(comparison.seed_variance) else comparison.seed_variance
    questions = None
    if allowed > between:
        questions = math.ceil(comparison.questions * comparison.question_variance / (allowed - between))
    if math.isnan(comparison.seed_variance):
        return Needed(questions, None)
    return Needed(questions, _needed_seeds(comparison, effect, power, alpha))


def _needed_seeds(comparison: Comparison, effect: float, power: float, alpha: float) -> int | None:
    """Return the smallest number of seeds, Student's t included, of both arms, up to 1000."""
    from scipy.stats import t

    one_seed = comparison.seed_variance * 2 / (1 / comparison.seeds[0] + 1 / comparison.seeds[1])
    for seeds in range(2, 1001):
        freedom = 2 * (seeds - 1)
        variance = comparison.question_variance + one_seed / seeds
        if effect >= (t.ppf(1 - alpha / 2, freedom) + t.ppf(power, freedom)) * math.sqrt(variance):
            return seeds
    return None
