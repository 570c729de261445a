"""Uncertainty of results: intervals, paired tests, and the data that a test needs.

Put here: statistics on arrays. Do not put here: scores, records or the text of reports. Standard methods come from
scipy; this module adds what they lack: recordings of one question are not independent (clusters), and
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


@dataclass(frozen=True)
class Mean:
    """A mean over clusters and, with two seeds or more, over seeds: its variance and Student's degrees of freedom.

    `effective` is set for a fraction: the number of independent items whose fraction has that variance. `variance` is
    NaN where fewer than two clusters leave it unknown.
    """

    value: float
    variance: float
    freedom: float
    effective: float | None = None

    @property
    def interval(self) -> Interval:
        """Return the 95% interval: Student's, of a fraction Wilson's with Student's quantile; NaN ends: not known."""
        from scipy.stats import t

        if math.isnan(self.variance):
            return Interval(self.value, math.nan, math.nan)
        if self.effective is None:
            return _interval(self.value, self.variance, self.freedom)[0]
        z2 = float(t.ppf(0.975, self.freedom)) ** 2
        spread = self.value * (1 - self.value) / self.effective + z2 / (4 * self.effective**2)
        middle, stretch = self.value + z2 / (2 * self.effective), 1 + z2 / self.effective
        low, high = ((middle + sign * math.sqrt(z2 * spread)) / stretch for sign in (-1, 1))
        return Interval(self.value, max(0.0, min(self.value, low)), min(1.0, max(self.value, high)))

    def p_value(self, reference: float) -> float:
        """Return the two-sided p-value against a value that is known: below 0.05 where the interval leaves it out."""
        from scipy.stats import t

        variance = self.variance if self.effective is None else reference * (1 - reference) / self.effective
        if math.isnan(self.variance):
            return math.nan
        if variance <= 0:
            return 1.0 if self.value == reference else 0.0
        return float(2 * t.sf(abs(self.value - reference) / math.sqrt(variance), self.freedom))


@dataclass(frozen=True)
class SeedNoise:
    """The variance between seeds of a run's mean, common to all questions, and its degrees of freedom."""

    variance: float
    freedom: int


def seed_noise(arms: Sequence[np.ndarray], clusters: np.ndarray, weights: np.ndarray | None = None) -> SeedNoise | None:
    """Estimate the noise between seeds from the values (seeds, items) of several arms on the same items.

    The estimate is pooled, as in an analysis of variance: two arms of three seeds leave four degrees of freedom, seven
    arms fourteen. It assumes that training is equally noisy in all arms. The interaction with clusters is subtracted.
    Returns None if no arm has two seeds.
    """
    index, count, weights = _clustered(clusters, weights)
    of_clusters = np.bincount(index, weights, count) / weights.sum()
    arms = [arm for arm in map(np.atleast_2d, arms) if len(arm) > 1]
    if not arms or count < 2:
        return None
    squares, freedom = 0.0, 0
    for arm in arms:
        shares = _shares(np.asarray(arm, np.float64), index, count, weights)
        means = shares.sum(1)
        squares += (len(arm) - 1) * (float(means.var(ddof=1)) - _interaction(shares, means, of_clusters))
        freedom += len(arm) - 1
    return SeedNoise(max(0.0, squares / freedom), freedom)


def mean_of(
    values: np.ndarray,
    clusters: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    fraction: bool = False,
    noise: SeedNoise | None = None,
) -> Mean:
    """Return the mean of values (items) or (seeds, items); items of one cluster are not independent.

    `weights` (items) make it the mean of so many units each. With two seeds or more the variance is that of `compare`:
    over clusters and seeds, their interaction counted once; `noise` is that between seeds by more arms than this one.
    The interval of a `fraction`, the mean of values from 0 to 1, stays between 0 and 1 by construction: it is Wilson's
    for as many independent items as have that variance (Korn and Graubard, 1998), at most as many as there are where
    values are 0 or 1; where all are 0 or all 1, as many as there are clusters. In simulations of 5 to 80 clusters it
    covers where a t interval and a bootstrap of clusters miss, and is narrower than a logit interval. Raises
    ValueError for no values, or for a fraction of others.
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    if values.size == 0:
        raise ValueError("no values to average")
    if fraction and (values.min() < 0 or values.max() > 1):
        raise ValueError(f"a fraction is of values from 0 to 1, not {values.min():g} to {values.max():g}")
    index, count, weights = _clustered(clusters, weights)
    shares, of_clusters = _shares(values, index, count, weights), np.bincount(index, weights, count)
    of_clusters = of_clusters / of_clusters.sum()
    alike = values.min() == values.max()
    value = float(values.flat[0] if alike else shares.sum(1).mean())  # of all alike, a sum of shares is not exact
    if count < 2:
        return Mean(value, math.nan, math.nan)
    parts = _Parts.of([shares], shares.mean(0) - of_clusters * value, of_clusters, noise)
    if not fraction:
        return Mean(value, parts.variance, parts.freedom)
    if alike and value in (0.0, 1.0):
        return Mean(value, 0.0, count - 1, float(count))
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    most = float(values.size) if binary else math.inf
    effective = min(most, value * (1 - value) / parts.variance) if parts.variance > 0 else most
    return Mean(value, parts.variance, parts.freedom, None if math.isinf(effective) else effective)


def _clustered(clusters: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, int, np.ndarray]:
    """Return the number of each item's cluster, how many clusters there are, and the weight of each item."""
    found, index = np.unique(np.asarray(clusters), return_inverse=True)
    return index, len(found), np.ones(len(index)) if weights is None else np.asarray(weights, np.float64)


def _shares(values: np.ndarray, index: np.ndarray, count: int, weights: np.ndarray) -> np.ndarray:
    """Return the contribution of each cluster to the mean of each seed: (seeds, clusters) of values (seeds, items)."""
    return np.stack([np.bincount(index, row * weights, count) for row in values]) / weights.sum()


def ratio_bootstrap(
    amounts: np.ndarray,
    units: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    seed: int,
    *keys: Key,
    clusters: np.ndarray | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return a statistic of ratios of sums with the percentile interval of a bootstrap that draws items or clusters.

    `amounts` (series, items) are summed over the items and divided by the sum of `units` (items); `statistic` takes
    (series, resamples) of these ratios and returns one value a resample. With units of 1 the ratios are means.
    Deterministic in (seed, keys). Raises ValueError for no items.
    """
    amounts, units = np.atleast_2d(np.asarray(amounts, np.float64)), np.asarray(units, np.float64)
    if units.size == 0:
        raise ValueError("no values to average")
    if clusters is not None:
        _, index = np.unique(clusters, return_inverse=True)
        amounts, units = np.stack([np.bincount(index, row) for row in amounts]), np.bincount(index, units)
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


@dataclass(frozen=True)
class Comparison:
    """Two arms on the same items, each the mean over its seeds: first - second, for two populations.

    `difference` and `p_value` (two-sided) are of questions like these and, with two seeds or more an arm, of the next
    seeds too; with one seed an arm they are of these trained models. `same_questions` and
    `same_questions_p_value` are of the next seeds on these very questions; NaN with one seed.

    The variance of the difference has three parts: `cluster_variance` over clusters of questions (it falls with their
    number), `interaction_variance`, the part of it that falls with the seeds too, and `seed_variance`, the variance
    between seeds common to all questions. The last two are NaN with one seed. `freedom` is Student's, `seed_freedom`
    that of the estimate of the noise between seeds; 0 with one seed.
    """

    difference: Interval
    p_value: float
    same_questions: Interval
    same_questions_p_value: float
    clusters: int
    cluster_variance: float
    interaction_variance: float
    seed_variance: float
    freedom: float
    seed_freedom: float
    seeds_an_arm: float
    """The number of seeds that would leave as much noise, did all arms have it."""


def compare(
    first: np.ndarray,
    second: np.ndarray,
    clusters: np.ndarray,
    weights: np.ndarray | None = None,
    noise: SeedNoise | None = None,
) -> Comparison:
    """Compare two arms by values (seeds, items) on the same items; items of one cluster are not independent.

    `weights` (items) make the values means of so many units each. Two-way random effects on the clusters' shares of
    each mean: the variance over clusters is that of the paired differences, and holds the interaction of seeds and
    clusters; the variance of the seeds' means holds it once more, so it is taken off there, estimated from the
    residuals of both effects (no less than 0 is left). `noise` is the noise between seeds by more arms than these two;
    None: by each of these alone. Student's t has Satterthwaite's degrees of freedom. Raises ValueError for fewer than
    two clusters or unlike items.
    """
    return contrast((first, second), (1, -1), clusters, weights, noise)


def contrast(
    arms: Sequence[np.ndarray],
    coefficients: Sequence[float],
    clusters: np.ndarray,
    weights: np.ndarray | None = None,
    noise: SeedNoise | None = None,
) -> Comparison:
    """Return the sum of the arms' means times their `coefficients`, as `compare` does for 1 and -1.

    Main effects and interactions of a factorial design are such sums. Raises ValueError for fewer than two clusters,
    for unlike items, or for coefficients that are not one an arm.
    """
    arms = [np.atleast_2d(np.asarray(arm, np.float64)) for arm in arms]
    if len(arms) != len(coefficients):
        raise ValueError(f"{len(arms)} arms have {len(coefficients)} coefficients")
    if any(arm.shape[1] != len(clusters) for arm in arms):
        counts = " and ".join(str(arm.shape[1]) for arm in arms)
        raise ValueError(f"arms are compared on the same items, not on {counts}")
    index, count, weights = _clustered(clusters, weights)
    if count < 2:
        raise ValueError("a comparison needs at least two clusters of questions")
    of_clusters = np.bincount(index, weights, count) / weights.sum()
    shares = [_shares(arm, index, count, weights) for arm in arms]
    summed = sum(factor * arm.mean(0) for factor, arm in zip(coefficients, shares, strict=True))
    value = float(np.sum(summed))
    parts = _Parts.of(shares, summed - of_clusters * value, of_clusters, noise, coefficients)
    of_both = _interval(value, parts.variance, parts.freedom)
    if math.isnan(parts.seeds):
        same: tuple[Interval, float] = Interval(value, math.nan, math.nan), math.nan
    else:
        same = _interval(value, parts.interaction + parts.seeds, parts.same_freedom)
    variances = parts.clusters, parts.interaction, parts.seeds
    squares = [factor**2 for factor in coefficients]
    alike = sum(squares) / sum(square / len(arm) for square, arm in zip(squares, arms, strict=True))
    return Comparison(*of_both, *same, count, *variances, parts.freedom, parts.seed_freedom, alike)


@dataclass(frozen=True)
class _Parts:
    """The variance of a mean, or of a difference of two, in its parts; NaN what one seed leaves unknown."""

    clusters: float
    interaction: float
    seeds: float
    freedom: float
    same_freedom: float
    seed_freedom: float

    @property
    def variance(self) -> float:
        return self.clusters + (0.0 if math.isnan(self.seeds) else self.seeds)

    @classmethod
    def of(
        cls,
        arms: Sequence[np.ndarray],
        deviations: np.ndarray,
        weights: np.ndarray,
        noise: SeedNoise | None,
        coefficients: Sequence[float] = (1,),
    ) -> _Parts:
        """Return the parts from the arms' shares (seeds, clusters) and the deviations of what is estimated."""
        count = len(weights)
        squares = [factor**2 for factor in coefficients]
        of_clusters = count / (count - 1) * float((deviations**2).sum())
        if min(len(arm) for arm in arms) < 2:
            return cls(of_clusters, math.nan, math.nan, count - 1, math.nan, 0)
        shared = [
            square * _interaction(arm, arm.sum(1), weights) / len(arm)
            for square, arm in zip(squares, arms, strict=True)
        ]
        if noise is not None:
            shares = sum(square / len(arm) for square, arm in zip(squares, arms, strict=True))
            left = [(noise.variance * shares, noise.freedom)]
        else:
            left = [
                (max(0.0, square * float(arm.sum(1).var(ddof=1)) / len(arm) - once), len(arm) - 1)
                for square, arm, once in zip(squares, arms, shared, strict=True)
            ]
        freedom = _freedom([(of_clusters, count - 1), *left])
        same_freedom = _freedom(
            [*((once, (len(arm) - 1) * (count - 1)) for once, arm in zip(shared, arms, strict=True)), *left]
        )
        seeds, seed_freedom = (sum(column) for column in zip(*left, strict=True))
        return cls(of_clusters, sum(shared), seeds, freedom, same_freedom, seed_freedom)


def _interaction(shares: np.ndarray, means: np.ndarray, weights: np.ndarray) -> float:
    """Return the variance that the interaction gives the mean of one seed, from `shares` (seeds, clusters) of it."""
    seeds, clusters = shares.shape
    centred = shares - weights * means.mean()
    residuals = centred - np.outer(means - means.mean(), weights) - centred.mean(0)
    return clusters / ((seeds - 1) * (clusters - 1)) * float((residuals**2).sum())


def _freedom(parts: Sequence[tuple[float, float]]) -> float:
    """Return Satterthwaite's degrees of freedom of a sum of variances, each with its own."""
    below = sum(part**2 / freedom for part, freedom in parts)
    return sum(part for part, _ in parts) ** 2 / below if below > 0 else min(freedom for _, freedom in parts)


def _interval(value: float, variance: float, freedom: float) -> tuple[Interval, float]:
    """Return the 95% interval of a value, and its p-value against 0."""
    from scipy.stats import t

    if variance <= 1e-18:  # equal up to rounding everywhere, or apart everywhere by the same
        return Interval(value, value, value), 1.0 if abs(value) < 1e-9 else 0.0
    error = math.sqrt(variance)
    reach = float(t.ppf(0.975, freedom)) * error
    return Interval(value, value - reach, value + reach), float(2 * t.sf(abs(value) / error, freedom))


def rank_correlation(
    first: Sequence[np.ndarray],
    first_clusters: np.ndarray,
    second: Sequence[np.ndarray],
    second_clusters: np.ndarray,
    seed: int,
    *keys: Key,
    resamples: int = 2000,
) -> Interval:
    """Return Spearman's correlation of two rankings of the same arms, with the 95% interval of a bootstrap.

    `first` and `second` hold for each arm its values (seeds, items) on two sets of items, by whose means it is ranked;
    ties share their rank. Each resample draws clusters of both sets, independently, and a seed of each arm where it has
    several: the interval is for questions like these and these arms, not for other arms. Ranks of which one side is all
    tied correlate by 0. Ends are NaN with fewer than three arms, whose two orders an interval cannot distinguish, or a
    single cluster. Deterministic in (seed, keys). Raises ValueError for sets of unlike arms.
    """
    if len(first) != len(second):
        raise ValueError(f"two rankings are of the same arms, not of {len(first)} and {len(second)}")
    sides = [_cluster_sums(arms, clusters) for arms, clusters in ((first, first_clusters), (second, second_clusters))]
    value = _spearman(*(_ranks(np.array([sums.mean(0).sum() for sums in arms])[None]) for arms, _ in sides))[0]
    if len(first) < 3 or min(len(units) for _, units in sides) < 2:
        return Interval(float(value), math.nan, math.nan)
    rng = stable_rng(seed, "rank_correlation", *keys)
    ranks = []
    for arms, units in sides:
        chosen = rng.integers(0, len(units), (resamples, len(units)))
        columns = []
        for sums in arms:
            run = rng.integers(0, len(sums), resamples)
            columns.append(sums[run[:, None], chosen].sum(1) / units[chosen].sum(1))
        ranks.append(_ranks(np.stack(columns, 1)))
    low, high = np.quantile(_spearman(*ranks), [0.025, 0.975])
    return Interval(float(value), min(float(low), float(value)), max(float(high), float(value)))


def _cluster_sums(arms: Sequence[np.ndarray], clusters: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each arm's sums of values by cluster, (seeds, clusters), and the items of each cluster."""
    index, count, weights = _clustered(clusters, None)
    sums = [
        np.stack([np.bincount(index, row, count) for row in np.atleast_2d(np.asarray(arm, np.float64))]) for arm in arms
    ]
    return sums, np.bincount(index, weights, count)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks along the rows of values (n, arms); values that are equal up to rounding share theirs."""
    from scipy.stats import rankdata

    return rankdata(values.round(12), axis=1)


def _spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlation of ranks, row by row; 0 where a side is all tied."""
    one, other = (ranks - ranks.mean(1, keepdims=True) for ranks in (first, second))
    scale = np.sqrt((one**2).sum(1) * (other**2).sum(1))
    return np.divide((one * other).sum(1), scale, out=np.zeros(len(one)), where=scale > 0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple tests by Holm's method, in their order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def smallest_effect(comparison: Comparison, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest true difference that a comparison of this design finds with `power`, two-sided at `alpha`."""
    between = 0.0 if math.isnan(comparison.seed_variance) else comparison.seed_variance
    return _reach(comparison.freedom, alpha, power) * math.sqrt(comparison.cluster_variance + between)


def _reach(freedom: float, alpha: float, power: float) -> float:
    """Return how many standard errors a difference must have to be found with `power`."""
    from scipy.stats import t

    return float(t.ppf(1 - alpha / 2, freedom) + t.ppf(power, freedom))


@dataclass(frozen=True)
class Needed:
    """The data that would find a difference: clusters with these seeds, or seeds an arm with these clusters.

    None if no number of one alone is enough, or if it is not known. `both` (clusters, seeds an arm) is set if clusters
    alone are not enough; its estimate of the noise between seeds is rough with few seeds.
    """

    clusters: int | None
    seeds: int | None
    both: tuple[int, int] | None = None


_MOST_SEEDS = 1000


def needed(comparison: Comparison, effect: float, alpha: float = 0.05, power: float = 0.8) -> Needed:
    """Return the data that would find a true difference of size `effect` with `power`, two-sided at `alpha`.

    With one seed an arm the noise between seeds is not known, and is taken as none. Raises ValueError for effect 0.
    """
    if effect == 0:
        raise ValueError("a difference of 0 is not found by any design")
    if math.isnan(comparison.seed_variance):
        return Needed(
            _clusters(comparison, abs(effect), comparison.cluster_variance, 0.0, math.inf, alpha, power), None
        )
    seeds = comparison.seeds_an_arm
    pure = max(0.0, comparison.cluster_variance - comparison.interaction_variance)
    interaction, between = comparison.interaction_variance * seeds, comparison.seed_variance * seeds
    freedom_a_seed = comparison.seed_freedom / (seeds - 1)  # arms beside these two may have had a part in the estimate

    def clusters(seeds: float) -> int | None:
        of_clusters, freedom = pure + interaction / seeds, freedom_a_seed * (seeds - 1)
        return _clusters(comparison, abs(effect), of_clusters, between / seeds, freedom, alpha, power)

    def enough(seeds: int) -> bool:
        asked = clusters(seeds)
        return asked is not None and asked <= comparison.clusters

    alone = clusters(seeds)
    found = _least_seeds(enough)
    both = None
    if alone is None:
        least = _least_seeds(lambda number: clusters(number) is not None)
        if least is not None:
            more = 2 * least  # seeds with half of the allowed noise
            asked = clusters(more)
            both = (asked, more) if asked is not None else None
    return Needed(alone, found, both)


def _least_seeds(enough: Callable[[int], bool]) -> int | None:
    """Return the smallest sufficient number of seeds, if more are always sufficient; None above the largest."""
    if not enough(_MOST_SEEDS):
        return None
    low, high = 1, _MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if middle > 1 and enough(middle) else (middle, high)
    return high


def _clusters(
    comparison: Comparison,
    effect: float,
    of_clusters: float,
    of_seeds: float,
    seeds_freedom: float,
    alpha: float,
    power: float,
) -> int | None:
    """Return the number of clusters needed, given that the present ones have the variance `of_clusters`."""
    freedom = float(comparison.clusters - 1)
    count = None
    for _ in range(3):  # the degrees of freedom depend on the answer, a little
        allowed = (effect / _reach(freedom, alpha, power)) ** 2 - of_seeds
        if allowed <= 0:
            return None
        count = max(2, math.ceil(comparison.clusters * of_clusters / allowed))
        parts = [(allowed, count - 1.0)]
        if of_seeds > 0 and math.isfinite(seeds_freedom):
            parts.append((of_seeds, seeds_freedom))
        freedom = max(1.0, _freedom(parts))
    return count


def permutation_test(
    values: np.ndarray, marked: np.ndarray, clusters: np.ndarray, seed: int, *keys: Key, permutations: int = 1999
) -> float:
    """Return the one-sided p-value that `marked` items have a higher mean than the others; NaN if it cannot decide.

    Marks are permuted within each cluster, and between whole clusters of equal size: both preserve the null
    distribution under any dependence within clusters. Deterministic in (seed, keys).
    """
    values, marked = np.asarray(values, np.float64), np.asarray(marked, bool)
    if marked.all() or not marked.any():
        return math.nan
    order = np.argsort(clusters, kind="stable")
    _, sizes = np.unique(np.asarray(clusters)[order], return_counts=True)
    starts = np.cumsum(sizes) - sizes
    by_size = [starts[sizes == size][:, None] + np.arange(size) for size in np.unique(sizes).tolist()]
    blocks = [(values[order][places], marked[order][places]) for places in by_size]
    rng = stable_rng(seed, "permutation", *keys)
    seen = float(values[marked].sum())
    sums = np.array(
        [
            sum(
                float((block * rng.permuted(marks[rng.permutation(len(marks))], axis=1)).sum())
                for block, marks in blocks
            )
            for _ in range(permutations)
        ]
    )
    if np.ptp(sums) < 1e-9:
        return math.nan
    return float((1 + (sums >= seen - 1e-9).sum()) / (1 + permutations))
