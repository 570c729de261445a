"""Intervals and tests: against scipy, and against simulated data of which the truth is known."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats

from spelangy_model.eval.stats import (
    Comparison,
    Interval,
    compare,
    contrast,
    holm,
    mean_of,
    needed,
    permutation_test,
    rank_correlation,
    ratio_bootstrap,
    seed_noise,
    smallest_effect,
    wilson_interval,
)
from spelangy_model.rng import stable_rng


def test_wilson_is_the_textbook_interval() -> None:
    interval = wilson_interval(10, 40)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.25, 0.1419, 0.4019), abs=1e-4)


def test_a_mean_of_lone_values_has_students_interval() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, 60)
    found = mean_of(values, np.arange(60))
    reference = scipy.stats.ttest_1samp(values, 1.8)
    ends = reference.confidence_interval()
    assert found.interval.value == pytest.approx(values.mean())
    assert (found.interval.low, found.interval.high) == pytest.approx((ends.low, ends.high))
    assert found.p_value(1.8) == pytest.approx(reference.pvalue)


def test_a_fraction_of_lone_items_has_wilsons_interval_and_of_clusters_a_wider_one() -> None:
    hits = np.arange(2000) < 500
    lone, wilson = mean_of(hits, np.arange(2000), fraction=True).interval, wilson_interval(500, 2000)
    assert (lone.value, lone.low, lone.high) == pytest.approx((wilson.value, wilson.low, wilson.high), abs=1e-4)
    whole = mean_of(hits, np.arange(2000) // 10, fraction=True).interval  # clusters that are all hits or none
    fewer = wilson_interval(50, 200)
    assert (whole.low, whole.high) == pytest.approx((fewer.low, fewer.high), abs=0.002)
    for value in (0, 1):
        alike = mean_of(np.full(2000, value), np.arange(2000) // 10, fraction=True).interval
        assert alike.value == value
        assert alike.high - alike.low == pytest.approx(wilson_interval(0, 200).high, abs=5e-4)


def test_copies_of_a_question_and_weights_count_as_they_should() -> None:
    hits = (np.random.default_rng(0).random(300) < 0.5).astype(float)
    once = mean_of(hits, np.arange(300), fraction=True).interval
    twice = mean_of(np.repeat(hits, 2), np.repeat(np.arange(300), 2), fraction=True).interval
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    units = np.random.default_rng(1).integers(1, 9, 300).astype(float)
    losses = np.random.default_rng(2).normal(1.5, 0.3, 300)
    ratio = ratio_bootstrap(losses * units, units, lambda ratio: ratio[0], 0, resamples=8000)
    weighted = mean_of(losses, np.arange(300), weights=units).interval
    assert weighted.value == pytest.approx(ratio.value)
    width = ratio.high - ratio.low
    assert (weighted.low, weighted.high) == pytest.approx((ratio.low, ratio.high), abs=0.08 * width)


def test_a_mean_of_nothing_and_a_fraction_above_one_are_refused_and_one_cluster_says_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        mean_of(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="from 0 to 1"):
        mean_of(np.array([0.5, 1.5]), np.arange(2), fraction=True)
    found = mean_of(np.array([0.0, 1.0]), np.zeros(2), fraction=True)
    assert found.interval.value == 0.5
    assert np.isnan([found.interval.low, found.interval.high, found.p_value(0.25)]).all()


def drawn_hits(trial: tuple[int, ...], clusters: int, size: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return hits and their clusters, of 1 to 2 `size` - 1 items: a fifth of a latent variance is the cluster's."""
    rng = np.random.default_rng(trial)
    index = np.repeat(np.arange(clusters), rng.integers(1, 2 * size, clusters))
    latent = rng.normal(0, 0.2**0.5, clusters)[index] + rng.normal(0, 0.8**0.5, len(index))
    return (latent < scipy.stats.norm.ppf(rate)).astype(float), index


def bootstrap_covers(hits: np.ndarray, index: np.ndarray, rate: float) -> bool:
    """Say whether the percentile interval of a bootstrap of clusters covers the rate."""
    found = ratio_bootstrap(hits, np.ones(len(hits)), lambda ratio: ratio[0], 0, clusters=index, resamples=400)
    return found.low <= rate <= found.high


@pytest.mark.parametrize("rate", [0.03, 0.3, 0.95])
@pytest.mark.parametrize(("clusters", "size"), [(5, 5), (20, 5), (80, 15)])
def test_a_fraction_is_covered_with_few_clusters_and_near_the_ends_where_a_bootstrap_misses_it(
    clusters: int, size: int, rate: float
) -> None:
    """The bar is 93%; of 400 draws, two standard errors are 2.6 points. A t interval would leave [0, 1], too."""
    covered, covered_by_bootstrap = [], []
    for trial in range(400):
        hits, index = drawn_hits((9, trial, clusters, round(100 * rate)), clusters, size, rate)
        found = mean_of(hits, index, fraction=True)
        ends = found.interval
        assert 0 <= ends.low <= ends.value <= ends.high <= 1
        covered.append(ends.low <= rate <= ends.high)
        assert covered[-1] == (found.p_value(rate) >= 0.05) or min(abs(ends.low - rate), abs(ends.high - rate)) < 1e-6
        if clusters < 80 and trial < 200:
            covered_by_bootstrap.append(bootstrap_covers(hits, index, rate))
    assert np.mean(covered) >= 0.93 - 0.026
    if covered_by_bootstrap:
        assert np.mean(covered_by_bootstrap) < np.mean(covered)
    if (clusters, rate) == (5, 0.03):
        assert np.mean(covered_by_bootstrap) < 0.6


def test_one_seed_and_several_have_one_method_and_seeds_that_differ_widen_it() -> None:
    hits, index = drawn_hits((10,), 40, 8, 0.4)
    one = mean_of(hits, index, fraction=True).interval
    same = mean_of(np.stack([hits, hits, hits]), index, fraction=True).interval
    assert (same.low, same.high) == pytest.approx((one.low, one.high), abs=0.003)
    apart = mean_of(np.stack([hits, np.zeros_like(hits), hits]), index, fraction=True).interval
    assert apart.high - apart.low > 2 * (one.high - one.low)


def test_a_comparison_of_single_recordings_is_the_paired_t_test_of_scipy() -> None:
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(0)
    first, second = (rng.random((2, 600)) < np.array([[0.5], [0.42]])).astype(float)
    found = compare(first, second, np.arange(600))
    reference = ttest_rel(first, second)
    interval = reference.confidence_interval()
    assert found.difference.value == pytest.approx(first.mean() - second.mean())
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(reference.pvalue)
    assert np.isnan(found.same_questions_p_value)


def test_copies_of_a_question_change_nothing() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random((2, 3, 200)) < 0.4).astype(float)
    once = compare(first, second, np.arange(200))
    thrice = compare(np.repeat(first, 3, 1), np.repeat(second, 3, 1), np.repeat(np.arange(200), 3))
    assert thrice.difference.high == pytest.approx(once.difference.high)
    assert thrice.same_questions_p_value == pytest.approx(once.same_questions_p_value)


def test_where_only_seeds_differ_a_comparison_is_the_t_test_of_their_means() -> None:
    from scipy.stats import ttest_ind

    first, second = np.array([0.40, 0.44, 0.47]), np.array([0.30, 0.35, 0.34])
    found = compare(np.repeat(first[:, None], 50, 1), np.repeat(second[:, None], 50, 1), np.arange(50))
    reference = ttest_ind(first, second, equal_var=False)
    assert found.cluster_variance == pytest.approx(0, abs=1e-18)
    assert found.p_value == pytest.approx(reference.pvalue, rel=1e-6)
    assert found.same_questions_p_value == pytest.approx(reference.pvalue, rel=1e-6)


def test_a_contrast_of_a_factorial_design_is_that_of_a_linear_model() -> None:
    rng = np.random.default_rng(4)
    signs = np.array([(a, b) for a in (-1, 1) for b in (-1, 1)])
    a, b, both = 0.3, -0.1, 0.2  # effects: from the first level to the second
    arms = [
        a / 2 * one + b / 2 * other + both / 2 * one * other + rng.normal(0, 0.05, (3, 400))
        for one, other in signs.tolist()
    ]
    clusters = np.arange(400)
    design = np.repeat(np.column_stack([np.ones(4), signs, signs.prod(1)]), 3, axis=0)
    means = np.concatenate([arm.mean(1) for arm in arms])
    fitted = 2 * np.linalg.lstsq(design, means, rcond=None)[0]
    for place, column in ((1, signs[:, 0]), (2, signs[:, 1]), (3, signs.prod(1))):
        found = contrast(arms, (column / 2).tolist(), clusters)
        assert found.difference.value == pytest.approx(fitted[place])
        assert found.difference.low < (0, a, b, both)[place] < found.difference.high


def test_a_contrast_of_one_and_minus_one_is_a_comparison_and_twice_it_is_twice_as_wide() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(0.1, 1, (3, 60)), rng.normal(0, 1, (4, 60))
    clusters = np.arange(60) // 3
    once, twice = compare(first, second, clusters), contrast((first, second), (2, -2), clusters)
    assert contrast((first, second), (1, -1), clusters) == once
    assert twice.difference.value == pytest.approx(2 * once.difference.value)
    assert twice.p_value == pytest.approx(once.p_value)
    assert twice.same_questions_p_value == pytest.approx(once.same_questions_p_value)
    assert twice.seeds_an_arm == pytest.approx(once.seeds_an_arm)
    with pytest.raises(ValueError, match="2 arms have 1 coefficients"):
        contrast((first, second), (1,), clusters)


def test_the_three_variances_are_those_of_the_generator() -> None:
    """Additive effects of clusters (of the difference), seeds and cells, of unequal sizes, in 400 draws."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 9, 60)
    clusters, seeds = np.repeat(np.arange(60), sizes), 3
    found = []
    for _ in range(400):
        of_clusters = rng.normal(0, 0.2, (2, 1, 60))
        cells = rng.normal(0, 0.3, (2, seeds, 60))
        arms = (of_clusters + cells)[..., clusters] + rng.normal(0, 0.05, (2, seeds, 1))
        found.append(compare(arms[0], arms[1], clusters))
    weights = sizes / sizes.sum()
    interaction = 2 * 0.3**2 * (weights**2).sum() / seeds
    assert np.mean([one.interaction_variance for one in found]) == pytest.approx(interaction, rel=0.05)
    expected = 2 * 0.2**2 * (weights**2).sum() + interaction
    assert np.mean([one.cluster_variance for one in found]) == pytest.approx(expected, rel=0.06)
    assert np.mean([one.seed_variance for one in found]) == pytest.approx(2 * 0.05**2 / seeds, rel=0.25)


def test_unlike_items_and_a_single_cluster_are_refused() -> None:
    with pytest.raises(ValueError, match="not on 3 and 4"):
        compare(np.zeros(3), np.zeros(4), np.arange(3))
    with pytest.raises(ValueError, match="two clusters"):
        compare(np.zeros(3), np.zeros(3), np.zeros(3))
    equal = compare(np.ones((2, 4)), np.ones((2, 4)), np.arange(4))
    assert (equal.p_value, equal.difference.low, equal.difference.high) == (1.0, 0.0, 0.0)


# --- simulations: the generator is that of the sample's benchmark ------------------------------------------------
# 80 clusters (entities) of 15 questions. A question is answered where a latent normal variable lies below a threshold;
# its variance is 0.12 of the cluster, 0.06 of cluster and arm, 0.20 of the question, 0.10 of question and arm, 0.52 of
# each answer anew. That gives an accuracy of 30% with a standard error of 1.5 points, as measured on the sample, and
# two runs disagree on a third of the questions. A seed shifts a run's accuracy by a normal amount, its SD in points.

CLUSTERS, QUESTIONS = 80, 15
PARTS = {"cluster": 0.12, "cluster_arm": 0.06, "question": 0.20, "question_arm": 0.10}
CLUSTER_OF = np.repeat(np.arange(CLUSTERS), QUESTIONS)


def simulate(
    seed: tuple[int, ...], arms: int, seeds: int, seed_sd: float | np.ndarray, effect: float = 0.0
) -> np.ndarray:
    """Return answers (arms, seeds, questions), right or wrong; the accuracy of arm a is `effect` * a higher."""
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    items = CLUSTERS * QUESTIONS
    shared = rng.normal(0, PARTS["cluster"] ** 0.5, CLUSTERS)[CLUSTER_OF] + rng.normal(
        0, PARTS["question"] ** 0.5, items
    )
    of_arms = rng.normal(0, PARTS["cluster_arm"] ** 0.5, (arms, CLUSTERS))[:, CLUSTER_OF]
    latent = (shared + of_arms + rng.normal(0, PARTS["question_arm"] ** 0.5, (arms, items)))[:, None]
    rates = 0.30 + effect * np.arange(arms)[:, None] + rng.normal(0, seed_sd, (arms, seeds))
    answers = latent + rng.standard_normal((arms, seeds, items), np.float32) * (1 - sum(PARTS.values())) ** 0.5
    return (answers < norm.ppf(rates)[..., None]).astype(float)


def planned(seed: tuple[int, ...], seeds: int, seed_sd: float, effect: float = 0.0, arms: int = 7) -> list[Comparison]:
    """Return the comparisons of each arm with the one before: the six rows of a board of seven arms."""
    answers = simulate(seed, arms, seeds, seed_sd, effect)
    noise = seed_noise(list(answers), CLUSTER_OF)
    return [compare(answers[arm], answers[arm - 1], CLUSTER_OF, noise=noise) for arm in range(1, arms)]


@dataclass(frozen=True)
class Simulated:
    """Rates over simulated boards without an effect; power is at the effect that the oracle finds four times in five.

    The oracle knows the variance of the difference, and is a z-test.
    """

    coverage: float
    width: float
    false_boards: float
    power: float
    oracle: float


def simulated(boards: int, seeds: int, seed_sd: float) -> Simulated:
    from scipy.stats import norm

    found = [planned((1, board, seeds, round(1e4 * seed_sd)), seeds, seed_sd) for board in range(boards)]
    rows = [one for board in found for one in board]
    values = np.array([one.difference.value for one in rows])
    reach = np.array([one.difference.high - one.difference.value for one in rows])
    error = float(values.std())
    effect = (norm.ppf(0.975) + norm.ppf(0.8)) * error
    return Simulated(
        coverage=float(np.mean(np.abs(values) <= reach)),
        width=float(reach.mean() / (norm.ppf(0.975) * error)),
        false_boards=float(np.mean([min(holm([one.p_value for one in board])) < 0.05 for board in found])),
        power=float(np.mean(np.abs(values + effect) > reach)),
        oracle=float(np.mean(np.abs(values + effect) > norm.ppf(0.975) * error)),
    )


SETTINGS = [(seeds, sd) for seeds in (3, 5) for sd in (0.0, 0.005, 0.015)]


@pytest.mark.parametrize(("seeds", "seed_sd"), [(3, 0.0), (5, 0.005), (3, 0.015)])
def test_intervals_cover_are_narrow_and_planned_comparisons_are_rarely_false(seeds: int, seed_sd: float) -> None:
    """Coverage and width are held to the bars; the rest leaves two standard errors of 120 boards, see the slow test."""
    found = simulated(120, seeds, seed_sd)
    assert found.coverage >= 0.93
    assert found.width <= 1.3
    assert found.false_boards <= 0.05 + 0.04
    assert found.power >= found.oracle - 0.06


def test_noise_between_seeds_is_that_of_the_generator_and_is_pooled_over_arms() -> None:
    found = [seed_noise(list(simulate((3, board), 7, 3, 0.015)), CLUSTER_OF) for board in range(60)]
    assert {one.freedom for one in found if one} == {14}
    assert np.mean([one.variance for one in found if one]) == pytest.approx(0.015**2, rel=0.15)
    assert seed_noise([np.zeros((1, 4)), np.zeros((1, 4))], np.arange(4)) is None


def test_more_arms_make_a_comparison_of_few_seeds_surer_and_change_no_difference() -> None:
    answers = simulate((4,), 7, 3, 0.015)
    alone = compare(answers[0], answers[1], CLUSTER_OF)
    pooled = compare(answers[0], answers[1], CLUSTER_OF, noise=seed_noise(list(answers), CLUSTER_OF))
    assert pooled.difference.value == alone.difference.value
    assert pooled.cluster_variance == alone.cluster_variance
    assert (alone.seed_freedom, pooled.seed_freedom) == (4, 14)


def test_an_arm_whose_seeds_differ_three_times_as_much_as_the_others_is_rarely_called_different() -> None:
    """What pooling costs where its assumption fails: 7.5% of 400 such boards, where 5% is what it should be."""
    spread = np.array([[0.015], *[[0.005]] * 6])
    called = []
    for board in range(200):
        answers = simulate((5, board), 7, 3, spread)
        noise = seed_noise(list(answers), CLUSTER_OF)
        called.append(compare(answers[0], answers[1], CLUSTER_OF, noise=noise).p_value < 0.05)
    assert np.mean(called) <= 0.075 + 0.04


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize(("seeds", "seed_sd"), SETTINGS)
def test_the_bars_hold_over_many_boards(seeds: int, seed_sd: float) -> None:
    found = simulated(1000, seeds, seed_sd)
    assert found.coverage >= 0.93
    assert found.width <= 1.3
    assert found.false_boards <= 0.065  # 5% and two standard errors of 1,000 boards
    assert found.power >= found.oracle - 0.05


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("seed_sd", "limit"), [(0.0, 0.07), (0.005, 0.07), (0.015, 0.08), (0.03, 0.12)])
def test_guessing_is_called_a_skill_as_often_as_it_may_where_seeds_differ_by_up_to_one_and_a_half_points(
    seeds: int, seed_sd: float, limit: float
) -> None:
    """600 arms that guess. Where seeds differ by more than questions do, few seeds err oftener: up to one in ten."""
    rng = np.random.default_rng(1)
    called = []
    for _ in range(600):
        rates = rng.normal(0.25, seed_sd, (seeds, 1))
        hits = rng.random((seeds, 400)) < rates
        called.append(mean_of(hits, np.arange(400) // 2, fraction=True).p_value(0.25) < 0.05)
    assert np.mean(called) <= limit


@pytest.mark.parametrize("seed_sd", [0.005, 0.015])
def test_the_next_seeds_on_these_questions_lie_where_their_interval_says(seed_sd: float) -> None:
    """The questions and what arms make of them stay; the truth is the mean over many more seeds."""
    covered = []
    for trial in range(60):
        answers = simulate((2, trial), 2, 43, seed_sd)
        found = compare(answers[0, :3], answers[1, :3], CLUSTER_OF)
        truth = answers[0, 3:].mean() - answers[1, 3:].mean()
        covered.append(found.same_questions.low <= truth <= found.same_questions.high)
        assert (
            found.same_questions.high - found.same_questions.low <= found.difference.high - found.difference.low + 0.05
        )
    assert np.mean(covered) >= 0.85


def test_intervals_by_question_alone_miss_the_truth_too_often() -> None:
    """What clusters are for: the same answers, as if no two questions had anything in common."""
    missed: dict[str, list[bool]] = {"clusters": [], "lone": []}
    for trial in range(250):
        answers = simulate((3, trial), 2, 1, 0.0)
        for name, within in (("clusters", CLUSTER_OF), ("lone", np.arange(CLUSTERS * QUESTIONS))):
            found = compare(answers[0], answers[1], within).difference
            missed[name].append(not found.low <= 0 <= found.high)
    assert np.mean(missed["clusters"]) <= 0.08
    assert np.mean(missed["lone"]) >= 0.04 + np.mean(missed["clusters"])


def test_without_noise_between_seeds_clusters_are_always_among_what_it_would_take() -> None:
    """Three seeds give a rough estimate of their noise: by it seeds may be asked for too, never instead."""
    asked = [needed(one, 0.02) for board in range(12) for one in planned((4, board), 3, 0.0) if one.p_value >= 0.05]
    assert len(asked) > 50
    assert all(one.clusters is not None or one.both is not None for one in asked)
    assert np.mean([one.clusters is not None for one in asked]) > 0.5


def test_what_it_would_take_is_what_a_simulation_of_that_many_finds() -> None:
    rng = np.random.default_rng(4)

    def arms(clusters: int) -> Comparison:
        """Two arms of one seed, clusters of four answers, accuracies 46 and 40%."""
        rates = np.array([0.46, 0.40])[:, None] + rng.normal(0, 0.15, (2, clusters))
        answers = rng.random((2, clusters * 4)) < np.repeat(rates, 4, axis=1)
        return compare(answers[0].astype(float), answers[1].astype(float), np.repeat(np.arange(clusters), 4))

    asked = needed(arms(2000), 0.06)
    assert asked.seeds is None
    assert asked.clusters is not None
    found = np.mean([arms(asked.clusters).p_value < 0.05 for _ in range(400)])
    assert 0.74 < found < 0.87
    assert smallest_effect(arms(asked.clusters)) == pytest.approx(0.06, rel=0.1)


def test_seeds_that_would_be_needed_are_what_a_simulation_of_that_many_finds() -> None:
    rng = np.random.default_rng(5)

    def arms(seeds: int) -> Comparison:
        rates = np.array([0.44, 0.40])[:, None] + rng.normal(0, 0.02, (2, seeds))
        answers = (rng.random((2, seeds, 3000)) < rates[..., None]).astype(float)
        return compare(answers[0], answers[1], np.arange(3000))

    asked = needed(arms(60), 0.04)
    assert asked.seeds is not None
    assert 4 <= asked.seeds <= 9
    assert 0.7 < np.mean([arms(asked.seeds).p_value < 0.05 for _ in range(200)]) < 0.95


def test_where_neither_alone_does_both_are_named() -> None:
    """Ten clusters that differ much, seeds that differ much."""
    rng = np.random.default_rng(6)
    arms = rng.normal(0, 1, (2, 1, 10)) + rng.normal(0, 1, (2, 4, 1)) + rng.normal(0, 0.1, (2, 4, 10))
    asked = needed(compare(arms[0], arms[1], np.arange(10)), 0.2)
    assert (asked.clusters, asked.seeds) == (None, None)
    assert asked.both is not None
    clusters, seeds = asked.both
    assert clusters > 10
    assert seeds > 4
    with pytest.raises(ValueError, match="by any design"):
        needed(compare(arms[0], arms[1], np.arange(10)), 0.0)


def test_a_smaller_alpha_takes_more() -> None:
    found = compare(*simulate((7,), 2, 3, 0.005), CLUSTER_OF)
    six = needed(found, 0.02, 0.05 / 6).clusters
    one = needed(found, 0.02, 0.05).clusters
    assert one is not None
    assert six is not None
    assert six > 1.3 * one
    assert smallest_effect(found, 0.05 / 6) > smallest_effect(found)


def test_a_permutation_test_of_lone_questions_is_scipys() -> None:
    rng = np.random.default_rng(8)
    marked = rng.random(300) < 0.2
    values = (rng.random(300) < 0.3 + 0.12 * marked).astype(float)
    reference = scipy.stats.permutation_test(
        (values[marked], values[~marked]),
        lambda first, second: first.mean() - second.mean(),
        alternative="greater",
        n_resamples=4999,
        rng=np.random.default_rng(0),
    )
    found = permutation_test(values, marked, np.arange(300), 0)
    assert found == pytest.approx(reference.pvalue, abs=0.02)
    assert found == permutation_test(values, marked, np.arange(300), 0)


def test_a_permutation_test_minds_what_clusters_have_in_common() -> None:
    """Whole clusters are marked or not, and differ: as if of lone questions the test would often be wrong."""
    clusters = np.repeat(np.arange(40), 10)
    wrong: dict[str, list[bool]] = {"clusters": [], "lone": []}
    for trial in range(80):
        rng = np.random.default_rng(trial)
        marked = np.repeat(rng.permutation(40) < 10, 10)
        values = (rng.random(400) < np.repeat(rng.uniform(0.1, 0.7, 40), 10)).astype(float)
        for name, within in (("clusters", clusters), ("lone", np.arange(400))):
            wrong[name].append(permutation_test(values, marked, within, trial, permutations=199) <= 0.05)
    assert np.mean(wrong["clusters"]) <= 0.11
    assert np.mean(wrong["lone"]) > 0.04 + np.mean(wrong["clusters"])


def test_a_permutation_test_has_no_say_where_all_or_none_is_marked() -> None:
    values, clusters = np.array([0.0, 1.0, 1.0]), np.arange(3)
    assert np.isnan(permutation_test(values, np.zeros(3, bool), clusters, 0))
    assert np.isnan(permutation_test(values, np.ones(3, bool), clusters, 0))
    assert np.isnan(permutation_test(np.ones(3), np.array([True, False, False]), clusters, 0))


def test_holm_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p_values = [0.01, 0.04, 0.03, 0.005, 0.9]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert holm([]) == []


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


def test_a_bootstrap_of_ratios_draws_whole_clusters() -> None:
    rng = np.random.default_rng(4)
    units = rng.integers(20, 200, 60).astype(float)
    amounts = units * rng.normal(1.5, 0.3, 60)
    once = ratio_bootstrap(amounts, units, lambda ratio: ratio[0], 0)
    four = ratio_bootstrap(
        np.repeat(amounts, 4), np.repeat(units, 4), lambda ratio: ratio[0], 0, clusters=np.repeat(np.arange(60), 4)
    )
    assert (four.low, four.high) == pytest.approx((once.low, once.high))


def _arms(accuracies: list[float], clusters: int, seed: int, seeds: int = 1) -> tuple[list[np.ndarray], np.ndarray]:
    rng = stable_rng(seed, "ranked arms")
    index = np.repeat(np.arange(clusters), 5)
    return [(rng.random((seeds, len(index))) < share).astype(float) for share in accuracies], index


def test_a_rank_correlation_of_arms_that_lie_apart_is_resolved() -> None:
    first, of_first = _arms([0.2, 0.4, 0.6, 0.8], 80, 0)
    second, of_second = _arms([0.1, 0.3, 0.5, 0.9], 60, 1, seeds=2)
    found = rank_correlation(first, of_first, second, of_second, 0)
    assert found == rank_correlation(first, of_first, second, of_second, 0)
    assert found.value == found.high == 1.0
    assert found.low > 0.7
    turned = rank_correlation(first, of_first, second[::-1], of_second, 0)
    assert turned.value == turned.low == -1.0
    assert turned.high < 0


def test_a_rank_correlation_of_arms_that_are_alike_is_not_resolved() -> None:
    first, of_first = _arms([0.5] * 4, 40, 0)
    second, of_second = _arms([0.5] * 4, 40, 1)
    found = rank_correlation(first, of_first, second, of_second, 0)
    assert found.low < 0 < found.high


def test_a_rank_correlation_is_that_of_scipy_and_of_tied_arms_0() -> None:
    first, of_first = _arms([0.3, 0.7, 0.4, 0.6, 0.35], 30, 2)
    second, of_second = _arms([0.5, 0.6, 0.55, 0.45, 0.6], 30, 3)
    wanted = scipy.stats.spearmanr([one.mean() for one in first], [one.mean() for one in second]).statistic
    assert rank_correlation(first, of_first, second, of_second, 0).value == pytest.approx(wanted)
    tied = [np.zeros((1, 150)) for _ in range(5)]
    assert rank_correlation(first, of_first, tied, of_first, 0) == Interval(0.0, 0.0, 0.0)


def test_two_arms_or_one_cluster_have_a_rank_correlation_without_an_interval() -> None:
    first, index = _arms([0.2, 0.8], 20, 0)
    found = rank_correlation(first, index, first, index, 0)
    assert found.value == pytest.approx(1.0)
    assert math.isnan(found.low)
    three = [np.full((1, 4), share) for share in (0.1, 0.2, 0.3)]
    assert math.isnan(rank_correlation(three, np.zeros(4), three, np.arange(4), 0).low)
    with pytest.raises(ValueError, match="of the same arms"):
        rank_correlation(first, index, three, np.arange(4), 0)
