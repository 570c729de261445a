"""leaderboard: all runs side by side, as numbers, as Markdown and as a page.

Put here: gathering the metrics and the facts of the runs, comparing them on the same questions. Do not put here:
measuring (the stages above do), statistics (spelangy_model/eval/stats.py) or layout (report/leaderboard_page.py).

Inputs: `eval_NAME` and `run_NAME` for each run, `system_NAME` for each other system (by score_system),
`text_skill`, `topic_coverage`, `contamination`.
Output: metrics(Metric), all of them in one table; comparisons(ArmComparison), all pairs of arms;
arms(ArmScore), each arm over its seeds;
clean(CleanScore), the paper's test of contamination; leaderboard.md; leaderboard.html.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.report.comparisons import ArmComparison, ArmScore
from spelangy_assets.report.leaderboard_page import (
    GAP,
    PRIMARY,
    Ablation,
    CleanScore,
    Provenance,
    RunDescription,
    leaderboard_markdown,
    leaderboard_page,
    lineage_command,
)
from spelangy_assets.stages.find_contamination import QuestionOverlap
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.records import Metric, QuestionScore

if TYPE_CHECKING:
    import numpy as np

VERSION = "9"
READS_MANIFESTS = True
TABLES: dict[str, type] = {"metrics": Metric, "comparisons": ArmComparison, "arms": ArmScore, "clean": CleanScore}
PAGE, MARKDOWN = "leaderboard.html", "leaderboard.md"
ALPHA = 0.05
_CLEAN_ALPHA = 0.01  # the paper's
_SYSTEM = "system_"


@dataclass(frozen=True)
class Arm:
    """Runs that differ by their seed alone, by name (run_...), judged together."""

    name: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """`chance` is the accuracy of guessing; `title` heads the page.

    `arms` joins the runs of several seeds; a run that is in none is an arm of its own. `ablations` are the rows of the
    paper's tables, each a pair of arms.
    """

    title: str = "SpeLangy leaderboard"
    chance: float = 0.25
    seed: int = 0
    arms: tuple[Arm, ...] = ()
    ablations: tuple[Ablation, ...] = ()


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError for a run that is in two arms."""
    runs = [run for arm in config.arms for run in arm.runs]
    if len(set(runs)) != len(runs):
        raise PreflightError(f"the arms share a run: {sorted(run for run in set(runs) if runs.count(run) > 1)}")


def run(ctx: StageContext, config: Config) -> None:
    """Write the numbers and the page in one unit."""
    for unit, _ in ctx.out.pending([PAGE]):
        with ctx.out.unit(unit) as out:
            read = [
                (metric, role, artifact)
                for role, artifact in ctx.inputs.items()
                if not role.startswith("run_")
                for metric in artifact.records("metrics", Metric)
            ]
            metrics = [metric for metric, _, _ in read]
            trained = [_describe(role, artifact) for role, artifact in ctx.inputs.items() if role.startswith("run_")]
            systems = [_describe_system(role, item) for role, item in ctx.inputs.items() if role.startswith(_SYSTEM)]
            runs = [*trained, *systems]
            scores = _spoken_scores(ctx)
            steps = {run.name: run.facts.get("steps", run.name) for run in trained}  # adopted: unknown, like no other
            arms = _arms(config, list(scores))
            comparisons = compare_arms(scores, arms, steps, config.seed)
            arm_scores = [score_arm(arm, scores, config.chance, config.seed) for arm in arms if scores[arm.runs[0]]]
            overlaps = list(ctx.inputs["contamination"].records("questions", QuestionOverlap))
            clean = [clean_score(name, rows, overlaps) for name, rows in scores.items()]
            out.read(len(metrics))
            out.write("metrics", metrics)
            out.write("comparisons", comparisons)
            out.write("arms", arm_scores)
            out.write("clean", clean)
            markdown = leaderboard_markdown(metrics, runs, comparisons, arm_scores, chance=config.chance)
            out.write_file(MARKDOWN, markdown.encode())
            page = leaderboard_page(
                metrics,
                runs,
                comparisons,
                arm_scores,
                ablations=config.ablations,
                clean=clean,
                sources={(metric.subject, metric.metric): _provenance(role, one) for metric, role, one in read},
                chance=config.chance,
                title=config.title,
            )
            out.write_file(PAGE, page.encode())
            out.add("pages", 1)


def _describe(name: str, run: Artifact) -> RunDescription:
    """Describe a run by what its own build key determines, and not by what recipes call things."""
    stats = run.manifest.counts.stats
    trained = any(item.role == "mix" for item in run.manifest.inputs)
    if trained:
        facts = {
            "steps": f"{stats['steps']:,.0f}",
            "positions seen": f"{stats['positions_seen']:,.0f}",
            "closing loss": f"{stats['closing_loss_nats']:.3f} nats",
            **{stat.removesuffix(".share"): f"{100 * x:.0f}%" for stat, x in stats.items() if stat.endswith(".share")},
        }
    else:
        facts = {"parameters": f"{stats['parameters']:,.0f}"}
    evaluation = name.replace("run_", "eval_", 1)
    return RunDescription(
        name=name,
        description="trained here" if trained else "trained elsewhere",
        lineage_command=lineage_command(evaluation),
        facts=facts,
    )


def _provenance(role: str, artifact: Artifact) -> Provenance:
    manifest = artifact.manifest
    return Provenance(
        asset=role,
        version=manifest.build_key,
        data_version=manifest.data_version,
        stage=f"{manifest.stage} {manifest.stage_version}",
        inputs=[f"{item.role}{f'@{item.partition}' if item.partition else ''}" for item in manifest.inputs],
    )


def _describe_system(role: str, scores: Artifact) -> RunDescription:
    manifest = scores.manifest
    return RunDescription(
        name=role.removeprefix(_SYSTEM),
        description=str(manifest.config["description"]),
        lineage_command=lineage_command(role),
        facts={"questions asked": f"{manifest.rows('scores'):,}"},
    )


def _spoken_scores(ctx: StageContext) -> dict[str, list[QuestionScore]]:
    """Return the scores of the spoken questions by run, then by system, each ordered by question.

    Systems may have answered fewer. InputError where the runs' questions differ.
    """
    scores = {}
    for role, artifact in ctx.inputs.items():
        if role.startswith("eval_"):
            rows = [row for row in artifact.records("scores", QuestionScore) if row.modality == "speech"]
            scores[role.replace("eval_", "run_", 1)] = sorted(rows, key=lambda row: row.question_id)
    asked = {run: [row.question_id for row in rows] for run, rows in scores.items()}
    for run, ids in asked.items():
        if ids != next(iter(asked.values())):
            raise InputError(f"{run} was scored on other questions than {next(iter(asked))}: evaluate both again")
    for role, artifact in ctx.inputs.items():
        if role.startswith(_SYSTEM):
            rows = sorted(artifact.records("scores", QuestionScore), key=lambda row: row.question_id)
            scores[role.removeprefix(_SYSTEM)] = rows
    return scores


def _arms(config: Config, runs: Sequence[str]) -> list[Arm]:
    named = {run for arm in config.arms for run in arm.runs}
    if unknown := named - set(runs):
        raise InputError(f"the arms name {sorted(unknown)}, but only these runs are evaluated: {', '.join(runs)}")
    return [*config.arms, *(Arm(run, (run,)) for run in runs if run not in named)]


def compare_arms(
    scores: Mapping[str, Sequence[QuestionScore]], arms: Sequence[Arm], steps: Mapping[str, str], seed: int
) -> list[ArmComparison]:
    """Return all pairs of arms, the better first: on accuracy, and on the gap where both trained for as many steps.

    `scores` are ordered by question, and the same for the runs of an arm; a pair is compared on the questions that both
    answered. `steps` is how long each run was trained.
    """
    import numpy as np

    from spelangy_model.eval.stats import holm

    def values(arm: Arm, metric: str, asked: set[str]) -> np.ndarray:
        rows = [[row for row in scores[run] if row.question_id in asked] for run in arm.runs]
        if metric == GAP:
            return np.array([[row.reverse_kl for row in of_run] for of_run in rows])
        return np.array([[row.predicted_index == row.answer_index for row in of_run] for of_run in rows], float)

    pairs = []
    for metric in (PRIMARY, GAP):
        found = []
        for one, other in combinations(arms, 2):
            lengths = {steps.get(run, "") for run in (*one.runs, *other.runs)}
            if metric == GAP and len(lengths) > 1:
                continue
            texts = {row.question_id: row.text_id for row in scores[one.runs[0]]}
            asked = {row.question_id for row in scores[other.runs[0]] if row.question_id in texts}
            clusters = np.array([text_id for question_id, text_id in texts.items() if question_id in asked])
            sides = [(values(arm, metric, asked), arm.name) for arm in (one, other)]
            if len(set(clusters.tolist())) < 2 or any(np.isnan(found).any() for found, _ in sides):
                continue
            sides.sort(key=lambda side: -side[0].mean())
            found.append(_comparison(metric, *sides[0], *sides[1], clusters, seed))
        for pair, adjusted in zip(found, holm([pair.p_value for pair in found]), strict=True):
            pairs.append(replace(pair, p_adjusted=adjusted, resolved=adjusted < ALPHA))
    return pairs


def score_arm(arm: Arm, scores: Mapping[str, Sequence[QuestionScore]], chance: float, seed: int) -> ArmScore:
    """Return an arm's accuracy over its seeds; its interval is that of its distance from guessing."""
    import numpy as np

    from spelangy_model.eval.stats import compare

    right = np.array([[row.predicted_index == row.answer_index for row in scores[run]] for run in arm.runs], float)
    clusters = np.array([row.text_id for row in scores[arm.runs[0]]])
    by_seed = right.mean(1)
    accuracy, low, high, p_value = float(right.mean()), math.nan, math.nan, math.nan
    if len(set(clusters.tolist())) > 1:
        found = compare(right, np.full_like(right, chance), clusters, seed, "arm", arm.name)
        low, high = (chance + end for end in (found.difference.low, found.difference.high))
        p_value = found.p_value
    return ArmScore(arm.name, len(arm.runs), accuracy, low, high, float(by_seed.min()), float(by_seed.max()), p_value)


def _comparison(
    metric: str,
    first: np.ndarray,
    first_name: str,
    second: np.ndarray,
    second_name: str,
    clusters: np.ndarray,
    seed: int,
) -> ArmComparison:
    from spelangy_model.eval.stats import compare, mcnemar, needed

    found = compare(first, second, clusters, seed, metric, first_name, second_name)
    asked = needed(found)
    single = metric == PRIMARY and len(first) == len(second) == 1
    return ArmComparison(
        metric=metric,
        first=first_name,
        second=second_name,
        first_value=float(first.mean()),
        second_value=float(second.mean()),
        difference=found.difference.value,
        low=found.difference.low,
        high=found.difference.high,
        p_value=found.p_value,
        p_adjusted=found.p_value,
        p_mcnemar=mcnemar(first[0], second[0], clusters) if single else math.nan,
        resolved=found.p_value < ALPHA,
        questions=found.questions,
        first_seeds=len(first),
        second_seeds=len(second),
        needed_questions=asked.questions or 0,
        needed_seeds=asked.seeds or 0,
    )


def clean_score(run: str, scores: Sequence[QuestionScore], overlaps: Sequence[QuestionOverlap]) -> CleanScore:
    """Return a run's accuracy on clean and on contaminated question texts, with the test that the latter is higher.

    One value a question text, Welch's t-test, one-sided at the paper's alpha of 0.01; NaN where a side has fewer than
    two texts or the scores do not vary.
    """
    import numpy as np
    from scipy.stats import ttest_ind

    status = {row.text_id: row.clean for row in overlaps}
    answers: dict[str, list[bool]] = defaultdict(list)
    for row in scores:
        answers[row.text_id].append(row.predicted_index == row.answer_index)
    clean = [float(np.mean(values)) for text_id, values in answers.items() if status.get(text_id, True)]
    dirty = [float(np.mean(values)) for text_id, values in answers.items() if not status.get(text_id, True)]
    p_value = math.nan
    if min(len(clean), len(dirty)) > 1 and np.var(clean) + np.var(dirty) > 0:
        tested: Any = ttest_ind(dirty, clean, equal_var=False, alternative="greater")
        p_value = float(tested.pvalue)
    return CleanScore(
        run=run,
        all_accuracy=float(np.mean([*clean, *dirty])) if answers else math.nan,
        clean_accuracy=float(np.mean(clean)) if clean else math.nan,
        contaminated_accuracy=float(np.mean(dirty)) if dirty else math.nan,
        clean_texts=len(clean),
        contaminated_texts=len(dirty),
        p_value=p_value,
        significant=p_value < _CLEAN_ALPHA,
    )
