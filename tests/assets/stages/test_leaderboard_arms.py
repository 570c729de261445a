"""An arm is judged over its seeds: one lucky run does not make it good."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.report.comparisons import (
    ACCURACY,
    GAP,
    HEARING_GAIN,
    NOT_SEEN,
    RESOLVED,
    SEEN,
    ArmComparison,
    ArmScore,
    ArmWork,
    MetricNoise,
)
from spelangy_assets.report.effects import EffectResult, factorial
from spelangy_assets.report.leaderboard_page import PRIMARY, Ablation, CleanScore
from spelangy_assets.stages import cover_topics, evaluate, find_contamination, leaderboard, score_system, train_lm
from spelangy_assets.stages.find_contamination import QuestionOverlap
from spelangy_assets.stages.leaderboard import (
    Answers,
    Arm,
    Config,
    RunRow,
    SystemRow,
    TokenSetRow,
    clean_score,
    compare_arms,
    estimate_effects,
    metric_noise,
    score_arm,
)
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, Identity
from spelangy_assets.store.manifest import Input
from spelangy_model.records import Metric, PassageScore, QuestionScore
from spelangy_model.text.topics import jensen_shannon_distance

QUESTIONS = 400
ZEROS = [0.0] * 4


def scores_of(rates: dict[str, float], seed: int = 0) -> dict[str, list[QuestionScore]]:
    """Simulate runs that answer each question right with a probability of their own; two recordings a text."""
    rng = np.random.default_rng(seed)
    return {
        run: [
            QuestionScore(
                f"{text:03}/{take}",
                f"{text}",
                f"{text}",
                "b",
                "s",
                "a",
                "speech",
                ZEROS,
                ZEROS,
                ZEROS,
                int(wrong),
                0,
                0.1,
            )
            for text in range(QUESTIONS // 2)
            for take in range(2)
            for wrong in [rng.random() >= rate]
        ]
        for run, rate in rates.items()
    }


def arm_of(rates: list[float], seed: int = 0) -> ArmScore:
    runs = {f"run_{number}": rate for number, rate in enumerate(rates)}
    return scored(Arm("arm", tuple(runs)), Answers(scores_of(runs, seed)))


def scored(arm: Arm, answers: Answers) -> ArmScore:
    found = score_arm(arm, answers, 0.25)
    assert found is not None
    return found


def test_the_score_is_the_mean_over_seeds_with_the_worst_and_the_best() -> None:
    runs = {"run_a": 1.0, "run_b": 0.0, "run_c": 1.0}
    score = scored(Arm("arm", tuple(runs)), Answers(scores_of(runs)))
    assert score.accuracy == pytest.approx(2 / 3)
    assert (score.seeds, score.lowest_seed, score.highest_seed) == (3, 0.0, 1.0)
    assert score.low < 0.25 < score.high  # three seeds that far apart say little of the next


def test_seeds_that_agree_separate_a_skill_from_guessing_and_seeds_that_do_not_agree_do_not() -> None:
    assert arm_of([0.4, 0.41, 0.39]).p_chance < 0.05
    assert arm_of([0.25, 0.45, 0.2]).p_chance > 0.05
    assert arm_of([0.4]).p_chance < 0.001  # of this one run


def test_guessing_is_called_a_skill_no_oftener_than_it_may() -> None:
    rng = np.random.default_rng(1)
    rates = [np.clip(rng.normal(0.25, 0.015, 3), 0, 1).tolist() for _ in range(150)]
    assert np.mean([arm_of(rate, seed).p_chance < 0.05 for seed, rate in enumerate(rates)]) <= 0.08


def test_arms_are_compared_over_their_seeds() -> None:
    runs = {"run_a0": 0.4, "run_a1": 0.42, "run_b0": 0.3, "run_b1": 0.28}
    arms = [Arm("a", ("run_a0", "run_a1")), Arm("b", ("run_b0", "run_b1"))]
    (pair,) = compare_arms(Answers(scores_of(runs)), arms, [])
    assert (pair.first, pair.second, pair.first_seeds, pair.second_seeds) == ("a", "b", 2, 2)
    assert pair.difference == pytest.approx(0.12, abs=0.05)
    assert (pair.planned, pair.verdict) == (False, "")


def arms_of(**rates: list[float]) -> tuple[Answers, list[Arm]]:
    runs = {f"{arm}_{number}": rate for arm, of_arm in rates.items() for number, rate in enumerate(of_arm)}
    return Answers(scores_of(runs)), [
        Arm(arm, tuple(f"{arm}_{number}" for number in range(len(of_arm)))) for arm, of_arm in rates.items()
    ]


def test_only_the_ablations_have_verdicts_and_are_tested_together_in_their_direction() -> None:
    answers, arms = arms_of(a=[0.4, 0.41, 0.4], b=[0.3, 0.31, 0.3], c=[0.55, 0.56, 0.55])
    rows = [Ablation("x", "a", "b"), Ablation("x", "a", "c", paper=(40.0, 43.0))]
    worse, better, rest = compare_arms(answers, arms, rows)
    assert (worse.first, worse.second, worse.difference < 0) == ("b", "a", True)
    assert {worse.verdict, better.verdict} == {RESOLVED}
    assert better.p_adjusted == pytest.approx(2 * better.p_value) or better.p_adjusted >= worse.p_value
    assert (better.alpha, better.effect) == (0.025, pytest.approx(0.03))
    assert (rest.first, rest.second, rest.planned, rest.verdict) == ("c", "b", False, "")
    assert np.isnan(rest.p_adjusted)


def test_effects_of_a_factorial_are_found_and_only_those_that_are_there() -> None:
    rates = {"a0b0": 0.3, "a1b0": 0.5, "a0b1": 0.3, "a1b1": 0.5}
    answers, arms = arms_of(**{arm: [rate, rate + 0.01, rate - 0.01] for arm, rate in rates.items()})
    cells = {arm: (arm[:2], arm[2:]) for arm in rates}
    effects = factorial(cells, {"A": ("a0", "a1"), "B": ("b0", "b1")}, (ACCURACY,))
    found = {row.effect: row for row in estimate_effects(answers, arms, effects)}
    assert list(found) == ["A", "B", "A x B"]
    assert found["A"].value == pytest.approx(0.2, abs=0.04)
    assert [found[name].verdict for name in found] == [RESOLVED, "not resolved", "not resolved"]
    assert found["A"].low <= 0.2 <= found["A"].high
    assert all(row.p_adjusted >= row.p_value and row.runs == 12 for row in found.values())


def test_a_factorial_needs_every_combination_once() -> None:
    factors = {"A": (0, 1), "B": (0, 1)}
    for cells in ({"x": (0, 0), "y": (0, 1), "z": (1, 0)}, {"x": (0, 0), "y": (0, 1), "z": (1, 0), "w": (1, 0)}):
        with pytest.raises(ValueError, match="2 factors of two levels have 4 arms"):
            factorial(cells, factors, (ACCURACY,))


def test_a_single_seed_is_never_resolved_by_any_metric() -> None:
    answers, arms = arms_of(a=[0.3], b=[0.6], c=[0.6, 0.61])
    for rows in answers.scores.values():
        rows[:] = [replace(row, reverse_kl=0.1 if row.predicted_index else 5.0) for row in rows]  # type: ignore[index]
    rows = [Ablation("x", "a", "b"), Ablation("x", "b", "c"), Ablation("x", "a", "b", metric=GAP)]
    verdicts = [pair.verdict for pair in compare_arms(answers, arms, rows) if pair.planned]
    assert verdicts == [SEEN, NOT_SEEN, SEEN]


def test_clusters_not_questions_carry_a_comparison() -> None:
    answers, arms = arms_of(a=[0.4, 0.4], b=[0.5, 0.5])
    few = Answers(
        {run: [replace(row, cluster_id=row.text_id[-1]) for row in rows] for run, rows in answers.scores.items()}
    )
    (by_text,), (by_cluster,) = (compare_arms(each, arms, []) for each in (answers, few))
    assert (by_text.clusters, by_cluster.clusters) == (QUESTIONS // 2, 10)
    assert by_cluster.difference == pytest.approx(by_text.difference)
    assert by_cluster.high != by_text.high


def correct(rows: Sequence[QuestionScore]) -> float:
    return float(np.mean([row.predicted_index == row.answer_index for row in rows]))


def test_an_arm_of_one_seed_has_the_interval_of_its_run() -> None:
    """One method for one population: what stands in the table of runs stands in that of arms."""
    (rows,) = scores_of({"run": 0.1}).values()
    rows = [replace(row, cluster_id=row.text_id[-1]) for row in rows[:30]]
    score = scored(Arm("arm", ("run",)), Answers({"run": rows}))
    voices = {row.question_id: "v" for row in rows}
    (of_run,) = [row for row in evaluate.summarize(rows, [], voices, "run") if row.metric == ACCURACY]
    assert (score.accuracy, score.low, score.high) == (of_run.value, of_run.low, of_run.high)
    assert 0 < score.low < score.accuracy < score.high < 1
    assert (score.p_chance < 0.05) == (not score.low <= 0.25 <= score.high)


def talk_of(gains: dict[str, float], seed: int = 0) -> dict[str, list[PassageScore]]:
    """Simulate runs that lose so many nats a token when another talk is played; 60 passages about 20 things."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(4, 9, (60, 3))
    base = rng.normal(1.5, 0.2, (60, 3)) * tokens
    return {
        run: [
            PassageScore(
                *(f"{at:02}", f"{at % 20}", tokens[at].tolist(), (base[at] * 1.2).tolist(), base[at].tolist()),
                *(base[at].tolist(), (base[at] + (gain + rng.normal(0, 0.05, 3)) * tokens[at]).tolist()),
            )
            for at in range(60)
        ]
        for run, gain in gains.items()
    }


def test_hearing_gain_compares_arms_on_the_same_passages_and_systems_without_it_are_left_out() -> None:
    answers, arms = arms_of(a=[0.3, 0.3], b=[0.3, 0.3], system=[0.3])
    talk = talk_of({"a_0": 0.02, "a_1": 0.03, "b_0": 0.11, "b_1": 0.10})
    both = Answers(answers.scores, talk)
    rows = [Ablation("x", "a", "b", metric=HEARING_GAIN, effect=0.02)]
    gain, *others = compare_arms(both, arms, rows)
    assert gain.difference == pytest.approx(0.08, abs=0.02)
    assert (gain.verdict, gain.clusters, gain.effect) == (RESOLVED, 20, 0.02)
    assert gain.smallest_effect > 0.02
    assert gain.needed_seeds > 2
    by_run = {run: {m.metric: m for m in evaluate.summarize_talk(rows, "run")} for run, rows in talk.items()}
    mean = (by_run["b_0"][HEARING_GAIN].value + by_run["b_1"][HEARING_GAIN].value) / 2
    assert gain.first_value == pytest.approx(mean)
    assert {(pair.first, pair.metric) for pair in others} <= {("a", ACCURACY), ("b", ACCURACY), ("system", ACCURACY)}
    noise = {row.metric: row for row in metric_noise(both, arms[:2])}
    assert {HEARING_GAIN, "talk.spoken_1.loss", "talk.written_3.loss", "talk.alone_2.loss", ACCURACY} <= noise.keys()
    assert noise[HEARING_GAIN].spread == pytest.approx(gain.difference / np.sqrt(2))
    assert HEARING_GAIN not in {row.metric for row in metric_noise(both, arms)}  # the system is given no talk


def test_a_metric_is_judged_by_its_noise_and_its_decisions() -> None:
    answers, arms = arms_of(a=[0.3, 0.32], b=[0.5, 0.52], c=[0.7, 0.69])
    noise = {row.metric: row for row in metric_noise(answers, arms)}
    by_seed = {arm.name: np.array([correct(answers.scores[run]) for run in arm.runs]) for arm in arms}
    pooled = np.sqrt(sum(((found - found.mean()) ** 2).sum() for found in by_seed.values()) / 3)
    assert noise[ACCURACY].seed_sd == pytest.approx(pooled)
    assert (noise[ACCURACY].decision_accuracy, noise[ACCURACY].decisions) == (1.0, 12)
    assert noise["sqa.all.probability"].decision_accuracy == 0.5  # all options are equally likely: no order at all
    assert noise[ACCURACY].against == "this board"
    other_way = metric_noise(answers, arms, {"a": 0.9, "b": 0.5, "c": 0.1, "d": 0.0}, "larger_board")
    assert (other_way[0].decision_accuracy, other_way[0].against) == (0.0, "larger_board")


def test_contamination_that_equals_the_wording_is_reported_as_confounded() -> None:
    (scores,) = scores_of({"run": 0.5}).values()
    scores = [replace(row, split="seen" if int(row.text_id) < 50 else "new") for row in scores]
    overlaps = [QuestionOverlap("b", "s", str(text), "?", 9, True, text >= 50) for text in range(QUESTIONS // 2)]
    assert clean_score("run", scores, overlaps, 0).by_split
    apart = [replace(row, clean=int(row.text_id) % 2 == 0) for row in overlaps]
    assert not clean_score("run", scores, apart, 0).by_split
    unknown = clean_score("run", scores, None, 0)
    assert (unknown.known, unknown.clean_texts) == (False, QUESTIONS // 2)


# --- what the board makes of its inputs -------------------------------------------------------------------------

NAN = float("nan")


class Shelf:
    """The inputs of a board as its stage finds them. `prefix` is part of their names, which bear no identity."""

    def __init__(self, folder: Path, prefix: str = ""):
        self.store = ArtifactStore(folder / "store", folder / "cache")
        self.execution = Execution(cache_dir=folder / "cache", launch=lambda *_: 0.0)
        self.prefix = prefix
        self.inputs: dict[str, Artifact] = {}

    def put(
        self,
        role: str,
        stage: Any,
        stats: dict[str, float] | None = None,
        made_from: Sequence[Input] = (),
        **tables: list,
    ) -> None:
        called = DatasetName(f"{self.prefix}recipe", f"{self.prefix}{role.replace('.', '_')}")
        name = stage.__name__.rsplit(".", 1)[-1]
        config = {"type": "Config", "system": {"type": "Cascade"}}
        identity = Identity(name, stage.VERSION, "f", config, list(made_from), f"v1-{role.replace('.', '-')}")
        writer = self.store.writer(called, identity, stage.TABLES)
        with writer.unit(0) as out:
            for table, rows in tables.items():
                out.write(table, rows)
            for stat, amount in (stats or {}).items():
                out.add(stat, amount)
        writer.commit()
        artifact = self.store.find(Address(name), identity.build_key, called)
        assert artifact is not None
        self.inputs[role] = artifact

    def run(
        self,
        number: int,
        rate: float,
        work: Mapping[str, float] = MappingProxyType({}),
        base: str = "base",
        **shares: float,
    ) -> None:
        """Put a run from a base LM, or from none, that answers so many questions right, with its evaluation."""
        (scores,) = scores_of({"run": rate}, number).values()
        stats = {"steps": 400, "positions_seen": 9000, "closing_loss_nats": 2.5, "parameters": 7}
        stats |= {"loss_positions_seen": 4000, "speech_s_seen": 60, "text_share_seen": 0.15, "padding_share": 0.1}
        stats |= {f"{role.replace('_', '.')}.share": share for role, share in shares.items()}
        of_base = [Input("base_lm", "train_lm", None, f"v2-{base}", base)] if base else []
        self.put(f"run.{number}", train_lm, stats | work, of_base)
        metrics = [Metric("run", "sqa.all.accuracy", rate, rate - 0.05, rate + 0.05, QUESTIONS)]
        self.put(f"eval.{number}", evaluate, scores=scores, metrics=metrics)

    def contamination(self, number: int, held: Collection[int]) -> None:
        """Put which questions stand in the mix of a run."""
        overlaps = [
            QuestionOverlap("b", "s", str(text), "?", 9 if text in held else 0, text in held, text not in held)
            for text in range(QUESTIONS // 2)
        ]
        metrics = [Metric("mix", "contamination.all.8gram", len(held) / QUESTIONS, NAN, NAN, QUESTIONS)]
        self.put(f"contamination.{number}", find_contamination, metrics=metrics, questions=overlaps)

    def topics(self, place: str, **of: dict[str, float]) -> None:
        rows = [
            Metric(subject, f"topic.{topic}.share", share, NAN, NAN, 100)
            for subject, topics in of.items()
            for topic, share in topics.items()
        ]
        self.put(f"topics.{place}", cover_topics, metrics=rows)

    def board(self, config: Config) -> Artifact:
        identity = Identity("leaderboard", "1", "", None, [], "v1-board")
        writer = self.store.writer(DatasetName("recipe", "board"), identity, leaderboard.TABLES)
        leaderboard.run(StageContext(self.inputs, {}, writer, self.execution, None, None, lambda text: None), config)
        writer.commit()
        artifact = self.store.find(Address("leaderboard"), "v1-board")
        assert artifact is not None
        return artifact


def filled(folder: Path, prefix: str = "") -> tuple[Shelf, Config]:
    """Return a board of arm quest (two seeds, of token sets quest and web) and of arm web (one, of web alone)."""
    shelf = Shelf(folder, prefix)
    for number, rate in enumerate((0.5, 0.52)):
        shelf.run(number, rate, speech_0=0.3, speech_1=0.7)
        shelf.contamination(number, range(50))
    shelf.run(2, 0.3, {"loss_positions_seen": 3000}, speech_0=1.0)
    shelf.contamination(2, range(20))
    shelf.topics("0", texts={"music": 0.5, "sport": 0.5})
    shelf.topics("1", texts={"music": 1.0, "sport": 0.0})
    shelf.topics("questions", texts={"music": 0.2, "sport": 0.8}, facts={"music": 0.0, "sport": 1.0})
    both = (("speech.0", 1), ("speech.1", 0))
    rows = [
        RunRow(label, arm, sources, f"run_{label}", f"eval_{label}", "", f"{label}_contamination")
        for label, arm, sources in (("quest_s0", "quest", both), ("quest_s1", "quest", both), ("web", "web", both[1:]))
    ]
    rows[2] = replace(rows[2], run="run_of_another_name", evaluation="eval_of_another_name")
    tokens = (TokenSetRow("web", "web_topics"), TokenSetRow("quest", "quest_topics"))
    planned = (Ablation("Synthetic data", "web", "quest", "with Quest", (40.7, 47.9)),)
    return shelf, Config(tuple(rows), tokens, ablations=planned, questions_topics="questions_topics")


def test_an_arm_and_a_token_set_of_one_name_are_two_subjects(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    artifact = shelf.board(config)
    of_subjects: dict[str, set[str]] = {}
    for metric in artifact.records("metrics", Metric):
        of_subjects.setdefault(metric.subject, set()).add(metric.metric.split(".")[0])
    assert of_subjects == {
        **{run: {"sqa", "contamination"} for run in ("quest_s0", "quest_s1", "web")},
        **{name: {"topic"} for name in ("quest_tokens", "web_tokens")},
        **{name: {"topic"} for name in ("questions", "questions of facts")},
    }
    page = artifact.read_file(leaderboard.PAGE).decode()
    assert "trained on quest, web" in page
    assert "trained on web" in page


def test_the_plan_is_printed_with_the_digest_of_its_file(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    plan = tmp_path / "plan.md"
    plan.write_text("Quest helps if <p> is small.\n")
    cells = {"quest": ("with",), "web": ("without",)}
    effects = tuple(factorial(cells, {"Quest": ("without", "with")}, (PRIMARY,)))
    artifact = shelf.board(replace(config, plan=plan.read_text(), effects=effects))
    page, text = artifact.read_file(leaderboard.PAGE).decode(), artifact.read_file(leaderboard.MARKDOWN).decode()
    digest = hashlib.sha256(plan.read_bytes()).hexdigest()
    assert digest in page
    assert digest in text
    assert "Quest helps if &lt;p&gt; is small." in page
    (effect,) = artifact.records("effects", EffectResult)
    assert effect.value == pytest.approx(0.2, abs=0.05)
    assert "Quest (without to with)" in text
    assert "Main effects and interactions" in page


@pytest.mark.parametrize("bases", [("one", "one", "one"), ("one", "two", "one"), ("one", "one", "")])
def test_the_board_says_where_no_seed_draws_the_base_lm_anew(tmp_path: Path, bases: Sequence[str]) -> None:
    shelf, config = filled(tmp_path)
    for number, (rate, base) in enumerate(zip((0.5, 0.52, 0.3), bases, strict=True)):
        other = Shelf(tmp_path / f"{number}")
        other.run(number, rate, base=base)
        shelf.inputs[f"run.{number}"] = other.inputs[f"run.{number}"]
    artifact = shelf.board(config)
    for report in (leaderboard.PAGE, leaderboard.MARKDOWN):
        said = "no interval contains what another base LM" in artifact.read_file(report).decode()
        assert said == (len(set(bases)) == 1)


def test_seeds_of_an_arm_are_judged_together(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    assert config.arms == [Arm("quest", ("quest_s0", "quest_s1")), Arm("web", ("web",))]
    artifact = shelf.board(config)
    assert [(row.arm, row.seeds) for row in artifact.records("arms", ArmScore)] == [("quest", 2), ("web", 1)]
    pairs = [row for row in artifact.records("comparisons", ArmComparison) if row.metric == PRIMARY]
    assert [(row.first, row.second, row.first_seeds) for row in pairs] == [("quest", "web", 2)]


def test_the_topics_of_all_sets_and_of_the_questions_are_compared(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    distances = {
        (row.subject, row.metric.removeprefix("topic.distance_to.")): row.value
        for row in shelf.board(config).records("metrics", Metric)
        if row.metric.startswith("topic.distance_to.")
    }
    subjects = ["web_tokens", "quest_tokens", "questions", "questions of facts"]
    assert set(distances) == set(combinations(subjects, 2))
    expected = jensen_shannon_distance(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    assert distances["web_tokens", "quest_tokens"] == pytest.approx(expected)
    assert distances["quest_tokens", "questions of facts"] == pytest.approx(1.0)


def test_a_run_is_clean_of_what_its_own_token_sets_do_not_hold(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    clean = {row.run: row for row in shelf.board(config).records("clean", CleanScore)}
    assert (clean["quest_s0"].contaminated_texts, clean["quest_s0"].clean_texts) == (50, 150)
    assert (clean["web"].contaminated_texts, clean["web"].clean_texts) == (20, 180)
    own = shelf.inputs["eval.2"].records("scores", QuestionScore)
    answered = [row.predicted_index == row.answer_index for row in own if int(row.text_id) >= 20]
    assert clean["web"].clean_accuracy == pytest.approx(np.mean(answered))


def test_the_page_names_the_datasets_of_the_recipe_also_where_an_arm_is_called_otherwise(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    page = shelf.board(config).read_file(leaderboard.PAGE).decode()
    commands = set(re.findall(r"spelangy lineage (\w+)", page))
    assert {
        "eval_quest_s0",
        "eval_of_another_name",
        "run_of_another_name",
        "web_topics",
        "web_contamination",
    } <= commands
    assert "eval_web" not in commands


def test_arms_stand_beside_what_they_were_trained_on_and_unequal_ones_are_named(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    artifact = shelf.board(config)
    work = {row.arm: row for row in artifact.records("work", ArmWork)}
    assert (work["quest"].loss_tokens, work["web"].loss_tokens, work["quest"].text_tokens) == (4000, 3000, 1350)
    assert artifact.manifest.counts.stats["ablations_of_unequal_work"] == 1
    assert "Not equal: +33% loss tokens." in artifact.read_file(leaderboard.PAGE).decode()
    assert "Not equal: +33% loss tokens." in artifact.read_file(leaderboard.MARKDOWN).decode()
    assert {row.metric for row in artifact.records("noise", MetricNoise)} >= {ACCURACY, GAP}


def test_decisions_are_held_against_the_board_of_a_larger_dial(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    arms = [ArmScore("web", 5, 0.6, 0.5, 0.7, 0.5, 0.7, 0.0), ArmScore("quest", 5, 0.5, 0.4, 0.6, 0.4, 0.6, 0.0)]
    shelf.put("larger", leaderboard, arms=arms)
    artifact = shelf.board(replace(config, larger="larger_dial"))
    noise = {row.metric: row for row in artifact.records("noise", MetricNoise)}
    assert (noise[ACCURACY].decision_accuracy, noise[ACCURACY].against) == (0.0, "larger_dial")
    assert "as the accuracy of larger_dial does" in artifact.read_file(leaderboard.PAGE).decode()


def test_names_of_the_inputs_bear_no_identity(tmp_path: Path) -> None:
    versions = set()
    for place, prefix in (("here", ""), ("there", "other_")):
        shelf, config = filled(tmp_path / place, prefix)
        versions.add(shelf.board(config).data_version)
    assert len(versions) == 1


def test_a_system_stands_beside_the_arms_on_the_questions_that_it_answered(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    (scores,) = scores_of({"system": 0.9}, 9).values()
    metrics = [Metric("system", "sqa.all.accuracy", 0.9, 0.85, 0.95, 100)]
    shelf.put("system.0", score_system, scores=scores[:100], metrics=metrics)
    artifact = shelf.board(replace(config, systems=(SystemRow("cascade"),)))
    found = {row.subject for row in artifact.records("metrics", Metric) if row.metric == PRIMARY}
    assert "cascade" in found
    pairs = [row for row in artifact.records("comparisons", ArmComparison) if row.metric == PRIMARY]
    assert {(row.first, row.second): row.clusters for row in pairs} == {
        ("cascade", "quest"): 50,  # texts, each recorded twice
        ("cascade", "web"): 50,
        ("quest", "web"): QUESTIONS // 2,
    }
    assert "answers by Cascade" in artifact.read_file(leaderboard.PAGE).decode()


def test_runs_that_were_asked_other_questions_are_not_compared(tmp_path: Path) -> None:
    shelf, config = filled(tmp_path)
    (scores,) = scores_of({"run": 0.5}).values()
    metrics = [Metric("run", "sqa.all.accuracy", 0.5, 0.4, 0.6, 10)]
    shelf.put("eval.3", evaluate, scores=scores[:10], metrics=metrics)
    shelf.inputs["eval.2"] = shelf.inputs.pop("eval.3")
    with pytest.raises(InputError, match="web was scored on other questions than quest_s0"):
        shelf.board(config)
