"""leaderboard: all runs side by side, as numbers, as Markdown and as a page.

Put here: gathering the metrics and the facts of the runs, comparing them on the same questions. Do not put here:
measuring (the stages above do), statistics (spelangy_model/eval/stats.py) or layout (report/leaderboard_page.py).

Inputs, numbered as the config lists them: `run.N`, `eval.N`, `skill.N` of each run; `base_skill.N` of each base LM;
`system.N` (by score_system); `topics.N` and `contamination.N` of each token set; `topics.questions`.
Output: metrics(Metric), all of them in one table; comparisons(ArmComparison), all pairs of arms;
arms(ArmScore), each arm over its seeds;
clean(CleanScore), the paper's test of contamination; leaderboard.md; leaderboard.html.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from spelangy_assets.execution.dataset import DatasetKind
from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
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
TOPICS = "texts"  # the subject of all questions together in cover_topics


@dataclass(frozen=True)
class RunRow:
    """A run as the board shows it: its label, the arm that it is a seed of, and the token sets of its mix.

    `sources`: for each source of the mix its role there, and the place of its token set in `Config.token_sets`.
    """

    label: str
    arm: str
    sources: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class TokenSetRow:
    """A token set as the board calls it."""

    label: str


@dataclass(frozen=True)
class SystemRow:
    """Another system as the board calls it."""

    label: str


@dataclass(frozen=True)
class Arm:
    """Runs that differ by their seed alone, by label, judged together."""

    name: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """What the board calls its inputs, in the order of their roles, and what is compared.

    `chance` is the accuracy of guessing; `title` heads the page. All labels are printed, and bear identity here alone.
    """

    runs: tuple[RunRow, ...]
    token_sets: tuple[TokenSetRow, ...] = ()
    systems: tuple[SystemRow, ...] = ()
    bases: tuple[str, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    title: str = "SpeLangy leaderboard"
    chance: float = 0.25
    seed: int = 0

    @property
    def arms(self) -> list[Arm]:
        """Return the arms in the order of their first runs."""
        names = dict.fromkeys(row.arm for row in self.runs)
        return [Arm(name, tuple(row.label for row in self.runs if row.arm == name)) for name in names]


CONTRACT = Contract(
    "leaderboard",
    """
    SELECT count(*) AS metrics, count(DISTINCT subject) AS subjects,
           count(*) - count(DISTINCT (subject, metric)) AS duplicate_metrics,
           (SELECT count(*) FROM stats WHERE name = 'pages' AND value >= 1) AS pages
    FROM metrics
    """,
    (Bound("metrics", 1), Bound("subjects", 1), exactly("duplicate_metrics"), Bound("pages", 1)),
)

KIND = DatasetKind(
    group="evals",
    description="All runs side by side, with intervals, gap, topics and contamination; a page and its numbers.",
    contract=CONTRACT,
    kinds=("html",),
    takes={
        "run": "language_model",
        "eval": "scores",
        "skill": "text_skill",
        "base_skill": "text_skill",
        "system": "system_scores",
        "topics": "topics",
        "contamination": "contamination",
    },
)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Write the numbers and the page in one unit."""
    for unit, _ in ctx.out.pending([PAGE]):
        with ctx.out.unit(unit) as out:
            read = list(_labelled(ctx, config))
            topics = _distances([metric for metric, _ in read])
            metrics = [*(metric for metric, _ in read), *topics]
            trained = [_describe(ctx, config, index) for index in range(len(config.runs))]
            systems = [_describe_system(ctx, config, index) for index in range(len(config.systems))]
            scores = _spoken_scores(ctx, config)
            steps = {run.name: run.facts.get("steps", run.name) for run in trained}  # adopted: unknown, like no other
            arms = [*config.arms, *(Arm(row.label, (row.label,)) for row in config.systems)]
            comparisons = compare_arms(scores, arms, steps, config.seed)
            arm_scores = [score_arm(arm, scores, config.chance, config.seed) for arm in arms if scores[arm.runs[0]]]
            clean = [clean_score(name, rows, _overlaps(ctx, config, name)) for name, rows in scores.items()]
            out.read(len(metrics))
            out.write("metrics", metrics)
            out.write("comparisons", comparisons)
            out.write("arms", arm_scores)
            out.write("clean", clean)
            runs = [*trained, *systems]
            markdown = leaderboard_markdown(metrics, runs, comparisons, arm_scores, chance=config.chance)
            out.write_file(MARKDOWN, markdown.encode())
            page = leaderboard_page(
                metrics,
                runs,
                comparisons,
                arm_scores,
                ablations=config.ablations,
                clean=clean,
                sources={(metric.subject, metric.metric): source for metric, source in read},
                chance=config.chance,
                title=config.title,
            )
            out.write_file(PAGE, page.encode())
            out.add("pages", 1)


def _subject(config: Config, role: str, subject: str) -> tuple[str, str]:
    """Return what a metric of an input is about, and what the board calls that input."""
    kind, _, place = role.partition(".")
    if kind in ("eval", "skill"):
        label = config.runs[int(place)].label
        return label, f"{'eval' if kind == 'eval' else 'text_skill'}_{label}"
    if kind == "base_skill":
        return config.bases[int(place)], f"text_skill_{config.bases[int(place)]}"
    if kind == "system":
        label = config.systems[int(place)].label
        return label, f"eval_{label}"
    if role == "topics.questions":
        return ("questions" if subject == TOPICS else f"questions of {subject}"), "questions_topics"
    label = config.token_sets[int(place)].label
    return f"{label}_tokens", f"{label}_{kind}"  # an arm may be called as what it is trained on


def _labelled(ctx: StageContext, config: Config) -> Iterator[tuple[Metric, Provenance]]:
    """Yield every metric of the inputs under the board's names, with where it is from."""
    for role, artifact in ctx.inputs.items():
        if role.startswith("run."):
            continue
        for metric in artifact.records("metrics", Metric):
            subject, asset = _subject(config, role, metric.subject)
            yield replace(metric, subject=subject), _provenance(asset, artifact)


def _provenance(asset: str, artifact: Artifact) -> Provenance:
    manifest = artifact.manifest
    return Provenance(
        asset=asset,
        data_version=manifest.data_version,
        stage=f"{manifest.stage} {manifest.stage_version}",
        inputs=[f"{item.role}: {item.data_version[:16]}" for item in manifest.inputs],
    )


def _distances(metrics: Sequence[Metric]) -> list[Metric]:
    """Return how far the topics of each two token sets, and of the questions, lie apart."""
    import numpy as np

    from spelangy_model.text.topics import jensen_shannon_distance

    shares: dict[str, list[float]] = {}
    for metric in metrics:
        if metric.metric.startswith("topic.") and metric.metric.endswith(".share"):
            shares.setdefault(metric.subject, []).append(metric.value)
    return [
        Metric(
            one,
            f"topic.distance_to.{other}",
            jensen_shannon_distance(np.array(shares[one]), np.array(shares[other])),
            math.nan,
            math.nan,
            1,
        )
        for one, other in combinations(shares, 2)
    ]


def _describe(ctx: StageContext, config: Config, index: int) -> RunDescription:
    row, manifest = config.runs[index], ctx.inputs[f"run.{index}"].manifest
    stats = manifest.counts.stats
    if row.sources:
        labels = {role: config.token_sets[place].label for role, place in row.sources}
        shares = {role: stats[f"{role}.share"] for role in labels if f"{role}.share" in stats}
        facts = {
            "steps": f"{stats['steps']:,.0f}",
            "positions seen": f"{stats['positions_seen']:,.0f}",
            "closing loss": f"{stats['closing_loss_nats']:.3f} nats",
            **{labels[role]: f"{100 * share:.0f}%" for role, share in shares.items()},
        }
        description = "trained on " + ", ".join(labels.values())
    else:
        facts, description = {"parameters": f"{stats['parameters']:,.0f}"}, "trained elsewhere"
    return RunDescription(row.label, description, lineage_command(f"eval_{row.label}"), facts)


def _describe_system(ctx: StageContext, config: Config, index: int) -> RunDescription:
    label, manifest = config.systems[index].label, ctx.inputs[f"system.{index}"].manifest
    return RunDescription(
        label,
        f"answers by {manifest.config['system']['type']}",
        lineage_command(f"eval_{label}"),
        {"questions asked": f"{manifest.rows('scores'):,}"},
    )


def _spoken_scores(ctx: StageContext, config: Config) -> dict[str, list[QuestionScore]]:
    """Return the scores of the spoken questions by run, then by system, each ordered by question.

    Systems may have answered fewer. InputError where the runs' questions differ.
    """

    def read(role: str) -> list[QuestionScore]:
        rows = (row for row in ctx.inputs[role].records("scores", QuestionScore) if row.modality == "speech")
        return sorted(rows, key=lambda row: row.question_id)

    scores = {row.label: read(f"eval.{index}") for index, row in enumerate(config.runs)}
    asked = {run: [row.question_id for row in rows] for run, rows in scores.items()}
    for run, ids in asked.items():
        if ids != next(iter(asked.values())):
            raise InputError(f"{run} was scored on other questions than {next(iter(asked))}: evaluate both again")
    return scores | {row.label: read(f"system.{index}") for index, row in enumerate(config.systems)}


def _overlaps(ctx: StageContext, config: Config, run: str) -> list[QuestionOverlap]:
    """Return how much of each question stands in what a run was trained on; nothing is known of another system."""
    longest: dict[str, QuestionOverlap] = {}
    for row in config.runs:
        for _, place in row.sources if row.label == run else ():
            for found in ctx.inputs[f"contamination.{place}"].records("questions", QuestionOverlap):
                before = longest.get(found.text_id)
                if before is None or found.overlap_words > before.overlap_words:
                    longest[found.text_id] = found
    return list(longest.values())


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
