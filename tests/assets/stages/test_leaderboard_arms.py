"""An arm is judged over its seeds: one lucky run does not make it good."""

import numpy as np
import pytest

from spelangy_assets.report.comparisons import ArmScore
from spelangy_assets.stages.leaderboard import Arm, compare_arms, score_arm
from spelangy_model.records import QuestionScore

QUESTIONS = 400
ZEROS = [0.0] * 4


def scores_of(rates: dict[str, float], seed: int = 0) -> dict[str, list[QuestionScore]]:
    """Simulate runs that answer each question right with a probability of their own; two recordings a text."""
    rng = np.random.default_rng(seed)
    return {
        run: [
            QuestionScore(f"{text}/{take}", f"{text}", "b", "s", "a", "speech", ZEROS, ZEROS, ZEROS, int(wrong), 0, 0.1)
            for text in range(QUESTIONS // 2)
            for take in range(2)
            for wrong in [rng.random() >= rate]
        ]
        for run, rate in rates.items()
    }


def arm_of(rates: list[float], seed: int = 0) -> ArmScore:
    runs = {f"run_{number}": rate for number, rate in enumerate(rates)}
    return score_arm(Arm("arm", tuple(runs)), scores_of(runs, seed), 0.25, 7)


def test_the_score_is_the_mean_over_seeds_with_the_worst_and_the_best() -> None:
    runs = {"run_a": 1.0, "run_b": 0.0, "run_c": 1.0}
    score = score_arm(Arm("arm", tuple(runs)), scores_of(runs), 0.25, 7)
    assert score.accuracy == pytest.approx(2 / 3)
    assert (score.seeds, score.lowest_seed, score.highest_seed) == (3, 0.0, 1.0)
    assert score.low < 0.25 < score.high  # three seeds that far apart say little of the next


def test_seeds_that_agree_tell_a_skill_from_guessing_and_seeds_that_do_not_agree_do_not() -> None:
    assert arm_of([0.4, 0.41, 0.39]).p_chance < 0.05
    assert arm_of([0.25, 0.45, 0.2]).p_chance > 0.05
    assert arm_of([0.4]).p_chance < 0.001  # of this one run


def test_guessing_is_called_a_skill_no_oftener_than_it_may() -> None:
    rng = np.random.default_rng(1)
    rates = [np.clip(rng.normal(0.25, 0.03, 3), 0, 1).tolist() for _ in range(150)]
    assert np.mean([arm_of(rate, seed).p_chance < 0.05 for seed, rate in enumerate(rates)]) <= 0.08


def test_arms_are_compared_over_their_seeds() -> None:
    runs = {"run_a0": 0.4, "run_a1": 0.42, "run_b0": 0.3, "run_b1": 0.28}
    arms = [Arm("a", ("run_a0", "run_a1")), Arm("b", ("run_b0", "run_b1"))]
    (pair, _) = compare_arms(scores_of(runs), arms, dict.fromkeys(runs, "400"), 0)
    assert (pair.first, pair.second, pair.first_seeds, pair.second_seeds) == ("a", "b", 2, 2)
    assert pair.difference == pytest.approx(0.12, abs=0.05)
