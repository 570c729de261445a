"""post_training: fine-tuned arms side by side, each beside its spoken QA at pretraining; a page and its numbers.

Put here: gathering the judged answers, comparing arms on the same instructions, the rank correlation. Do not put here:
generation and judging (the stages above do), statistics (spelangy_model/eval/stats.py) or layout (report/).

Inputs, numbered as the config lists the runs: `eval.N` (spoken QA of the run before fine-tuning), `judged.N` (its
answers to instructions after it); `questions`, the instructions; with a judge `preferred.N`, which answers it prefers
of the two arms of ablation N. Output: arms(TunedArm), comparisons(ArmComparison), metrics(Metric), post_training.md,
post_training.html.

    instructions.{exact_match, contained, judged}     of spoken instructions whose sound is as recorded
    instructions.SPLIT.exact_match                    by split, perturbations among them
    instructions.written.exact_match                  the same instructions as text
    rank_correlation (subject `arms`)                 of pretraining spoken QA with exact match
    preference.* (subject `AFTER over BEFORE`)        of the judge (stages/prefer_answers.py)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from spelangy_assets.execution.dataset import DatasetKind
from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly, stat
from spelangy_assets.report.comparisons import ACCURACY, FOLLOWING, ArmComparison
from spelangy_assets.report.leaderboard_page import Ablation
from spelangy_assets.report.post_training_page import (
    ShownAnswer,
    TunedArm,
    post_training_markdown,
    post_training_page,
)
from spelangy_assets.stages.judge_answers import JudgedAnswer
from spelangy_assets.stages.leaderboard import Answers, Arm, Measured, compare_arms
from spelangy_model.records import Metric, Question, QuestionScore, SpokenQuestion
from spelangy_model.rng import stable_hash

if TYPE_CHECKING:
    from spelangy_model.eval.stats import Interval

VERSION = "1"
TABLES: dict[str, type] = {"arms": TunedArm, "comparisons": ArmComparison, "metrics": Metric}
PAGE, MARKDOWN = "post_training.html", "post_training.md"
ALL_ARMS = "arms"  # the subject of what is of all arms together


@dataclass(frozen=True)
class TunedRun:
    """A fine-tuned run as the board shows it: its label, and the arm that it is a seed of."""

    label: str
    arm: str


@dataclass(frozen=True)
class Config:
    """The runs in the order of their roles, and the comparisons of their instruction following.

    `perturbations` are the splits whose sound is perturbed; the ranking is by the others. `title` heads the page, which
    shows what each arm's first run answers to so many `shown_instructions`, drawn by the seed.
    """

    runs: tuple[TunedRun, ...]
    perturbations: tuple[str, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    title: str = "After post-training"
    seed: int = 0
    shown_instructions: ClassVar[int] = 20

    @property
    def arms(self) -> list[Arm]:
        """Return the arms in the order of their first runs."""
        names = dict.fromkeys(row.arm for row in self.runs)
        return [Arm(name, tuple(row.label for row in self.runs if row.arm == name)) for name in names]


CONTRACT = Contract(
    "post_training",
    f"""
    SELECT count(*) AS arms, count(*) - count(DISTINCT arm) AS duplicate_arms,
           count(*) FILTER (NOT isfinite(pretraining_accuracy) OR NOT isfinite(exact_match)) AS arms_without_score,
           (SELECT count(*) - count(DISTINCT (subject, metric)) FROM metrics) AS duplicate_metrics,
           {stat("pages")} AS pages
    FROM arms
    """,
    (
        Bound("arms", 1),
        exactly("duplicate_arms"),
        exactly("arms_without_score"),
        exactly("duplicate_metrics"),
        Bound("pages", 1),
    ),
)

KIND = DatasetKind(
    group="evals",
    description="Fine-tuned arms beside their spoken QA at pretraining, with rank correlation; a page and its numbers.",
    contract=CONTRACT,
    kinds=("html",),
    takes={"eval": "scores", "judged": "judged_answers", "questions": SpokenQuestion, "preferred": "preferred_answers"},
)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Write the numbers and the page in one unit."""
    for unit, _ in ctx.out.pending([PAGE]):
        judged = {
            row.label: list(ctx.inputs[f"judged.{index}"].records("judged", JudgedAnswer))
            for index, row in enumerate(config.runs)
        }
        before = {
            row.label: sorted(
                (
                    score
                    for score in ctx.inputs[f"eval.{index}"].records("scores", QuestionScore)
                    if score.modality == "speech"
                ),
                key=lambda score: score.question_id,
            )
            for index, row in enumerate(config.runs)
        }
        after = Replies(judged, config.perturbations)
        arms = [_arm(arm, Answers(before), after) for arm in config.arms]
        comparisons = compare_arms(after, config.arms, config.ablations, FOLLOWING)
        correlation = _correlation(config, Answers(before), after)
        metrics = [
            *_metrics(config, judged),
            *_ranks(correlation, len(arms)),
            *(
                replace(metric, subject=f"{one.after} over {one.before}")
                for place, one in enumerate(config.ablations)
                if f"preferred.{place}" in ctx.inputs
                for metric in ctx.inputs[f"preferred.{place}"].records("metrics", Metric)
            ),
        ]
        shown = _shown(ctx, config, judged)
        parts = (arms, metrics, comparisons, config.ablations, correlation)
        with ctx.out.unit(unit) as out:
            out.read(len(arms))
            out.write("arms", arms)
            out.write("comparisons", comparisons)
            out.write("metrics", metrics)
            out.write_file(MARKDOWN, post_training_markdown(*parts).encode())
            out.write_file(PAGE, post_training_page(*parts, shown, title=config.title).encode())
            out.add("pages", 1)
        ctx.log(post_training_markdown(*parts))


def _exact(row: JudgedAnswer) -> float:
    return float(row.match == "exact")


class Replies:
    """Judged answers by run; of each arm whether it followed the spoken instructions whose sound is as recorded.

    InputError where runs were given other instructions.
    """

    def __init__(self, judged: dict[str, list[JudgedAnswer]], perturbations: Sequence[str]):
        self._clean = {
            run: sorted(
                (row for row in rows if row.modality == "speech" and row.split not in perturbations),
                key=lambda row: row.question_id,
            )
            for run, rows in judged.items()
        }
        asked = {run: [row.question_id for row in rows] for run, rows in self._clean.items()}
        first = next(iter(asked))
        for run, ids in asked.items():
            if not ids:
                raise InputError(f"{run} was given no spoken instruction as recorded: generate its answers again")
            if ids != asked[first]:
                raise InputError(f"{run} was given other instructions than {first}: generate the answers of both again")

    def measured(self, arm: Arm, metric: str, value: Callable[[JudgedAnswer], float] = _exact) -> Measured | None:
        """Return whether each answer is an accepted one (the metric `FOLLOWING`), or another `value` of it."""
        import numpy as np

        if metric != FOLLOWING:
            return None
        rows = self._clean[arm.runs[0]]
        values = np.array([[value(row) for row in self._clean[run]] for run in arm.runs], float)
        clusters = np.array([row.cluster_id for row in rows])
        return Measured(values, [row.question_id for row in rows], clusters, np.ones(len(rows)))


_VALUES: dict[str, Callable[[JudgedAnswer], float]] = {
    "exact_match": _exact,
    "contained": lambda row: float(bool(row.match)),
    "judged": lambda row: float(row.judgement == "right"),
}


def _arm(arm: Arm, before: Answers, after: Replies) -> TunedArm:
    spoken_qa = _mean(before.measured(arm, ACCURACY))
    exact = _mean(after.measured(arm, FOLLOWING))
    contained = _mean(after.measured(arm, FOLLOWING, _VALUES["contained"]))
    return TunedArm(
        arm=arm.name,
        seeds=len(arm.runs),
        pretraining_accuracy=spoken_qa.value,
        pretraining_low=spoken_qa.low,
        pretraining_high=spoken_qa.high,
        exact_match=exact.value,
        exact_match_low=exact.low,
        exact_match_high=exact.high,
        contained=contained.value,
        contained_low=contained.low,
        contained_high=contained.high,
    )


def _mean(found: Measured | None) -> Interval:
    from spelangy_model.eval.stats import mean_of

    if found is None:
        raise InputError("an arm has no spoken question: evaluate its runs on spoken questions")
    return mean_of(found.values, found.clusters, fraction=True).interval


def _correlation(config: Config, before: Answers, after: Replies) -> Interval:
    from spelangy_model.eval.stats import rank_correlation

    first = [before.measured(arm, ACCURACY) for arm in config.arms]
    second = [after.measured(arm, FOLLOWING) for arm in config.arms]
    one = [found for found in first if found is not None]
    other = [found for found in second if found is not None]
    values = [found.values for found in one], [found.values for found in other]
    return rank_correlation(values[0], one[0].clusters, values[1], other[0].clusters, config.seed, "post_training")


def _ranks(correlation: Interval, arms: int) -> Iterator[Metric]:
    yield Metric(ALL_ARMS, "rank_correlation", correlation.value, correlation.low, correlation.high, arms)


def _metrics(config: Config, judged: dict[str, list[JudgedAnswer]]) -> Iterator[Metric]:
    import numpy as np

    from spelangy_model.eval.stats import mean_of

    def metric(run: str, name: str, rows: Sequence[JudgedAnswer], value: Callable[[JudgedAnswer], float]) -> Metric:
        found = mean_of(
            np.array([value(row) for row in rows]), np.array([row.cluster_id for row in rows]), fraction=True
        ).interval
        return Metric(run, name, found.value, found.low, found.high, len(rows))

    for run, rows in judged.items():
        spoken = [row for row in rows if row.modality == "speech"]
        clean = [row for row in spoken if row.split not in config.perturbations]
        for name, value in _VALUES.items():
            if name != "judged" or any(row.judgement for row in clean):
                yield metric(run, f"instructions.{name}", clean, value)
        for split in dict.fromkeys(row.split for row in spoken):
            yield metric(
                run, f"instructions.{split}.exact_match", [row for row in spoken if row.split == split], _exact
            )
        if written := [row for row in rows if row.modality == "text"]:
            yield metric(run, "instructions.written.exact_match", written, _exact)


def _shown(ctx: StageContext, config: Config, judged: dict[str, list[JudgedAnswer]]) -> list[ShownAnswer]:
    """Return drawn instructions, each with what the first run of every arm answers."""
    firsts = {arm.name: arm.runs[0] for arm in config.arms}
    asked = {
        row.question_id: row
        for row in ctx.inputs["questions"].records("questions", Question)
        if row.split not in config.perturbations
    }
    by_arm = {
        arm: {row.question_id: row for row in judged[run] if row.modality == "speech"} for arm, run in firsts.items()
    }
    answered = [one for one in asked if all(one in rows for rows in by_arm.values())]
    chosen = sorted(answered, key=lambda one: stable_hash("shown instruction", config.seed, one))
    return [
        ShownAnswer(
            asked[one].question,
            asked[one].options[asked[one].answer_index],
            [(arm, rows[one].answer, rows[one].match) for arm, rows in by_arm.items()],
        )
        for one in chosen[: config.shown_instructions]
    ]
