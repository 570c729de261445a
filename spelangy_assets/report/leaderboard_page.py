"""The leaderboard: runs side by side with intervals, as a page and as Markdown, written so that noise is no effect.

Put here: how metrics of runs, topics and contamination are laid out and which differences are called resolved. Do not
put here: measuring (the evaluation stages do). Numbers come from records.Metric alone; every metric that is given is
somewhere on the page.

Metric names that have a place of their own: sqa.all.accuracy, sqa.SPLIT.accuracy, sqa.accent.ACCENT.accuracy,
text_qa.accuracy, text_qa.SPLIT.accuracy, gap.reverse_kl, gap.SPLIT.reverse_kl, topic.TOPIC.share,
topic.distance_to.SUBJECT, contamination.SPLIT.WHAT. All others stand in a table at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from spelangy_assets.report.render import number, render
from spelangy_model.records import Metric

PRIMARY = "sqa.all.accuracy"
TEXT = "text_qa.accuracy"
GAP = "gap.reverse_kl"
_FRACTIONS = (".accuracy", ".share", "gram", ".whole_question")
_Z_95 = 1.96
_Z_POWER_80 = 0.84


@dataclass(frozen=True)
class RunDescription:
    """A run as a row: `name` is the subject of its metrics, `facts` what it was trained on, in the order to show.

    `lineage_command` is what a person types to see every source behind the run's scores.
    """

    name: str
    description: str
    lineage_command: str
    facts: Mapping[str, str] = field(default_factory=dict)


def leaderboard_page(
    metrics: Sequence[Metric], runs: Sequence[RunDescription], *, chance: float = 0.25, title: str = "Leaderboard"
) -> str:
    """Return the page as HTML. Raises ValueError when two metrics have one subject and name."""
    board = _Board(metrics, runs, chance)
    return render(
        "leaderboard_page.html",
        title=title,
        chance=f"{100 * chance:g}%",
        columns=[_heading(name) for name in board.columns],
        rows=[board.row(run) for run in board.runs],
        plots=[board.plot(name) for name in board.columns if name.endswith(".accuracy")],
        comparisons=board.comparisons(),
        tables=[table for table in board.tables() if table["rows"]],
        primary=_heading(PRIMARY),
    )


def leaderboard_markdown(metrics: Sequence[Metric], runs: Sequence[RunDescription], *, chance: float = 0.25) -> str:
    """Return the table of runs and what is resolved as Markdown. Raises ValueError as `leaderboard_page` does."""
    board = _Board(metrics, runs, chance)
    columns = board.columns
    lines = [
        "| run | " + " | ".join(_heading(name) for name in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(
            "| " + " | ".join([run.name, *(_cell(board.get(run.name, name)) for name in columns)]) + " |"
            for run in board.runs
        ),
        "",
        f"Brackets: 95% intervals. Four options: chance is {100 * chance:g}%. The gap is in nats, lower is closer; "
        "compare it only between runs of equal steps.",
        "",
    ]
    lines += [f"* {item['verdict']}: {item['text']}" for item in board.comparisons()]
    return "\n".join(lines).rstrip() + "\n"


class _Board:
    """The metrics by subject and name, and what the tables and the plots say of them."""

    def __init__(self, metrics: Sequence[Metric], runs: Sequence[RunDescription], chance: float):
        self._values: dict[tuple[str, str], Metric] = {}
        for metric in metrics:
            if (metric.subject, metric.metric) in self._values:
                raise ValueError(f"the metric {metric.metric!r} of {metric.subject!r} is given twice")
            self._values[metric.subject, metric.metric] = metric
        self._chance = chance
        self.runs = sorted(runs, key=self._rank)
        self._run_names = {run.name for run in runs}
        of_runs = list(dict.fromkeys(name for subject, name in self._values if subject in self._run_names))
        splits = [
            name
            for name in of_runs
            if name.startswith("sqa.") and name.endswith(".accuracy") and name != PRIMARY and not _is_accent(name)
        ]
        self.columns = [name for name in (PRIMARY, *splits, TEXT, GAP) if name in of_runs]

    def _rank(self, run: RunDescription) -> tuple[float, str]:
        metric = self.get(run.name, PRIMARY)
        return (-metric.value if metric else math.inf, run.name)

    def get(self, subject: str, name: str) -> Metric | None:
        return self._values.get((subject, name))

    # --- the runs ---------------------------------------------------------------------------------------------

    def row(self, run: RunDescription) -> dict[str, Any]:
        primary = self.get(run.name, PRIMARY)
        return {
            "name": run.name,
            "description": run.description,
            "facts": list(run.facts.items()),
            "lineage": run.lineage_command,
            "cells": [_look(self.get(run.name, name)) for name in self.columns],
            "against_chance": self._against_chance(primary),
        }

    def _against_chance(self, metric: Metric | None) -> dict[str, str]:
        if metric is None:
            return {"css": "quiet", "text": "not evaluated"}
        if math.isnan(metric.low) or metric.low <= self._chance <= metric.high:
            return {"css": "warn", "text": "not resolved from chance"}
        if metric.low > self._chance:
            return {"css": "good", "text": "above chance"}
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

    # --- what is resolved -------------------------------------------------------------------------------------

    def comparisons(self) -> list[dict[str, Any]]:
        """Return each pair of runs on the primary metric. Overlapping intervals are never called a difference."""
        scored = [(run.name, metric) for run in self.runs if (metric := self.get(run.name, PRIMARY))]
        items = []
        for (better, first), (worse, second) in combinations(scored, 2):
            difference = 100 * (first.value - second.value)
            pair = f"{better} over {worse} by {difference:.1f} points"
            if _low(first) > _high(second):
                items.append(
                    {"resolved": True, "verdict": "resolved", "text": f"{pair}: the intervals do not overlap."}
                )
            else:
                items.append(
                    {"resolved": False, "verdict": "not resolved", "text": f"{pair}. {_needed(first, second)}"}
                )
        return items

    # --- further tables ---------------------------------------------------------------------------------------

    def tables(self) -> list[dict[str, Any]]:
        runs = [run.name for run in self.runs]
        splits = "By how far what is heard and what is read lead to different answers, and what text alone reaches"
        others = [subject for subject, _ in self._values if subject not in self._run_names]
        named = {PRIMARY, TEXT, GAP, *self.columns}

        def of(prefix: str, subjects: Sequence[str]) -> list[str]:
            names = (name for subject, name in self._values if subject in subjects and name.startswith(prefix))
            return [name for name in dict.fromkeys(names) if name not in named]

        accents, gaps = of("sqa.accent.", runs), [*of("text_qa.", runs), *of("gap.", runs)]
        distances = of("topic.distance_to.", others)
        topics = [name for name in of("topic.", others) if name not in distances]
        overlap = of("contamination.", others)
        placed = {*named, *accents, *gaps, *distances, *topics, *overlap}
        rest = [
            {"name": subject, "cells": [{"value": name, "interval": "", "bar": ""}, _look(metric)]}
            for (subject, name), metric in self._values.items()
            if name not in placed or (subject in self._run_names) != (name in {*named, *accents, *gaps})
        ]
        return [
            self._table("Accents", "Spoken question answering by the accent that asks", runs, accents),
            self._table("Text skill and modality gap by split", splits, runs, gaps),
            self._table("Topics", "Share of documents by topic", others, topics, flip=True),
            self._table("Distance between topic distributions", "Jensen-Shannon; 0 is equal", others, distances),
            self._table(
                "Contamination",
                "Share of questions of which so long a run of words, or the whole, occurs in a training text",
                others,
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

    def _table(
        self, title: str, caption: str, subjects: Sequence[str], names: Sequence[str], flip: bool = False
    ) -> dict[str, Any]:
        """Return a table of subjects by metrics, or with `flip` of metrics by subjects; rows without a value go."""
        subjects = [s for s in dict.fromkeys(subjects) if any((s, name) in self._values for name in names)]

        if flip:
            rows = [{"name": _heading(name), "cells": [_look(self.get(s, name)) for s in subjects]} for name in names]
            columns = subjects
        else:
            rows = [{"name": s, "cells": [_look(self.get(s, name)) for name in names]} for s in subjects]
            columns = [_heading(name) for name in names]
        corner = "" if flip else "run" if set(subjects) <= self._run_names else "dataset"
        return {"title": title, "caption": caption, "corner": corner, "columns": columns, "rows": rows}


def _needed(first: Metric, second: Metric) -> str:
    """Say how many questions would resolve the difference, from the widths of the two intervals.

    The standard error of the difference shrinks with the square root of the questions; 80% power at a two-sided 5%
    asks that the difference be 1.96 + 0.84 of them.
    """
    difference = first.value - second.value
    widths = [(_high(metric) - _low(metric)) / (2 * _Z_95) for metric in (first, second)]
    error = math.hypot(*widths)
    if difference <= 0 or error == 0:
        return "The intervals overlap."
    needed = max(first.count, second.count) * (error * (_Z_95 + _Z_POWER_80) / difference) ** 2
    if needed <= max(first.count, second.count):
        return "The intervals overlap; a paired test on the same questions may resolve it."
    digits = max(0, math.floor(math.log10(needed)) - 1)
    questions = f"{round(needed, -digits):,.0f}"
    return f"The intervals overlap; a true difference of this size takes about {questions} questions a run."


def _is_accent(name: str) -> bool:
    return name.startswith("sqa.accent.")


def _low(metric: Metric) -> float:
    return metric.value if math.isnan(metric.low) else metric.low


def _high(metric: Metric) -> float:
    return metric.value if math.isnan(metric.high) else metric.high


def _look(metric: Metric | None) -> dict[str, str]:
    """Return what a table's cell shows; fractions in percent, shares with a bar behind them."""
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
    """Return what a column is called: the parts of a metric's name that tell it from its neighbours."""
    if name in _HEADINGS:
        return _HEADINGS[name]
    parts = name.split(".")
    middle = " ".join(parts[1:-1] if parts[-1] in ("accuracy", "share", "reverse_kl") else parts[1:]) or name
    middle = middle.replace("_", " ")
    kinds = {"sqa": "spoken QA, ", "text_qa": "text QA, ", "gap": "gap, "}
    unit = " (%)" if name.endswith(_FRACTIONS) else ""
    return f"{kinds.get(parts[0], '')}{middle}{unit}"
