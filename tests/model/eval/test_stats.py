"""Intervals and tests: against scipy, and against simulated data of which the truth is known."""

import numpy as np
import pytest
import scipy.stats

from spelangy_model.eval.stats import (
    cluster_bootstrap,
    compare,
    holm,
    mcnemar,
    needed,
    ratio_bootstrap,
    seeds_interval,
    wilson_interval,
)


def test_wilson_is_the_textbook_interval() -> None:
    interval = wilson_interval(10, 40)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.25, 0.1419, 0.4019), abs=1e-4)


def test_bootstrap_of_independent_values_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(0).random(1000) < 0.4
    interval = cluster_bootstrap(values, np.arange(1000), seed=0)
    half = 1.96 * np.sqrt(values.mean() * (1 - values.mean()) / 1000)
    assert interval.value == values.mean()
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.004)


def test_bootstrap_counts_copies_of_a_question_once() -> None:
    values = (np.random.default_rng(0).random(300) < 0.5).astype(float)
    once = cluster_bootstrap(values, np.arange(300), seed=0)
    twice = cluster_bootstrap(np.repeat(values, 2), np.repeat(np.arange(300), 2), seed=0)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), abs=0.01)


def test_bootstrap_intervals_cover_the_truth_at_their_rate() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        probabilities = rng.beta(2, 2, 100)
        values = (rng.random((100, 2)) < probabilities[:, None]).reshape(-1)
        interval = cluster_bootstrap(values, np.repeat(np.arange(100), 2), trial, resamples=400)
        covered += interval.low <= 0.5 <= interval.high
    assert 0.90 <= covered / 300 <= 0.98


def test_bootstrap_is_reproducible_and_refuses_nothing() -> None:
    values = np.random.default_rng(0).normal(size=50)
    clusters = np.arange(50)
    assert cluster_bootstrap(values, clusters, 0, "a") == cluster_bootstrap(values, clusters, 0, "a")
    assert cluster_bootstrap(values, clusters, 0, "a") != cluster_bootstrap(values, clusters, 0, "b")
    with pytest.raises(ValueError, match="no values"):
        cluster_bootstrap(np.array([]), np.array([]), 0)


def test_mcnemar_is_the_exact_binomial_on_disagreements() -> None:
    first = np.array([True] * 9 + [False] * 1 + [True] * 50)
    second = np.array([False] * 9 + [True] * 1 + [True] * 50)
    assert mcnemar(first, second) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(first, first) == 1.0


def test_mcnemar_calls_no_effect_resolved_rarely() -> None:
    rng = np.random.default_rng(2)
    hits = sum(mcnemar(rng.random(200) < 0.4, rng.random(200) < 0.4) < 0.05 for _ in range(300))
    assert hits / 300 <= 0.065


def test_mcnemar_agrees_with_statsmodels() -> None:
    from statsmodels.stats.contingency_tables import mcnemar as reference

    rng = np.random.default_rng(3)
    for _ in range(20):
        first, second = rng.random(120) < 0.6, rng.random(120) < 0.5
        table = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
        assert mcnemar(first, second) == pytest.approx(reference(table, exact=True).pvalue)
        assert mcnemar(first, second, np.arange(120)) == pytest.approx(mcnemar(first, second))


def test_mcnemar_of_clusters_is_every_flip_counted() -> None:
    """Four questions, two recordings each: all 2**4 ways in which whole questions could change sides."""
    first = np.array([1, 1, 1, 0, 1, 1, 0, 1], bool)
    second = np.array([0, 0, 0, 0, 0, 1, 1, 1], bool)
    sums = (first.astype(int) - second).reshape(4, 2).sum(1)
    flips = [sum(s if mask >> i & 1 else -s for i, s in enumerate(sums)) for mask in range(16)]
    expected = np.mean(np.abs(flips) >= abs(sums.sum()))
    assert mcnemar(first, second, np.repeat(np.arange(4), 2)) == pytest.approx(expected)


def test_a_comparison_of_single_recordings_is_the_paired_t_test_of_scipy() -> None:
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(0)
    first, second = (rng.random((2, 600)) < np.array([[0.5], [0.42]])).astype(float)
    found = compare(first, second, np.arange(600), 0, resamples=20_000)
    reference = ttest_rel(first, second)
    interval = reference.confidence_interval()
    assert found.difference.value == pytest.approx(first.mean() - second.mean())
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high), abs=0.002)
    assert found.p_value == pytest.approx(reference.pvalue, rel=0.15)


def test_where_only_seeds_differ_a_comparison_is_the_t_test_of_their_means() -> None:
    from scipy.stats import ttest_ind

    first, second = np.array([0.40, 0.44, 0.47]), np.array([0.30, 0.35, 0.34])
    found = compare(np.repeat(first[:, None], 50, 1), np.repeat(second[:, None], 50, 1), np.arange(50), 0)
    reference = ttest_ind(first, second, equal_var=False)
    assert found.question_variance == pytest.approx(0, abs=1e-18)
    assert found.p_value == pytest.approx(reference.pvalue, rel=1e-6)


def simulate(rng: np.random.Generator, seeds: int, questions: int, effect: float, noise: float) -> np.ndarray:
    """Correctness (2, seeds, questions x 2 recordings) of two arms: hard and easy questions, and seeds that differ."""
    logit = rng.normal(0, 1.2, questions)[None, None, :] + rng.normal(0, noise, (2, seeds, 1))
    logit[0] += effect
    chance = np.repeat(1 / (1 + np.exp(-logit)), 2, axis=2)
    return (rng.random(chance.shape) < chance).astype(float)


def resolved_share(seeds: int, effect: float, noise: float, trials: int) -> float:
    clusters = np.repeat(np.arange(150), 2)
    resolved = 0
    for trial in range(trials):
        first, second = simulate(np.random.default_rng([seeds, trial]), seeds, 150, effect, noise)
        resolved += compare(first, second, clusters, trial, resamples=500).p_value < 0.05
    return resolved / trials


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "noise"), [(1, 0.0), (2, 0.25), (3, 0.25), (5, 0.25)])
def test_no_effect_is_called_resolved_in_at_most_one_of_fifteen(seeds: int, noise: float) -> None:
    assert resolved_share(seeds, 0.0, noise, 1000) <= 0.065


@pytest.mark.slow
def test_seed_noise_that_is_not_looked_at_would_be_called_an_effect() -> None:
    assert resolved_share(1, 0.0, 0.25, 300) > 0.1, "one seed a run speaks of these two models alone"


def test_a_known_effect_is_found_and_the_interval_holds_it() -> None:
    assert resolved_share(3, 0.8, 0.1, 60) > 0.9


def test_what_it_would_take_is_what_a_simulation_of_that_many_resolves() -> None:
    rng = np.random.default_rng(4)

    def arms(questions: int) -> tuple[np.ndarray, np.ndarray]:
        return (rng.random(questions) < 0.46).astype(float), (rng.random(questions) < 0.40).astype(float)

    first, second = np.zeros(500), np.zeros(500)
    first[:230], second[100:300] = 1, 1
    asked = needed(compare(first, second, np.arange(500), 0))
    assert asked.seeds is None
    assert asked.questions is not None
    reference = (first - second).var() * (1.96 + 0.8416) ** 2 / 0.06**2
    assert asked.questions == pytest.approx(reference, rel=0.1)
    hits = sum(
        compare(*arms(1100), np.arange(1100), trial, resamples=200).p_value < 0.05 for trial in range(300)
    )  # independent answers: 2 * .25 * (2.8 / .06)**2 = 1060 questions
    assert 0.72 < hits / 300 < 0.9


def test_seeds_that_would_be_needed_grow_with_their_noise() -> None:
    clusters = np.arange(4000)
    rng = np.random.default_rng(0)

    def asked(noise: tuple[float, float, float]) -> int:
        first, second = ((rng.random((3, 4000)) < 0.42 + np.array(noise)[:, None] + lift) for lift in (0.03, 0.0))
        found = needed(compare(first, second, clusters, 0))
        assert found.seeds is not None
        return found.seeds

    assert 2 <= asked((-0.005, 0, 0.005)) < asked((-0.05, 0, 0.05)) < 200
    equal = np.ones((2, 10))
    assert needed(compare(equal, equal, np.arange(10), 0)) == needed(compare(equal[:1], equal[:1], np.arange(10), 0))


def test_holm_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p_values = [0.01, 0.04, 0.03, 0.005, 0.9]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert holm([]) == []


def test_seeds_aggregate_to_the_t_interval_of_scipy() -> None:
    from scipy.stats import t

    means = [0.41, 0.44, 0.40]
    low, high = t.interval(0.95, 2, np.mean(means), np.std(means, ddof=1) / np.sqrt(3))
    found = seeds_interval(means)
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(means), low, high))
    with pytest.raises(ValueError, match="one seed"):
        seeds_interval([0.4])


def test_a_bootstrap_of_ratios_is_scipys() -> None:
    rng = np.random.default_rng(4)
    units = rng.integers(20, 200, 60).astype(float)
    amounts = -units * rng.normal(1.5, 0.3, 60)
    found = ratio_bootstrap(amounts, units, lambda ratio: np.exp(-ratio[0]), 0, resamples=4000)
    assert found.value == pytest.approx(np.exp(-amounts.sum() / units.sum()))
    reference = scipy.stats.bootstrap(
        (amounts, units),
        lambda a, u, axis: np.exp(-a.sum(axis) / u.sum(axis)),
        paired=True,
        vectorized=True,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    width = reference.high - reference.low
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.1 * width)
    assert found == ratio_bootstrap(amounts, units, lambda ratio: np.exp(-ratio[0]), 0, resamples=4000)
    with pytest.raises(ValueError, match="no values"):
        ratio_bootstrap(np.zeros((1, 0)), np.zeros(0), lambda ratio: ratio[0], 0)
