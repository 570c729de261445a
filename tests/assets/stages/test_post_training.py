"""The board of post-training: arms on the same instructions, ranks, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spelangy_assets import lab
from spelangy_assets.execution.dataset import RecipeError
from spelangy_assets.execution.stage import InputError
from spelangy_assets.recipes.posttrain import POSTTRAIN
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.report.comparisons import ACCURACY, FOLLOWING, NOT_SEEN, SEEN
from spelangy_assets.report.post_training_page import (
    ShownAnswer,
    TunedArm,
    post_training_markdown,
    post_training_page,
    ranks_sentence,
)
from spelangy_assets.stages.judge_answers import JudgedAnswer
from spelangy_assets.stages.leaderboard import Arm, compare_arms
from spelangy_assets.stages.post_training import Replies
from spelangy_model.eval.stats import Interval
from spelangy_model.records import Metric
from spelangy_model.rng import stable_rng
from spelangy_model.text.llm import LanguageModel

PLANNED = lab.Ablation("Quest", "fine", "quest", "with Quest", metric=FOLLOWING)


def judged(share: float, run: str, questions: int = 200) -> list[JudgedAnswer]:
    rng = stable_rng(0, "judged", run)
    rows = []
    for index in range(questions):
        for split in ("seen_wording", "noise-10db"):
            match = "exact" if rng.random() < share else "contained" if rng.random() < 0.1 else ""
            alias = "red" if match else ""
            names = (f"{split}-{index}", f"t{index}", f"e{index // 5}", "instructions", split, "en-us", "speech")
            rows.append(JudgedAnswer(*names, "red.", match, alias, "", ""))
    return rows


def test_arms_are_compared_on_the_same_instructions_as_recorded() -> None:
    rows = {"fine": judged(0.2, "fine"), "quest": judged(0.6, "quest")}
    replies = Replies(rows, ["noise-10db"])
    arms = [Arm("fine", ("fine",)), Arm("quest", ("quest",))]
    measured = replies.measured(arms[1], FOLLOWING)
    assert measured is not None
    assert measured.values.shape == (1, 200)
    assert measured.values.mean() == np.mean([row.match == "exact" for row in rows["quest"][::2]])
    assert replies.measured(arms[0], ACCURACY) is None
    (pair,) = compare_arms(replies, arms, [PLANNED], FOLLOWING)
    assert pair.planned
    assert pair.verdict == SEEN
    assert pair.clusters == 40
    (other,) = compare_arms(replies, arms, [], FOLLOWING)
    assert (other.first, other.second, other.verdict) == ("quest", "fine", "")
    alike = Replies({"fine": judged(0.3, "a"), "quest": judged(0.3, "b")}, ["noise-10db"])
    assert compare_arms(alike, arms, [PLANNED], FOLLOWING)[0].verdict == NOT_SEEN


def test_runs_that_were_given_other_instructions_are_named() -> None:
    rows = judged(0.5, "fine")
    with pytest.raises(InputError, match="quest was given other instructions than fine"):
        Replies({"fine": rows, "quest": rows[4:]}, ["noise-10db"])
    with pytest.raises(InputError, match="fine was given no spoken instruction as recorded"):
        Replies({"fine": rows[1::2]}, ["noise-10db"])


ARMS = [
    TunedArm("fine", 1, 0.27, 0.24, 0.30, 0.05, 0.03, 0.08, 0.09, 0.06, 0.12),
    TunedArm("quest", 1, 0.39, 0.36, 0.42, 0.12, 0.09, 0.16, 0.2, 0.16, 0.25),
]
METRICS = [
    Metric(run, f"instructions.{name}", value, value - 0.02, value + 0.02, 400)
    for run, value in (("fine", 0.05), ("quest", 0.12))
    for name in ("exact_match", "contained", "seen_wording.exact_match", "noise-10db.exact_match")
]


def test_the_page_shows_both_scores_the_ranks_and_escapes_what_was_answered() -> None:
    replies = Replies({"fine": judged(0.2, "fine"), "quest": judged(0.6, "quest")}, ["noise-10db"])
    arms = [Arm("fine", ("fine",)), Arm("quest", ("quest",))]
    pairs = compare_arms(replies, arms, [PLANNED], FOLLOWING)
    parts = (ARMS, METRICS, pairs, [PLANNED], Interval(0.8, 0.2, 1.0))
    shown = [ShownAnswer("What is it?", "red", [("fine", "<b>red</b>", "exact"), ("quest", "", "")])]
    page = post_training_page(*parts, shown, title="After")
    for words in ("27.0% (24.0 to 30.0)", "12.0% (9.0 to 16.0)", "noise-10db", "with Quest", SEEN, "(nothing)"):
        assert words in page
    assert "&lt;b&gt;red&lt;/b&gt;" in page
    assert "<b>" not in page
    text = post_training_markdown(*parts)
    assert "| quest |" in text
    assert "with Quest: seen in these models" in text


def test_what_the_judge_prefers_stands_beside_the_comparison() -> None:
    replies = Replies({"fine": judged(0.2, "fine"), "quest": judged(0.6, "quest")}, ["noise-10db"])
    pairs = compare_arms(replies, [Arm("fine", ("fine",)), Arm("quest", ("quest",))], [PLANNED], FOLLOWING)
    of_judge = [
        Metric("quest over fine", "preference.win_rate", 0.62, 0.55, 0.69, 400),
        Metric("quest over fine", "preference.place_share", 0.2, 0.16, 0.24, 400),
    ]
    text = post_training_markdown(ARMS, [*METRICS, *of_judge], pairs, [PLANNED], Interval(0.8, 0.2, 1.0))
    assert "prefers quest in 62.0% (55.0 to 69.0) of 400 answers" in text
    assert "in 20.0% its verdict followed the order" in text
    tuned = {arm: POSTTRAIN[f"tuned_{arm}"] for arm in ("fine", "quest")}
    judging = lab.Generation(judge=LanguageModel(name="judge"))
    board = lab.post_training(
        SAMPLE["leaderboard"], tuned, POSTTRAIN["held_out_instructions"], generation=judging, ablations=(PLANNED,)
    )
    pair = board.inputs["preferred.0"].inputs
    assert (pair["first"].name, pair["second"].name) == ("answers_tuned_quest", "answers_tuned_fine")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Interval(0.8, 0.2, 1.0), r"\+0.80 \[\+0.20, \+1.00\]: its sign is resolved"),
        (Interval(0.4, -0.2, 1.0), "not resolved"),
        (Interval(1.0, math.nan, math.nan), "no interval can be given: it takes three arms"),
    ],
)
def test_a_rank_correlation_is_stated_with_its_certainty(found: Interval, words: str) -> None:
    import re

    assert re.search(words, ranks_sentence(found, 4))


def test_the_recipe_takes_all_from_the_sample_and_adds_post_training_alone() -> None:
    added = {name for name in POSTTRAIN.datasets if name not in SAMPLE.datasets}
    assert {POSTTRAIN.datasets[name].kind.group for name in added} == {
        "conversations",
        "tokens",
        "corpora",
        "mixes",
        "runs",
        "evals",
    }
    for name in set(POSTTRAIN.datasets) & set(SAMPLE.datasets):
        assert POSTTRAIN.datasets[name].identity == SAMPLE.datasets[name].identity


def test_a_board_of_what_was_not_fine_tuned_is_refused_in_one_line() -> None:
    board, tuned = SAMPLE["leaderboard"], POSTTRAIN["tuned_fine"]
    instructions = POSTTRAIN["held_out_instructions"]
    with pytest.raises(RecipeError, match="the arm 'best' has 1 fine-tuned runs, and 0 on leaderboard"):
        lab.post_training(board, {"best": tuned}, instructions)
    with pytest.raises(RecipeError, match="run_fine was not fine-tuned on conversations"):
        lab.post_training(board, {"fine": SAMPLE["run_fine"]}, instructions)
    with pytest.raises(RecipeError, match=r"takes the metric instructions\.exact_match and two of the arms fine"):
        lab.post_training(board, {"fine": tuned}, instructions, ablations=(replace(PLANNED, metric=ACCURACY),))
    with pytest.raises(RecipeError, match="'Quest' is of fine-tuned runs: give it to post_training"):
        lab.leaderboard(
            {"fine": SAMPLE["run_fine"], "quest": SAMPLE["run_quest"]}, SAMPLE["sqa_benchmarks"], ablations=(PLANNED,)
        )
