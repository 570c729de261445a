"""Intervals and tests: against scipy, and against simulated data of which the truth is known."""

import numpy as np
import pytest

from spelangy_model.eval.stats import cluster_bootstrap, mcnemar, wilson_interval


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
