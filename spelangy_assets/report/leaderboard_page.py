"""The leaderboard as page and Markdown: the questions, the results, their certainty, what it would take; all numbers.

Put here: how comparisons, metrics of runs, topics and contamination are laid out. Do not put here: measuring (the
evaluation stages do), comparing (stages/leaderboard.py does) or the wording of a comparison (comparisons.py). Every
metric that is given is somewhere on the page.

Metric names that have a place of their own: sqa.all.accuracy, sqa.mean.accuracy, sqa.BENCHMARK.accuracy,
sqa.BENCHMARK.SPLIT.accuracy, sqa.accent.ACCENT.accuracy, the same of text_qa, gap.reverse_kl,
gap.BENCHMARK.SPLIT.reverse_kl, topic.TOPIC.share, topic.distance_to.SUBJECT, contamination.SPLIT.WHAT,
scoring.SCORING.WHAT, sqa.all.WHAT and text_qa.WHAT of the right option, talk.WHAT, text_skill.TASK.METRIC,
text_skill.TASK.METRIC.drop, text_result.NAME.accuracy, and what holds `.generated.`. All others are in a table at
the end.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from spelangy_assets.report.benchmark_tables import (
    GENERATED,
    columns_of_benchmarks,
    tables_of_benchmarks,
    whole_generated,
)
from spelangy_assets.report.comparisons import (
    ACCURACY,
    GAP,
    INSTRUMENTS,
    ON_THESE,
    RESOLVED,
    SEEN,
    TALK,
    ArmComparison,
    ArmScore,
    ArmWork,
    MetricNoise,
    amount,
    base_note,
    equal_work,
    interval,
    p_text,
    seeds_note,
    sentence,
    unequal_work,
    with_unit,
    would_take,
)
from spelangy_assets.report.effects import Effect, EffectResult, effect_rows
from spelangy_assets.report.markdown import markdown_text
from spelangy_assets.report.render import number, render
from spelangy_assets.report.text_results import PREFIX, TextResult
from spelangy_model.progress import duration
from spelangy_model.records import Metric

PRIMARY = ACCURACY
TEXT = "text_qa.accuracy"
WORK = "work"  # of a run among the sources: what it was trained on
# of lm-evaluation-harness; all other metrics of it are shown as they are
HARNESS_FRACTIONS = (
    *("acc", "acc_norm", "exact_match", "exact_match.strict-match", "exact_match.flexible-extract"),
    *("exact_match.remove_whitespace", "pass_at_1", "stopped"),
)
_FRACTIONS = (
    ".accuracy",
    ".judged",
    ".share",
    "gram",
    ".whole_question",
    ".probability",
    *(f".{name}{end}" for name in HARNESS_FRACTIONS for end in ("", ".drop")),
)


@dataclass(frozen=True)
class Ablation:
    """An intervention on the data that a recipe tests: which arm is without it, which with it.

    `change` describes the difference. `paper`: the paper's mean SQA in percent before and after; None where it has no
    such row. `metric` is the metric of the test, named in advance. `effect` is the difference that the design must
    detect, in the metric's own unit (accuracies and probabilities from 0 to 1, so that 0.05 is 5 points; losses and
    hearing gain in nats a token); None: the paper's, where the metric is accuracy. ValueError for a metric that arms
    cannot be compared by, and for an effect that the metric cannot have.
    """

    intervention: str
    before: str
    after: str
    change: str = ""
    paper: tuple[float, float] | None = None
    metric: str = ACCURACY
    effect: float | None = None

    def __post_init__(self) -> None:
        if self.metric not in INSTRUMENTS:
            raise ValueError(
                f"the ablation {self.intervention!r} is tested by {self.metric!r}: take one of {', '.join(INSTRUMENTS)}"
            )
        if self.effect is not None and INSTRUMENTS[self.metric].scale == 100 and abs(self.effect) > 1:
            raise ValueError(
                f"the ablation {self.intervention!r} is to find an effect of {self.effect:g}, but {self.metric} is "
                f"between 0 and 1: for {self.effect:g} points write effect={self.effect / 100:g}"
            )

    @property
    def looked_for(self) -> float:
        """The difference that the design is to find; NaN where none is named."""
        if self.effect is not None:
            return self.effect
        if self.paper is None or self.metric != ACCURACY:
            return math.nan
        return (self.paper[1] - self.paper[0]) / 100


@dataclass(frozen=True, slots=True)
class CleanScore:
    """A run's spoken accuracy without the questions that occur in a document of its mix, by question text."""

    run: str
    known: Annotated[bool, "false of what was trained elsewhere: then all questions count as clean"]
    all_accuracy: float
    clean_accuracy: Annotated[float, "NaN where no question is clean"]
    contaminated_accuracy: Annotated[float, "NaN where every question is clean"]
    clean_texts: int
    contaminated_texts: int
    p_value: Annotated[float, "one-sided: contaminated questions are answered better; NaN where it cannot be tested"]
    significant: Annotated[bool, "p_value is below 0.01"]
    by_split: Annotated[bool, "each split is wholly clean or wholly contaminated: wording and contamination are one"]


@dataclass(frozen=True)
class RunDescription:
    """A run as a row: `name` is the subject of its metrics, `facts` what it was trained on, in the order to show.

    `lineage_command` is the command that prints every source behind the run's scores.
    """

    name: str
    description: str
    lineage_command: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """The dataset that a number was read from: its version, what made it from what, and how to see all above it.

    Nothing here depends on who asked for the page: equal inputs give equal bytes. `asset` is named after the board's
    labels.
    """

    asset: str
    data_version: str
    stage: str
    inputs: Sequence[str]

    @property
    def lineage_command(self) -> str:
        return lineage_command(self.asset)


def lineage_command(asset: str) -> str:
    """Return the command that prints a dataset's ancestors."""
    return f"spelangy lineage {asset}"


@dataclass(frozen=True)
class Results:
    """All that a board reports: metrics by subject, runs and systems, and what arms come to."""

    metrics: Sequence[Metric]
    runs: Sequence[RunDescription]
    comparisons: Sequence[ArmComparison] = ()
    arms: Sequence[ArmScore] = ()
    work: Sequence[ArmWork] = ()
    noise: Sequence[MetricNoise] = ()
    clean: Sequence[CleanScore] = ()
    ablations: Sequence[Ablation] = ()
    first_runs: Mapping[str, str] = field(default_factory=dict)
    """By arm, where it is not called as its run."""
    text_results: Sequence[TextResult] = ()
    effects: Sequence[EffectResult] = ()
    planned_effects: Sequence[Effect] = ()
    plan: str = ""
    """Written before the runs; empty: none was."""
    one_base: bool = False
    """Whether all runs start from one base LM."""

    @property
    def plan_digest(self) -> str:
        """The SHA-256 of the plan in UTF-8, as `sha256sum` prints that of its file; empty without one."""
        return hashlib.sha256(self.plan.encode()).hexdigest() if self.plan else ""

    @property
    def planned(self) -> list[tuple[Ablation, ArmComparison | None]]:
        """Return the ablations with their comparisons; None where an arm was not evaluated."""
        found = {(pair.metric, pair.first, pair.second): pair for pair in self.comparisons if pair.planned}
        return [(row, found.get((row.metric, row.after, row.before))) for row in self.ablations]


def leaderboard_page(
    results: Results,
    *,
    sources: Mapping[tuple[str, str], Provenance] | None = None,
    chance: float = 0.25,
    title: str = "Leaderboard",
) -> str:
    """Return the page as HTML. `sources` is where the number of a subject and metric was read from.

    Raises ValueError when two metrics have one subject and name.
    """
    sources = sources or {}
    anchors = {key: _anchor(source) for key, source in sources.items()}
    board = _Board(results.metrics, results.runs, chance, anchors)
    exploratory = [pair for pair in results.comparisons if not pair.planned]
    return render(
        "leaderboard_page.html",
        title=title,
        chance=f"{100 * chance:g}%",
        columns=[_heading(name) for name in board.columns],
        rows=[board.row(run) for run in board.runs],
        plots=[board.plot(name) for name in board.columns if name.endswith(".accuracy") and GENERATED not in name],
        planned=_planned_rows(results, board),
        planned_notes=_planned_notes(results),
        alpha_of=len(results.ablations),
        plan=results.plan,
        plan_digest=results.plan_digest,
        effects=effect_rows(results.effects, results.planned_effects),
        arms=_arm_rows(results, board),
        several_seeds=any(score.seeds > 1 for score in results.arms),
        exploratory=[sentence(pair) for pair in exploratory],
        noise=[_noise_row(row) for row in results.noise],
        clean=[_clean_row(score, board.anchor(score.run, _CONTAMINATED)) for score in results.clean],
        overlap=board.overlap_plot(),
        tables=[table for table in board.tables(results.text_results) if table["rows"]],
        sources=[
            {
                "anchor": _anchor(source),
                "asset": source.asset,
                "facts": {"data version": source.data_version[:16], "stage": source.stage},
                "inputs": source.inputs,
                "command": source.lineage_command,
            }
            for source in {source.asset: source for source in sources.values()}.values()
        ],
        primary=_heading(PRIMARY),
    )


def leaderboard_markdown(results: Results, *, chance: float = 0.25) -> str:
    """Return the questions, the results and the table of runs as Markdown. ValueError as `leaderboard_page`."""
    board = _Board(results.metrics, results.runs, chance)
    columns = board.columns
    lines = [
        f"* {markdown_text(row['change'])} ({markdown_text(row['arms'])}): **{row['verdict']}**, {row['metric']} "
        f"{row['difference']} {row['interval']} {row['unit']}".rstrip()
        + (f", on these questions {row['same']}" if row["same"] else "")
        + (
            f"; paper {row['paper']} ({row['paper_difference']}), {row['sign'] or 'no sign'}"
            if row["paper"] != "-"
            else "; no row of the paper"
        )
        + (f"; beside it {row['accuracy']}" if row["accuracy"] else "")
        + ". "
        + " ".join(filter(None, (row["would_take"], row["equal"], row["unequal"])))
        for row in _planned_rows(results, board)
    ]
    for note in _planned_notes(results):
        lines += ["", note]
    if results.plan:
        lines = [f"The plan was written before the runs: SHA-256 `{results.plan_digest}`.", "", *lines]
    lines += _effects_markdown(results)
    lines += ["", *_arms_markdown(results, board)] if lines else _arms_markdown(results, board)
    lines += [
        "| run | " + " | ".join(markdown_text(_heading(name)) for name in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(
            "| " + " | ".join([markdown_text(run.name), *(_cell(board.get(run.name, name)) for name in columns)]) + " |"
            for run in board.runs
        ),
        "",
        f"Brackets: 95% intervals over clusters of questions. Four options: chance is {100 * chance:g}%. The gap is in "
        "nats, lower is closer; compare it only between runs of equal steps.",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _planned_notes(results: Results) -> list[str]:
    """Return what the verdicts leave open; nothing where nothing was planned."""
    pairs = [pair for _, pair in results.planned if pair]
    notes = (seeds_note(pairs), base_note(results.one_base)) if pairs else ()
    return [note for note in notes if note]


def _effects_markdown(results: Results) -> list[str]:
    rows = effect_rows(results.effects, results.planned_effects)
    if not rows:
        return []
    names = ("value", "interval", "same", "p", "verdict", "finds")
    head = "| effect | metric | value | interval | these questions | p, adjusted | verdict | finds |"
    lines = [
        f"| {markdown_text(row['name'])} ({markdown_text(row['change'])}) | {row['metric']}, {row['unit']} | "
        + " | ".join(row[name] for name in names)
        + " |"
        for row in rows
    ]
    return ["", head, "|---" * 8 + "|", *lines]


def _arms_markdown(results: Results, board: _Board) -> list[str]:
    rows = _arm_rows(results, board)
    if not rows:
        return []
    lines = [
        "| arm | seeds | spoken QA (%) | lowest to highest seed | p against chance | loss tokens | speech | padding |"
    ]
    lines += ["|---" * 8 + "|"]
    for row in rows:
        cells = [row["seeds"], f"{row['accuracy']} {row['interval']}", row["range"], row["p"]]
        cells += [row["loss_tokens"], row["speech"], row["padding"]]
        lines.append(f"| {markdown_text(row['arm'])} | {' | '.join(cells)} |")
    return [*lines, ""]


_GOOD = (RESOLVED,)
_SOME = (ON_THESE, SEEN)


def _planned_rows(results: Results, board: _Board) -> list[dict[str, str]]:
    """Return the recipe's ablations: the paper's numbers, ours, the verdict, and unequal quantities."""
    by_accuracy = {
        frozenset((pair.first, pair.second)): pair for pair in results.comparisons if pair.metric == ACCURACY
    }
    work = {row.arm: row for row in results.work}

    def anchor(arm: str) -> str:
        return board.anchor(results.first_runs.get(arm, arm), PRIMARY)

    rows = []
    for ablation, pair in results.planned:
        paper = ablation.paper
        row = {
            "intervention": ablation.intervention,
            "change": ablation.change or f"{ablation.before} to {ablation.after}",
            "arms": f"{ablation.before} to {ablation.after}",
            "before_anchor": anchor(ablation.before),
            "after_anchor": anchor(ablation.after),
            "metric": INSTRUMENTS[ablation.metric].words,
            "unit": INSTRUMENTS[ablation.metric].unit,
            "paper": f"{paper[0]:.1f} to {paper[1]:.1f}" if paper else "-",
            "paper_difference": f"{paper[1] - paper[0]:+.1f}" if paper else "-",
            "before": "-",
            "after": "-",
            "difference": "-",
            "interval": "",
            "same": "",
            "p": "-",
            "sign": "",
            "accuracy": "",
            "verdict": "not evaluated",
            "css": "quiet",
            "would_take": "",
            "unequal": _unequal(work.get(ablation.before), work.get(ablation.after)),
            "equal": _equal(work.get(ablation.before), work.get(ablation.after)),
        }
        if pair is not None:
            row |= {
                "before": amount(pair.metric, pair.second_value, signed=False),
                "after": amount(pair.metric, pair.first_value, signed=False),
                "difference": amount(pair.metric, pair.difference),
                "interval": interval(pair.metric, pair.low, pair.high),
                "same": interval(pair.metric, pair.same_questions_low, pair.same_questions_high),
                "p": p_text(pair.p_adjusted),
                "sign": _sign(pair, paper),
                "verdict": pair.verdict,
                "css": "good" if pair.verdict in _GOOD else "" if pair.verdict in _SOME else "warn",
                "would_take": would_take(pair),
            }
            beside = by_accuracy.get(frozenset((ablation.before, ablation.after)))
            if ablation.metric != ACCURACY and beside is not None:
                sign = 1 if beside.first == ablation.after else -1
                low, high = sorted((sign * beside.low, sign * beside.high))
                row["accuracy"] = (
                    f"accuracy {with_unit(ACCURACY, sign * beside.difference, signed=True)} "
                    f"{interval(ACCURACY, low, high)}, exploratory"
                )
        rows.append(row)
    return rows


def _sign(pair: ArmComparison, paper: tuple[float, float] | None) -> str:
    """Return whether a difference has the paper's sign, whatever its verdict."""
    if paper is None or not pair.difference:
        return ""
    better = (pair.difference > 0) == INSTRUMENTS[pair.metric].higher_is_better
    return "the paper's sign" if better == (paper[1] > paper[0]) else "the other sign"


def _unequal(before: ArmWork | None, after: ArmWork | None) -> str:
    """Return what differs by more than 5% between two arms that should differ by one thing; empty for nothing."""
    if before is None or after is None:
        return ""
    found = unequal_work(before, after)
    differences = ", ".join(f"{100 * share:+.0f}% {words}" for words, share in found.items())
    return f"Not equal: {differences}." if found else ""


def _equal(before: ArmWork | None, after: ArmWork | None) -> str:
    """Return what two arms share to within 5%; empty for nothing."""
    found = equal_work(before, after) if before is not None and after is not None else []
    return f"Equal within 5%: {', '.join(found)}." if found else ""


def _noise_row(row: MetricNoise) -> dict[str, str]:
    scale = INSTRUMENTS[row.metric].scale
    known = not math.isnan(row.seed_sd)
    return {
        "metric": INSTRUMENTS[row.metric].words,
        "unit": INSTRUMENTS[row.metric].unit,
        "seed_sd": number(scale * row.seed_sd),
        "spread": number(scale * row.spread),
        "ratio": number(row.spread / row.seed_sd) if known and row.seed_sd else "-",
        "decisions": "-" if math.isnan(row.decision_accuracy) else f"{100 * row.decision_accuracy:.0f}%",
        "count": f"{row.decisions:,}",
        "against": row.against,
    }


def _arm_rows(results: Results, board: _Board) -> list[dict[str, str]]:
    """Return the arms, best first, with what each was trained on."""
    work = {row.arm: row for row in results.work}
    rows = []
    for score in sorted(results.arms, key=lambda score: (-score.accuracy, score.arm)):
        accuracy, low, high, lowest, highest = (
            "-" if math.isnan(value) else f"{100 * value:.1f}"
            for value in (score.accuracy, score.low, score.high, score.lowest_seed, score.highest_seed)
        )
        mine = work.get(score.arm)
        first = results.first_runs.get(score.arm, score.arm)
        rows.append(
            {
                "arm": score.arm,
                "anchor": board.anchor(first, PRIMARY),
                "work_anchor": board.anchor(first, WORK),
                "seeds": str(score.seeds),
                "accuracy": accuracy,
                "interval": f"[{low}, {high}]",
                "range": f"{lowest} to {highest}" if score.seeds > 1 else "-",
                "p": p_text(score.p_chance),
                "tokens": _count(mine.tokens) if mine else "-",
                "loss_tokens": _count(mine.loss_tokens) if mine else "-",
                "text": _percent(mine.text_tokens / mine.tokens) if mine else "-",
                "speech": duration(mine.speech_s) if mine and not math.isnan(mine.speech_s) else "-",
                "padding": _percent(mine.padding_share) if mine else "-",
                "epochs": ", ".join(
                    f"{source} {epochs:.2g}"
                    for source, epochs in (zip(mine.sources, mine.epochs, strict=True) if mine else ())
                    if not math.isnan(epochs)
                ),
            }
        )
    return rows


def _count(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}%"


_CONTAMINATED = "contamination.all.whole_question"


def _clean_row(score: CleanScore, anchor: str) -> dict[str, str]:
    def percent(value: float) -> str:
        return "-" if math.isnan(value) else f"{100 * value:.1f}"

    tested = not math.isnan(score.p_value)
    inflated = "better, as the wording may be" if score.by_split else "inflated"
    return {
        "run": score.run,
        "anchor": anchor,
        "all": percent(score.all_accuracy),
        "clean": f"{percent(score.clean_accuracy)} ({score.clean_texts:,})",
        "contaminated": f"{percent(score.contaminated_accuracy)} ({score.contaminated_texts:,})",
        "p": p_text(score.p_value),
        "verdict": "not known"
        if not score.known
        else "cannot be tested"
        if not tested
        else inflated
        if score.significant
        else "not inflated",
        "css": "quiet" if not tested else ("warn" if score.by_split else "bad") if score.significant else "good",
    }


class _Board:
    """The metrics by subject and name, and their tables and plots."""

    def __init__(
        self,
        metrics: Sequence[Metric],
        runs: Sequence[RunDescription],
        chance: float,
        anchors: Mapping[tuple[str, str], str] | None = None,
    ):
        self._anchors = anchors or {}
        self._values: dict[tuple[str, str], Metric] = {}
        for metric in metrics:
            if (metric.subject, metric.metric) in self._values:
                raise ValueError(f"the metric {metric.metric!r} of {metric.subject!r} is given twice")
            self._values[metric.subject, metric.metric] = metric
        self._chance = chance
        self.runs = sorted(runs, key=self._rank)
        self._run_names = {run.name for run in runs}
        skilled = (subject for subject, name in self._values if name.startswith("text_skill."))
        self._bases = [subject for subject in dict.fromkeys(skilled) if subject not in self._run_names]
        of_runs = list(dict.fromkeys(name for subject, name in self._values if subject in self._run_names))
        columns = (PRIMARY, *columns_of_benchmarks(of_runs), TEXT, GAP, *whole_generated(of_runs)[:1])
        self.columns = [name for name in columns if name in of_runs]

    def _rank(self, run: RunDescription) -> tuple[float, str]:
        metric = self.get(run.name, PRIMARY)
        return (-metric.value if metric else math.inf, run.name)

    def get(self, subject: str, name: str) -> Metric | None:
        return self._values.get((subject, name))

    def anchor(self, subject: str, name: str) -> str:
        return self._anchors.get((subject, name), "")

    def look(self, subject: str, name: str) -> dict[str, str]:
        """Return a cell's text and the source of its number."""
        return {**_look(self.get(subject, name)), "anchor": self.anchor(subject, name)}

    # --- the runs ---------------------------------------------------------------------------------------------

    def row(self, run: RunDescription) -> dict[str, Any]:
        primary = self.get(run.name, PRIMARY)
        return {
            "name": run.name,
            "description": run.description,
            "facts": list(run.facts.items()),
            "lineage": run.lineage_command,
            "cells": [self.look(run.name, name) for name in self.columns],
            "against_chance": self._against_chance(primary),
        }

    def _against_chance(self, metric: Metric | None) -> dict[str, str]:
        if metric is None:
            return {"css": "quiet", "text": "not evaluated"}
        if math.isnan(metric.low) or metric.low <= self._chance <= metric.high:
            return {"css": "warn", "text": "not resolved from chance"}
        if metric.low > self._chance:
            return {"css": "good", "text": "above chance"}  # holds for this one trained model
        return {"css": "bad", "text": "below chance"}

    def plot(self, name: str) -> dict[str, Any]:
        """Return one figure: for each run its value and interval on a common axis of fractions."""
        found = [(run.name, metric) for run in self.runs if (metric := self.get(run.name, name))]
        ends = [self._chance, *(end for _, metric in found for end in (_low(metric), _high(metric)))]
        low = max(0.0, math.floor(min(ends) * 10 - 0.01) / 10)
        high = min(1.0, math.ceil(max(ends) * 10 + 0.01) / 10)

        def x(value: float) -> float:
            return round(100 * (value - low) / (high - low), 2)

        step = 0.1 if high - low <= 0.6 else 0.2
        ticks = [low + index * step for index in range(round((high - low) / step) + 1)]
        return {
            "title": _heading(name),
            "chance_x": x(self._chance),
            "ticks": [{"x": x(tick), "text": f"{100 * tick:.0f}%"} for tick in ticks if tick <= high + 1e-9],
            "rows": [
                {
                    "name": run,
                    "value": f"{100 * metric.value:.1f}",
                    "x": x(metric.value),
                    "low_x": x(_low(metric)),
                    "high_x": x(_high(metric)),
                    "label": f"{run}: {_cell(metric)}, chance {100 * self._chance:g}%",
                }
                for run, metric in found
            ],
        }

    def overlap_plot(self) -> dict[str, Any] | None:
        """Return the figure of contamination: for each set of texts the share of questions by the length of the run."""
        prefix, suffix = "contamination.all.", "gram"
        shares: dict[str, dict[int, float]] = {}
        for (subject, name), metric in self._values.items():
            if name.startswith(prefix) and name.endswith(suffix):
                words = int(name.removeprefix(prefix).removesuffix(suffix))
                shares.setdefault(subject, {})[words] = metric.value
        if not shares:
            return None
        sizes = sorted({words for row in shares.values() for words in row})
        top = max(0.01, max(share for row in shares.values() for share in row.values()))
        step = (460 - 60) / max(1, len(sizes) - 1)

        def point(words: int, share: float) -> tuple[float, float]:
            return round(60 + step * sizes.index(words), 1), round(150 - 130 * share / top, 1)

        lines = []
        for place, (subject, row) in enumerate(sorted(shares.items())):
            points = [point(words, share) for words, share in sorted(row.items())]
            summary = ", ".join(f"{words} words {100 * share:.1f}%" for words, share in sorted(row.items()))
            lines.append(
                {
                    "name": subject,
                    "colour": f"--speaker-{place % 6}",
                    "points": " ".join(f"{x},{y}" for x, y in points),
                    "dots": points,
                    "summary": summary,
                }
            )
        return {
            "lines": lines,
            "ticks": [{"x": point(words, 0)[0], "text": words} for words in sizes],
            "top": f"{100 * top:.1f}%",
            "label": "Share of questions by length of the shared run: "
            + "; ".join(f"{line['name']}: {line['summary']}" for line in lines),
        }

    # --- further tables ---------------------------------------------------------------------------------------

    def tables(self, text_results: Sequence[TextResult] = ()) -> list[dict[str, Any]]:
        runs = [run.name for run in self.runs]
        splits = "How different answers to spoken and to written questions are, and what text alone reaches"
        others = [subject for subject, _ in self._values if subject not in self._run_names]
        named = {PRIMARY, TEXT, GAP, *self.columns}
        right = [
            name
            for _, name in self._values
            if name.startswith(("sqa.all.", "text_qa.")) and name.endswith(_RIGHT_OPTION) and name not in named
        ]
        right = list(dict.fromkeys(right))
        named |= set(right)

        def of(prefix: str, subjects: Sequence[str]) -> list[str]:
            names = (name for subject, name in self._values if subject in subjects and name.startswith(prefix))
            return [name for name in dict.fromkeys(names) if name not in named]

        generated = [
            name for name in dict.fromkeys(n for s, n in self._values if s in self._run_names) if GENERATED in name
        ]
        words = whole_generated(generated)
        words_by_benchmark = tables_of_benchmarks(generated)
        named |= set(generated)
        accents, voices = of("sqa.accent.", runs), of("sqa.voice.", runs)
        benchmarks = tables_of_benchmarks([*self.columns, *of("sqa.", runs), *of("text_qa.", runs), *of("gap.", runs)])
        placed_there = {name for _, names in benchmarks for name in names}
        gaps = [name for name in (*of("text_qa.", runs), *of("gap.", runs)) if name not in placed_there]
        scorings = of("scoring.", runs)
        talk = of(TALK, runs)
        skill = of("text_skill.", [*self._bases, *runs])
        skill += of(PREFIX, [*self._bases, *runs])
        distances = of("topic.distance_to.", others)
        topics = [name for name in of("topic.", others) if name not in distances]
        overlap = of("contamination.", runs)
        of_runs = {*named, *accents, *voices, *gaps, *scorings, *talk, *overlap, *placed_there}
        placed = {*of_runs, *distances, *topics}
        placed |= set(skill)
        rest = [
            {"name": subject, "cells": [_text(name), self.look(subject, name)]}
            for subject, name in self._values
            if name not in placed or (name not in skill and (subject in self._run_names) != (name in of_runs))
        ]
        return [
            *(
                self._table(
                    f"Benchmark {benchmark}",
                    "Spoken and written, split by split, and the gap between them",
                    runs,
                    names,
                )
                for benchmark, names in benchmarks
            ),
            self._table(
                "Generated answers",
                "Greedy answers in words that hold an accepted answer, are one (exact match, normalized), and that "
                "the judge calls right",
                runs,
                words,
                flip=True,
            ),
            *(
                self._table(f"Benchmark {benchmark}, generated answers", "Split by split", runs, names, flip=True)
                for benchmark, names in words_by_benchmark
            ),
            self._table(
                "The right option",
                "Its probability among the four, its margin over the best wrong one and its log-probability (nats), by "
                "summed likelihood: they see differences that leave the choice as it is",
                runs,
                right,
            ),
            self._table(
                "Held-out talk",
                "Loss on the next sentence, nats a token, after one, two and three spoken sentences, after "
                "the same in text, and alone; hearing gain is how much it grows when another talk is played instead",
                runs,
                talk,
                flip=True,
            ),
            self._table("Accents", "Spoken question answering by the accent that asks", runs, accents),
            self._table("Voices", "Spoken question answering by the voice that asks", runs, voices, flip=True),
            self._table("Read questions and modality gap", splits, runs, gaps),
            self._table(
                "By each scoring of an option",
                "Likelihood summed, per token and per character; the primary one is in the first table",
                runs,
                scorings,
            ),
            self._table(
                "Text skill",
                "lm-evaluation-harness on the same checkpoints; drop is how much worse than the base LM a run is, "
                "on the same documents: skill was lost where its interval is above 0",
                [*self._bases, *runs],
                [name for name in skill if not name.startswith(PREFIX)],
            ),
            self._text_results(text_results, [*self._bases, *runs]),
            self._table("Topics", "Share of documents by topic", others, topics, flip=True),
            self._table("Distance between topic distributions", "Jensen-Shannon; 0 is equal", others, distances),
            self._table(
                "Contamination",
                "Share of questions of which so long a run of words, or the whole, is in a document of the run's mix",
                runs,
                overlap,
                flip=True,
            ),
            {
                "title": "Further numbers",
                "caption": "",
                "corner": "subject",
                "columns": ["metric", "value"],
                "rows": rest,
            },
        ]

    def _text_results(self, results: Sequence[TextResult], subjects: Sequence[str]) -> dict[str, Any]:
        """Return the table of text results, subjects beside what others publish."""
        subjects = [s for s in dict.fromkeys(subjects) if any((s, one.metric) in self._values for one in results)]
        others = list(dict.fromkeys(label for one in results for label, _ in one.published))
        rows = [
            {
                "name": f"{one.name} (%)",
                "cells": [
                    *(self.look(subject, one.metric) for subject in subjects),
                    *(
                        _text(f"{dict(one.published)[label]:.1f}" if label in dict(one.published) else "-")
                        for label in others
                    ),
                ],
            }
            for one in results
        ]
        return {
            "title": "Text results beside published ones",
            "caption": "Means over tasks where a result has several; published figures are of other models, and may be "
            "of other prompts",
            "corner": "result",
            "columns": [*subjects, *others],
            "rows": rows,
        }

    def _table(
        self, title: str, caption: str, subjects: Sequence[str], names: Sequence[str], flip: bool = False
    ) -> dict[str, Any]:
        """Return a table of subjects by metrics, or with `flip` of metrics by subjects, without empty rows."""
        subjects = [s for s in dict.fromkeys(subjects) if any((s, name) in self._values for name in names)]

        if flip:
            rows = [{"name": _heading(name), "cells": [self.look(s, name) for s in subjects]} for name in names]
            columns = subjects
        else:
            rows = [{"name": s, "cells": [self.look(s, name) for name in names]} for s in subjects]
            columns = [_heading(name) for name in names]
        corner = "" if flip else "run" if set(subjects) <= {*self._run_names, *self._bases} else "dataset"
        return {"title": title, "caption": caption, "corner": corner, "columns": columns, "rows": rows}


_RIGHT_OPTION = (".probability", ".margin", ".log_probability")


def _anchor(source: Provenance) -> str:
    return f"from-{source.asset}"


def _text(text: str) -> dict[str, str]:
    return {"value": text, "interval": "", "bar": "", "anchor": ""}


def _low(metric: Metric) -> float:
    return metric.value if math.isnan(metric.low) else metric.low


def _high(metric: Metric) -> float:
    return metric.value if math.isnan(metric.high) else metric.high


def _look(metric: Metric | None) -> dict[str, str]:
    """Return the view of a table's cell; fractions in percent, shares with a bar behind them."""
    if metric is None:
        return {"value": "-", "interval": "", "bar": ""}
    if metric.metric.endswith(_FRACTIONS):
        value, low, high = (f"{100 * end:.1f}" for end in (metric.value, metric.low, metric.high))
    else:
        value, low, high = (number(end) for end in (metric.value, metric.low, metric.high))
    interval = "" if math.isnan(metric.low) or math.isnan(metric.high) else f"[{low}, {high}]"
    bar = f"{100 * metric.value:.1f}%" if metric.metric.endswith(".share") else ""
    return {"value": value, "interval": interval, "bar": bar}


def _cell(metric: Metric | None) -> str:
    look = _look(metric)
    return f"{look['value']} {look['interval']}".rstrip()


_HEADINGS = {PRIMARY: "spoken QA, all (%)", TEXT: "text QA (%)", GAP: "gap, reverse KL (nats)"}


def _heading(name: str) -> str:
    """Return a column's heading: the parts of the metric's name that distinguish it from its neighbours."""
    if name in _HEADINGS:
        return _HEADINGS[name]
    parts = name.split(".")
    middle = " ".join(parts[1:-1] if parts[-1] in ("accuracy", "share", "reverse_kl") else parts[1:]) or name
    middle = middle.replace("_", " ")
    kinds = {"sqa": "spoken QA, ", "text_qa": "text QA, ", "gap": "gap, "}
    unit = " (%)" if name.endswith(_FRACTIONS) else ""
    return f"{kinds.get(parts[0], '')}{middle}{unit}"
