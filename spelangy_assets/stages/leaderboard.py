"""leaderboard: all runs side by side, as numbers, as Markdown and as a page.

Put here: gathering the metrics and the facts of the runs, comparing them on the same questions. Do not put here:
measuring (the stages above do), statistics (spelangy_model/eval/stats.py) or layout (report/leaderboard_page.py).

Inputs, numbered as the config lists them: `run.N`, `eval.N`, `skill.N`, `contamination.N` (of its mix), `answers.N`
(in words, judged) of each run; `base_skill.N` of each base LM; `system.N` (by score_system) and `system_answers.N` of
each system; `topics.N` of each token set; `topics.questions`; `larger`, a leaderboard of the same arms on a larger
dial. Output: metrics(Metric), all of them in one table; comparisons(ArmComparison), the recipe's ablations and all
other pairs of arms; arms(ArmScore), each arm over its seeds; work(ArmWork), what each arm was trained on;
noise(MetricNoise), how well each metric distinguishes arms; effects(EffectResult), main effects and interactions of a
factorial design; clean(CleanScore), the test of contamination; leaderboard.md; leaderboard.html.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Protocol

from spelangy_assets.execution.dataset import DatasetKind
from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly, stat
from spelangy_assets.report.comparisons import (
    ACCURACY,
    GAP,
    INSTRUMENTS,
    PROBABILITY,
    TALK,
    ArmComparison,
    ArmScore,
    ArmWork,
    MetricNoise,
    unequal_work,
    verdict,
)
from spelangy_assets.report.effects import Effect, EffectResult
from spelangy_assets.report.leaderboard_page import (
    WORK,
    Ablation,
    CleanScore,
    Provenance,
    Results,
    RunDescription,
    leaderboard_markdown,
    leaderboard_page,
    lineage_command,
)
from spelangy_assets.report.text_results import TextResult, text_metrics
from spelangy_assets.stages.evaluate import right_option, talk_values
from spelangy_assets.stages.find_contamination import QuestionOverlap
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.records import Metric, PassageScore, QuestionScore

if TYPE_CHECKING:
    import numpy as np

    from spelangy_model.eval.stats import SeedNoise

VERSION = "14"
READS_MANIFESTS = True
TABLES: dict[str, type] = {
    "metrics": Metric,
    "comparisons": ArmComparison,
    "arms": ArmScore,
    "work": ArmWork,
    "noise": MetricNoise,
    "effects": EffectResult,
    "clean": CleanScore,
}
PAGE, MARKDOWN = "leaderboard.html", "leaderboard.md"
ALPHA = 0.05
_CLEAN_ALPHA = 0.01  # the paper's
TOPICS = "texts"  # the subject of all questions together in cover_topics


@dataclass(frozen=True)
class RunRow:
    """A run as the board shows it: its label, the arm that it is a seed of, and the token sets of its mix.

    `sources`: for each source of the mix its role there, and the place of its token set in `Config.token_sets`. The
    others are the names that its datasets have in the recipe.
    """

    label: str
    arm: str
    sources: tuple[tuple[str, int], ...] = ()
    run: str = ""
    evaluation: str = ""
    skill: str = ""
    contamination: str = ""
    answers: str = ""


@dataclass(frozen=True)
class TokenSetRow:
    """A token set's label on the board, and the name of its topics in the recipe."""

    label: str
    topics: str = ""


@dataclass(frozen=True)
class SystemRow:
    """Another system's label on the board, and the names of its scores and of its judged answers in the recipe."""

    label: str
    scores: str = ""
    answers: str = ""


@dataclass(frozen=True)
class Arm:
    """Runs that differ by their seed alone, by label, judged together."""

    name: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """The board's labels for its inputs, in the order of their roles, and the comparisons.

    `ablations` are the planned comparisons, tested together; `effects` are those of a factorial design, so tested too;
    `chance` is the accuracy of guessing; `title` heads the page; `plan` is the text that was written before the runs,
    printed with its SHA-256; `text_results` are those of text skill that stand beside published ones; `larger` is the
    label of the board of the role `larger`. All labels are printed, and are part of the identity of this stage alone.
    """

    runs: tuple[RunRow, ...]
    token_sets: tuple[TokenSetRow, ...] = ()
    systems: tuple[SystemRow, ...] = ()
    bases: tuple[str, ...] = ()
    base_skills: tuple[str, ...] = ()
    questions_topics: str = ""
    larger: str = ""
    ablations: tuple[Ablation, ...] = ()
    effects: tuple[Effect, ...] = ()
    text_results: tuple[TextResult, ...] = ()
    title: str = "SpeLangy leaderboard"
    plan: str = ""
    chance: float = 0.25
    seed: int = 0

    @property
    def arms(self) -> list[Arm]:
        """Return the arms in the order of their first runs."""
        names = dict.fromkeys(row.arm for row in self.runs)
        return [Arm(name, tuple(row.label for row in self.runs if row.arm == name)) for name in names]


CONTRACT = Contract(
    "leaderboard",
    f"""
    SELECT count(*) AS metrics, count(DISTINCT subject) AS subjects,
           count(*) - count(DISTINCT (subject, metric)) AS duplicate_metrics,
           (SELECT count(*) FROM stats WHERE name = 'pages' AND value >= 1) AS pages,
           {stat("ablations_of_unequal_work")} AS ablations_of_unequal_work
    FROM metrics
    """,
    (
        Bound("metrics", 1),
        Bound("subjects", 1),
        exactly("duplicate_metrics"),
        Bound("pages", 1),
        Bound("ablations_of_unequal_work", 0, 0, "warn"),  # arms that differ by more than 5% in a shared quantity
    ),
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
        "answers": "judged_answers",
        "system_answers": "judged_answers",
        "larger": "leaderboard",
    },
    makes="leaderboard",
)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Write the numbers and the page in one unit."""
    for unit, _ in ctx.out.pending([PAGE]):
        with ctx.out.unit(unit) as out:
            read = list(_labelled(ctx, config))
            measured = [metric for metric, _ in read]
            metrics = [*measured, *_distances(measured), *text_metrics(measured, config.text_results)]
            trained = [_describe(ctx, config, index) for index in range(len(config.runs))]
            systems = [_describe_system(ctx, config, index) for index in range(len(config.systems))]
            answers = Answers(_spoken_scores(ctx, config), _passages(ctx, config))
            arms = [*config.arms, *(Arm(row.label, (row.label,)) for row in config.systems)]
            comparisons = compare_arms(answers, arms, config.ablations)
            noise = _seed_noise(answers, arms, ACCURACY)
            arm_scores = [found for arm in arms if (found := score_arm(arm, answers, config.chance, noise)) is not None]
            work = [arm_work(ctx, config, arm) for arm in config.arms]
            noise = metric_noise(answers, config.arms, *_larger(ctx, config))
            effects = estimate_effects(answers, arms, config.effects)
            clean = [
                clean_score(name, rows, _overlaps(ctx, config, name), config.seed)
                for name, rows in answers.scores.items()
            ]
            out.read(len(metrics))
            out.write("metrics", metrics)
            out.write("comparisons", comparisons)
            out.write("arms", arm_scores)
            out.write("work", work)
            out.write("noise", noise)
            out.write("effects", effects)
            out.write("clean", clean)
            runs = [*trained, *systems]
            firsts = {arm.name: arm.runs[0] for arm in arms}
            report = Results(
                *(metrics, runs, comparisons, arm_scores, work, noise, clean, config.ablations, firsts),
                config.text_results,
                effects,
                config.effects,
                config.plan,
                _one_base(ctx, config),
            )
            out.write_file(MARKDOWN, leaderboard_markdown(report, chance=config.chance).encode())
            page = leaderboard_page(
                report,
                sources={(metric.subject, metric.metric): source for metric, source in read}
                | _run_sources(ctx, config),
                chance=config.chance,
                title=config.title,
            )
            out.write_file(PAGE, page.encode())
            out.add("pages", 1)
            of_arms = {one.arm: one for one in work}
            pairs = [(of_arms[row.before], of_arms[row.after]) for row in config.ablations]
            out.add("ablations_of_unequal_work", sum(bool(unequal_work(*pair)) for pair in pairs))


def _subject(config: Config, role: str, subject: str) -> tuple[str, str]:
    """Return the subject of a metric of an input, and the board's name of that input."""
    kind, _, place = role.partition(".")
    if kind in ("eval", "skill", "contamination", "answers"):
        row = config.runs[int(place)]
        return row.label, row.evaluation if kind == "eval" else getattr(row, kind)
    if kind == "base_skill":
        return config.bases[int(place)], config.base_skills[int(place)]
    if kind in ("system", "system_answers"):
        row = config.systems[int(place)]
        return row.label, row.scores if kind == "system" else row.answers
    if role == "topics.questions":
        return ("questions" if subject == TOPICS else f"questions of {subject}"), config.questions_topics
    tokens = config.token_sets[int(place)]
    return f"{tokens.label}_tokens", tokens.topics  # an arm may have the name of its token set


def _labelled(ctx: StageContext, config: Config) -> Iterator[tuple[Metric, Provenance]]:
    """Yield every metric of the inputs under the board's names, with where it is from."""
    for role, artifact in ctx.inputs.items():
        if role.startswith("run.") or role == "larger":
            continue
        for metric in artifact.records("metrics", Metric):
            subject, asset = _subject(config, role, metric.subject)
            yield replace(metric, subject=subject), _provenance(asset, artifact)


def _run_sources(ctx: StageContext, config: Config) -> dict[tuple[str, str], Provenance]:
    """Return where the work of each run was read from."""
    return {
        (row.label, WORK): _provenance(row.run, ctx.inputs[f"run.{index}"]) for index, row in enumerate(config.runs)
    }


def _provenance(asset: str, artifact: Artifact) -> Provenance:
    manifest = artifact.manifest
    return Provenance(
        asset=asset,
        data_version=manifest.data_version,
        stage=f"{manifest.stage} {manifest.stage_version}",
        inputs=[f"{item.role}: {item.data_version[:16]}" for item in manifest.inputs],
    )


def _distances(metrics: Sequence[Metric]) -> list[Metric]:
    """Return the distances between the topics of each two token sets, and of the questions."""
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
            "loss tokens": f"{stats['loss_positions_seen']:,.0f}",
            "closing loss": f"{stats['closing_loss_nats']:.3f} nats",
            **{labels[role]: f"{100 * share:.0f}%" for role, share in shares.items()},
        }
        description = "trained on " + ", ".join(labels.values())
    else:
        facts, description = {"parameters": f"{stats['parameters']:,.0f}"}, "trained elsewhere"
    return RunDescription(row.label, description, lineage_command(row.evaluation), facts)


def _one_base(ctx: StageContext, config: Config) -> bool:
    """Return whether all runs start from one base LM; one that was trained from nothing, or elsewhere, has none."""
    found = [
        {item.data_version for item in ctx.inputs[f"run.{index}"].manifest.inputs if item.role == "base_lm"}
        for index in range(len(config.runs))
    ]
    return all(found) and len(set().union(*found)) == 1


def _describe_system(ctx: StageContext, config: Config, index: int) -> RunDescription:
    row, manifest = config.systems[index], ctx.inputs[f"system.{index}"].manifest
    return RunDescription(
        row.label,
        f"answers by {manifest.config['system']['type']}",
        lineage_command(row.scores),
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


def _passages(ctx: StageContext, config: Config) -> dict[str, list[PassageScore]]:
    """Return how each run predicts held-out talk, ordered by passage; InputError where the runs' talk differs."""
    found = {
        row.label: sorted(
            ctx.inputs[f"eval.{index}"].records("passages", PassageScore), key=lambda passage: passage.passage_id
        )
        for index, row in enumerate(config.runs)
    }
    several = {run: [row.passage_id for row in rows] for run, rows in found.items()}
    for run, ids in several.items():
        if ids != next(iter(several.values())):
            raise InputError(f"{run} was scored on other talk than {next(iter(several))}: evaluate both again")
    return found


def _overlaps(ctx: StageContext, config: Config, run: str) -> list[QuestionOverlap] | None:
    """Return how much of each question occurs in the training texts of a run; None where that is not known."""
    place = next((index for index, row in enumerate(config.runs) if row.label == run), None)
    found = ctx.inputs.get(f"contamination.{place}")
    return list(found.records("questions", QuestionOverlap)) if found is not None else None


def _larger(ctx: StageContext, config: Config) -> tuple[dict[str, float] | None, str]:
    """Return the accuracy of the arms on the board of a larger dial, and its label; None without one."""
    board = ctx.inputs.get("larger")
    if board is None:
        return None, ""
    return {row.arm: row.accuracy for row in board.records("arms", ArmScore)}, config.larger


@dataclass(frozen=True)
class Measured:
    """A metric of an arm item by item: `values` (runs, items), and of each item its id, its cluster and its weight."""

    values: np.ndarray
    items: Sequence[str]
    clusters: np.ndarray
    weights: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """The metric of each run."""
        return self.values @ self.weights / self.weights.sum()

    def of(self, items: Collection[str]) -> Measured:
        """Return it of some items alone."""
        import numpy as np

        kept = np.array([item in items for item in self.items], bool)
        return Measured(
            self.values[:, kept], [one for one in self.items if one in items], self.clusters[kept], self.weights[kept]
        )


class MeasuredArms(Protocol):
    """Metrics of arms item by item."""

    def measured(self, arm: Arm, metric: str) -> Measured | None:
        """Return a metric of an arm; None where the arm, or a run of it, does not have it."""
        ...


class Answers:
    """Scores by run and system: of the spoken questions, and of runs those of held-out talk.

    Each is ordered by question or passage; runs answered the same ones.
    """

    def __init__(
        self,
        scores: Mapping[str, Sequence[QuestionScore]],
        passages: Mapping[str, Sequence[PassageScore]] | None = None,
    ):
        self.scores = scores
        self._passages = passages or {}

    def measured(self, arm: Arm, metric: str) -> Measured | None:
        """Return a metric of an arm; None where the arm, or a run of it, does not have it."""
        import numpy as np

        if metric.startswith(TALK):
            talks = [self._passages.get(run, ()) for run in arm.runs]
            if not all(talks):
                return None
            values = np.array([[talk_values(row)[metric] for row in talk] for talk in talks])
            return Measured(
                values[..., 0],
                [row.passage_id for row in talks[0]],
                np.array([row.cluster_id for row in talks[0]]),
                values[0, :, 1],
            )
        if metric not in _VALUES:  # of the board of post-training
            return None
        answered, value = self.scores[arm.runs[0]], _VALUES[metric]
        values = np.array([[value(row) for row in self.scores[run]] for run in arm.runs], float)
        if not values.size or np.isnan(values).any():
            return None
        clusters = np.array([row.cluster_id for row in answered])
        return Measured(values, [row.question_id for row in answered], clusters, np.ones(len(answered)))


def _right(name: str) -> Callable[[QuestionScore], float]:
    return lambda row: right_option(row.option_log_likelihoods, row.answer_index)[name]


_VALUES: Mapping[str, Callable[[QuestionScore], float]] = {
    ACCURACY: lambda row: float(row.predicted_index == row.answer_index),
    PROBABILITY: _right("probability"),
    "sqa.all.margin": _right("margin"),
    "sqa.all.log_probability": _right("log_probability"),
    GAP: lambda row: row.reverse_kl,
}


def compare_arms(
    answers: MeasuredArms, arms: Sequence[Arm], ablations: Sequence[Ablation], exploratory: str = ACCURACY
) -> list[ArmComparison]:
    """Return the ablations, each by its metric (after - before) with a verdict, then all other pairs by `exploratory`.

    Of those the better arm is first. A pair is compared on the questions that both answered; one that cannot be (fewer
    than two clusters, or a metric that an arm lacks) is left out. The ablations' p-values are adjusted together.
    """
    from spelangy_model.eval.stats import holm

    known = {arm.name: arm for arm in arms}
    alpha = ALPHA / max(1, len(ablations))
    metrics = {exploratory, *(row.metric for row in ablations)}
    noise = {metric: _seed_noise(answers, arms, metric) for metric in metrics}

    def compared(metric: str, first: Arm, second: Arm, effect: float = math.nan) -> ArmComparison | None:
        return _comparison(answers, metric, first, second, alpha, effect, noise[metric])

    planned = [
        found
        for row in ablations
        if (found := compared(row.metric, known[row.after], known[row.before], row.looked_for))
    ]
    adjusted = holm([pair.p_value for pair in planned])
    several = [pair for pair in planned if not math.isnan(pair.same_questions_p_value)]
    same = iter(holm([pair.same_questions_p_value for pair in several]))
    judged = []
    for pair, p_adjusted in zip(planned, adjusted, strict=True):
        same_adjusted = math.nan if math.isnan(pair.same_questions_p_value) else next(same)
        judged.append(
            replace(
                pair,
                planned=True,
                p_adjusted=p_adjusted,
                same_questions_p_adjusted=same_adjusted,
                verdict=verdict(p_adjusted, same_adjusted, ALPHA),
            )
        )
    named = {frozenset((row.before, row.after)) for row in ablations if row.metric == exploratory}
    for one, other in combinations(arms, 2):
        if frozenset((one.name, other.name)) in named:
            continue
        found = compared(exploratory, one, other)
        if found is not None and found.difference < 0:
            found = compared(exploratory, other, one)
        if found is not None:
            judged.append(found)
    return judged


def estimate_effects(answers: MeasuredArms, arms: Sequence[Arm], effects: Sequence[Effect]) -> list[EffectResult]:
    """Return the effects, each by its metric on the items that all its arms have, with p-values adjusted together.

    One that cannot be estimated (fewer than two clusters, or a metric that an arm lacks) is left out.
    """
    from spelangy_model.eval.stats import contrast, holm, smallest_effect

    known, alpha, found = {arm.name: arm for arm in arms}, ALPHA / max(1, len(effects)), []
    noise = {metric: _seed_noise(answers, arms, metric) for metric in {effect.metric for effect in effects}}
    for effect in effects:
        given = [answers.measured(known[arm], effect.metric) for arm, _ in effect.coefficients]
        several = [one for one in given if one is not None]
        if len(several) < len(given):
            continue
        shared = set.intersection(*(set(one.items) for one in several))
        several = [one.of(shared) for one in several]
        if len(set(several[0].clusters.tolist())) < 2:
            continue
        factors = [factor for _, factor in effect.coefficients]
        values, first = [one.values for one in several], several[0]
        compared = contrast(values, factors, first.clusters, first.weights, noise[effect.metric])
        found.append((effect, compared, sum(map(len, values))))
    adjusted = holm([compared.p_value for _, compared, _ in found])
    on_these = [compared.same_questions_p_value for _, compared, _ in found]
    same = iter(holm([p_value for p_value in on_these if not math.isnan(p_value)]))
    return [
        EffectResult(
            effect=effect.name,
            metric=effect.metric,
            value=compared.difference.value,
            low=compared.difference.low,
            high=compared.difference.high,
            p_value=compared.p_value,
            p_adjusted=p_adjusted,
            same_questions_low=compared.same_questions.low,
            same_questions_high=compared.same_questions.high,
            same_questions_p_value=p_same,
            same_questions_p_adjusted=p_same_adjusted,
            verdict=verdict(p_adjusted, p_same_adjusted, ALPHA),
            clusters=compared.clusters,
            runs=runs,
            smallest_effect=smallest_effect(compared, alpha),
        )
        for (effect, compared, runs), p_adjusted, p_same in zip(found, adjusted, on_these, strict=True)
        for p_same_adjusted in [math.nan if math.isnan(p_same) else next(same)]
    ]


def score_arm(arm: Arm, answers: Answers, chance: float, noise: SeedNoise | None = None) -> ArmScore | None:
    """Return an arm's accuracy over its seeds, with the interval of a run where there is one; None: no answer.

    `noise` is that between seeds by all arms.
    """
    from spelangy_model.eval.stats import mean_of

    right = answers.measured(arm, ACCURACY)
    if right is None:
        return None
    found = mean_of(right.values, right.clusters, fraction=True, noise=noise)
    ends, lowest, highest = found.interval, float(right.means.min()), float(right.means.max())
    return ArmScore(arm.name, len(arm.runs), ends.value, ends.low, ends.high, lowest, highest, found.p_value(chance))


def arm_work(ctx: StageContext, config: Config, arm: Arm) -> ArmWork:
    """Return the training work of an arm; NaN where a run was trained elsewhere."""
    rows = [(row, ctx.inputs[f"run.{index}"].manifest.counts.stats) for index, row in enumerate(config.runs)]
    mine = [(row, stats) for row, stats in rows if row.label in arm.runs]

    def mean(name: str) -> float:
        found = [stats.get(name, math.nan) for _, stats in mine]
        return sum(found) / len(found)

    sources = [(role, config.token_sets[place].label) for role, place in mine[0][0].sources]
    return ArmWork(
        arm=arm.name,
        steps=mean("steps"),
        tokens=mean("positions_seen"),
        loss_tokens=mean("loss_positions_seen"),
        text_tokens=mean("positions_seen") * mean("text_share_seen"),
        speech_s=mean("speech_s_seen"),
        padding_share=mean("padding_share"),
        sources=[label for _, label in sources],
        epochs=[mean(f"{role}.epochs_seen") for role, _ in sources],
    )


def metric_noise(
    answers: Answers, arms: Sequence[Arm], larger: Mapping[str, float] | None = None, larger_name: str = ""
) -> list[MetricNoise]:
    """Return, for each metric that all arms have, its noise between seeds, its spread over arms, its decisions.

    The truth of a decision is the accuracy of the arms in `larger`, else the accuracy of this board over all seeds.
    """
    import numpy as np

    if len(arms) < 2:
        return []
    accuracy = {arm.name: _means(answers, arm, ACCURACY).mean() for arm in arms}
    truth, against = (accuracy, "this board") if larger is None else (larger, larger_name)
    found = []
    for metric, instrument in INSTRUMENTS.items():
        by_run = {arm.name: _means(answers, arm, metric) for arm in arms}
        if any(not len(values) for values in by_run.values()):
            continue
        freedom = sum(len(values) - 1 for values in by_run.values())
        squares = sum(float(((values - values.mean()) ** 2).sum()) for values in by_run.values())
        decided = [
            1.0 if order == wanted else 0.5 if order == 0 else 0.0
            for one, other in combinations([name for name in by_run if name in truth], 2)
            if (wanted := np.sign(truth[one] - truth[other]))
            for first in by_run[one]
            for second in by_run[other]
            for order in [np.sign(first - second) * (1 if instrument.higher_is_better else -1)]
        ]
        found.append(
            MetricNoise(
                metric=metric,
                arms=len(arms),
                seed_sd=math.sqrt(squares / freedom) if freedom else math.nan,
                spread=float(np.std([values.mean() for values in by_run.values()], ddof=1)),
                decision_accuracy=float(np.mean(decided)) if decided else math.nan,
                decisions=len(decided),
                against=against,
            )
        )
    return found


def _means(answers: Answers, arm: Arm, metric: str) -> np.ndarray:
    """Return the metric of each run of an arm; nothing where the arm does not have it."""
    import numpy as np

    found = answers.measured(arm, metric)
    return np.array([]) if found is None else found.means


def _seed_noise(answers: MeasuredArms, arms: Sequence[Arm], metric: str) -> SeedNoise | None:
    """Return the noise between seeds of a metric, by all arms that have several; None where no arm has."""
    from spelangy_model.eval.stats import seed_noise

    found = [one for arm in arms if len(arm.runs) > 1 and (one := answers.measured(arm, metric)) is not None]
    return seed_noise([one.values for one in found], found[0].clusters, found[0].weights) if found else None


def _comparison(
    answers: MeasuredArms, metric: str, first: Arm, second: Arm, alpha: float, effect: float, noise: SeedNoise | None
) -> ArmComparison | None:
    from spelangy_model.eval.stats import Needed, compare, needed, smallest_effect

    one, other = answers.measured(first, metric), answers.measured(second, metric)
    if one is None or other is None:
        return None
    both = set(one.items) & set(other.items)
    one, other = one.of(both), other.of(both)
    if len(set(one.clusters.tolist())) < 2:
        return None
    found = compare(one.values, other.values, one.clusters, one.weights, noise)
    asked_for = needed(found, effect, alpha) if not math.isnan(effect) and effect else Needed(None, None)
    return ArmComparison(
        metric=metric,
        first=first.name,
        second=second.name,
        planned=False,
        first_value=float(one.means.mean()),
        second_value=float(other.means.mean()),
        difference=found.difference.value,
        low=found.difference.low,
        high=found.difference.high,
        p_value=found.p_value,
        p_adjusted=math.nan,
        same_questions_low=found.same_questions.low,
        same_questions_high=found.same_questions.high,
        same_questions_p_value=found.same_questions_p_value,
        same_questions_p_adjusted=math.nan,
        verdict="",
        clusters=found.clusters,
        first_seeds=len(first.runs),
        second_seeds=len(second.runs),
        alpha=alpha,
        smallest_effect=smallest_effect(found, alpha),
        effect=effect,
        needed_clusters=asked_for.clusters or 0,
        needed_seeds=asked_for.seeds or 0,
        needed_both=list(asked_for.both or ()),
    )


def clean_score(
    run: str, scores: Sequence[QuestionScore], overlaps: Sequence[QuestionOverlap] | None, seed: int
) -> CleanScore:
    """Return a run's accuracy on clean and on contaminated question texts, with the test that the latter is higher.

    One value a question text; a permutation test at the paper's alpha of 0.01, NaN where it does not apply. Where
    each split is wholly clean or wholly contaminated, wording and contamination are confounded.
    """
    import numpy as np

    from spelangy_model.eval.stats import permutation_test

    status = {row.text_id: row.clean for row in overlaps or ()}
    answers: dict[str, list[bool]] = defaultdict(list)
    rows = {row.text_id: row for row in scores}
    for row in scores:
        answers[row.text_id].append(row.predicted_index == row.answer_index)
    values = np.array([float(np.mean(found)) for found in answers.values()])
    marked = np.array([not status.get(text_id, True) for text_id in answers], bool)
    clusters = np.array([rows[text_id].cluster_id for text_id in answers])
    p_value = permutation_test(values, marked, clusters, seed, "contamination", run) if len(values) else math.nan
    by_split: dict[str, set[bool]] = defaultdict(set)
    for text_id, mark in zip(answers, marked.tolist(), strict=True):
        by_split[rows[text_id].split].add(mark)
    return CleanScore(
        run=run,
        known=overlaps is not None,
        all_accuracy=float(values.mean()) if len(values) else math.nan,
        clean_accuracy=float(values[~marked].mean()) if (~marked).any() else math.nan,
        contaminated_accuracy=float(values[marked].mean()) if marked.any() else math.nan,
        clean_texts=int((~marked).sum()),
        contaminated_texts=int(marked.sum()),
        p_value=p_value,
        significant=p_value < _CLEAN_ALPHA,
        by_split=len(by_split) > 1 and bool(marked.any()) and all(len(found) == 1 for found in by_split.values()),
    )
