"""The page of fine-tuned arms: each beside its spoken QA at pretraining, and what it answers.

Put here: the record of an arm, and how the numbers are laid out for a person. Do not put here: measuring or statistics
(stages/post_training.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from spelangy_assets.report.comparisons import ArmComparison, seeds_note, sentence, would_take
from spelangy_assets.report.leaderboard_page import Ablation
from spelangy_assets.report.markdown import markdown_table
from spelangy_assets.report.render import render
from spelangy_model.records import Int32, Metric

if TYPE_CHECKING:
    from spelangy_model.eval.stats import Interval


@dataclass(frozen=True, slots=True)
class TunedArm:
    """An arm at pretraining and after fine-tuning, over its runs, which differ by their seed alone; 95% intervals."""

    arm: str
    seeds: Int32
    pretraining_accuracy: Annotated[float, "spoken QA by likelihood, before fine-tuning"]
    pretraining_low: float
    pretraining_high: float
    exact_match: Annotated[float, "share of spoken instructions whose answer is an accepted one, in the form asked for"]
    exact_match_low: float
    exact_match_high: float
    contained: Annotated[float, "share whose answer holds an accepted one"]
    contained_low: float
    contained_high: float


@dataclass(frozen=True)
class ShownAnswer:
    """An instruction, an answer that is right, and by arm what it answered and how that matches."""

    instruction: str
    right: str
    answers: Sequence[tuple[str, str, str]]


_SCORES = ("pretraining spoken QA", "exact match", "contained")


def ranks_sentence(correlation: Interval, arms: int) -> str:
    """Return what the rank correlation is, and whether it is resolved, as text."""
    text = f"Rank correlation of pretraining spoken QA with exact match over {arms} arms: {correlation.value:+.2f}"
    if math.isnan(correlation.low):
        return f"{text}; no interval can be given: it takes three arms and two clusters of questions."
    resolved = correlation.low > 0 or correlation.high < 0
    verdict = "its sign is resolved for questions like these" if resolved else "not resolved"
    return (
        f"{text} [{correlation.low:+.2f}, {correlation.high:+.2f}]: {verdict}. The interval is over questions, for "
        "these arms; of other arms it says nothing."
    )


def post_training_markdown(
    arms: Sequence[TunedArm],
    metrics: Sequence[Metric],
    comparisons: Sequence[ArmComparison],
    ablations: Sequence[Ablation],
    correlation: Interval,
) -> str:
    """Return the numbers as Markdown."""
    table = markdown_table(
        ["arm", *_SCORES], [[row.arm, *_cells(row)] for row in arms], numbers=range(1, len(_SCORES) + 1)
    )
    splits = _splits(metrics)
    names = list(dict.fromkeys(metric.subject for metric in splits))
    of_splits = list(dict.fromkeys(metric.metric for metric in splits))
    values = {(metric.subject, metric.metric): _share(metric.value, metric.low, metric.high) for metric in splits}
    by_split = markdown_table(
        ["exact match by split", *names],
        [[_split_name(split), *(values.get((name, split), "-") for name in names)] for split in of_splits],
        numbers=range(1, len(names) + 1),
    )
    lines = [
        f"* {row['change']}: {row['verdict']}. {row['sentence']}. {row['would_take']}{row['preference']}"
        for row in (_planned(pair, ablations, metrics) for pair in comparisons if pair.planned)
    ]
    return "\n\n".join(
        part for part in (table, ranks_sentence(correlation, len(arms)), by_split, "\n".join(lines)) if part
    )


def post_training_page(
    arms: Sequence[TunedArm],
    metrics: Sequence[Metric],
    comparisons: Sequence[ArmComparison],
    ablations: Sequence[Ablation],
    correlation: Interval,
    shown: Sequence[ShownAnswer],
    *,
    title: str,
) -> str:
    """Return the page as HTML. Equal records give equal bytes."""
    splits = _splits(metrics)
    names = list(dict.fromkeys(metric.subject for metric in splits))
    values = {(metric.subject, metric.metric): metric for metric in splits}
    return render(
        "post_training_page.html",
        title=title,
        scores=_SCORES,
        arms=[{"name": row.arm, "seeds": row.seeds, "cells": _cells(row)} for row in arms],
        ranks=ranks_sentence(correlation, len(arms)),
        runs=names,
        splits=[
            (
                _split_name(split),
                [
                    _share(found.value, found.low, found.high) if (found := values.get((name, split))) else "-"
                    for name in names
                ],
            )
            for split in dict.fromkeys(metric.metric for metric in splits)
        ],
        planned=[_planned(pair, ablations, metrics) for pair in comparisons if pair.planned],
        others=[sentence(pair) for pair in comparisons if not pair.planned],
        seeds_note=seeds_note([pair for pair in comparisons if pair.planned]),
        shown=shown,
    )


def _planned(pair: ArmComparison, ablations: Sequence[Ablation], metrics: Sequence[Metric]) -> dict[str, str]:
    return {
        "change": _change(pair, ablations),
        "verdict": pair.verdict,
        "sentence": sentence(pair),
        "would_take": would_take(pair),
        "preference": _preference(pair, metrics),
    }


def _preference(pair: ArmComparison, metrics: Sequence[Metric]) -> str:
    """Return what the judge prefers, as text; empty: it was not asked."""
    subject = f"{pair.first} over {pair.second}"
    found = {one.metric: one for one in metrics if one.subject == subject}
    if "preference.win_rate" not in found:
        return ""
    wins, place = found["preference.win_rate"], found["preference.place_share"]
    return (
        f" The judge prefers {pair.first} in {_share(wins.value, wins.low, wins.high)} of {wins.count} answers, where "
        f"neither counts half; in {100 * place.value:.1f}% its verdict followed the order, and counts as neither."
    )


def _change(pair: ArmComparison, ablations: Sequence[Ablation]) -> str:
    found = [one for one in ablations if (one.after, one.before) == (pair.first, pair.second)]
    return found[0].change or found[0].intervention if found else f"{pair.second} to {pair.first}"


def _cells(row: TunedArm) -> list[str]:
    return [
        _share(row.pretraining_accuracy, row.pretraining_low, row.pretraining_high),
        _share(row.exact_match, row.exact_match_low, row.exact_match_high),
        _share(row.contained, row.contained_low, row.contained_high),
    ]


def _share(value: float, low: float, high: float) -> str:
    ends = "" if math.isnan(low) else f" ({100 * low:.1f} to {100 * high:.1f})"
    return f"{100 * value:.1f}%{ends}"


def _splits(metrics: Sequence[Metric]) -> list[Metric]:
    return [one for one in metrics if one.metric.count(".") == 2 and one.metric.endswith(".exact_match")]


def _split_name(metric: str) -> str:
    return metric.split(".")[1]
