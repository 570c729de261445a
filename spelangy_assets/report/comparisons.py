"""Which differences between arms are resolved, and how a report says so.

Put here: the record of a comparison and its wording. Do not put here: the statistics (spelangy_model/eval/stats.py), or
where the scores come from (stages/leaderboard.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from spelangy_model.records import Int32

SEEDS_TO_KNOW_THEIR_NOISE = 3


@dataclass(frozen=True, slots=True)
class ArmComparison:
    """Two arms on the same questions. An arm is a run, or several runs that differ by their seed alone."""

    metric: Annotated[str, "sqa.all.accuracy or gap.reverse_kl"]
    first: str
    second: str
    first_value: float
    second_value: float
    difference: Annotated[float, "first - second, of the items that both answered"]
    low: Annotated[float, "lower end of the 95% interval of the difference"]
    high: float
    p_value: Annotated[float, "two-sided, over questions and, with two seeds or more an arm, over seeds"]
    p_adjusted: Annotated[float, "by Holm's method over all comparisons of this metric"]
    p_mcnemar: Annotated[float, "exact McNemar test by question; NaN with several seeds and for the gap"]
    resolved: Annotated[bool, "p_adjusted is below 0.05"]
    questions: Int32
    first_seeds: Int32
    second_seeds: Int32
    needed_questions: Annotated[int, "for 80% power at this difference with these seeds; 0: none would do"]
    needed_seeds: Annotated[int, "an arm, for 80% power with these questions; 0: not known or none would do"]


@dataclass(frozen=True, slots=True)
class ArmScore:
    """An arm's spoken accuracy over its runs, which differ by their seed alone."""

    arm: str
    seeds: Int32
    accuracy: Annotated[float, "mean over seeds and questions"]
    low: Annotated[float, "lower end of the 95% interval, over questions and, with two seeds or more, over seeds"]
    high: float
    lowest_seed: Annotated[float, "accuracy of the seed that did worst"]
    highest_seed: float
    p_chance: Annotated[float, "two-sided, against guessing"]


def verdict(pair: ArmComparison) -> str:
    return "resolved" if pair.resolved else "not resolved"


def sentence(pair: ArmComparison) -> str:
    """Say what is known of a pair; what is not resolved comes with what it would take."""
    scale, unit = (100, "points") if pair.metric.endswith("accuracy") else (1, "nats")
    size, low, high = (scale * value for value in (pair.difference, pair.low, pair.high))
    text = f"{pair.first} over {pair.second} by {size:.1f} {unit} [{low:.1f}, {high:.1f}], p {p_text(pair.p_adjusted)}"
    if not math.isnan(pair.p_mcnemar):
        text += f" (McNemar {p_text(pair.p_mcnemar)})"
    parts = [f"{text}.", "" if pair.resolved else _needed(pair), _seeds(pair)]
    return " ".join(part for part in parts if part)


def p_text(p_value: float) -> str:
    return "-" if math.isnan(p_value) else "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def seeds_note(pairs: Sequence[ArmComparison]) -> str:
    """Say once, for a list of pairs, what single seeds leave open; empty where every arm has several."""
    if all(min(pair.first_seeds, pair.second_seeds) > 1 for pair in pairs):
        return ""
    return (
        "Where an arm has one seed, this is said of these trained models and not of their recipes: the noise between "
        f"seeds is not in it, and takes {SEEDS_TO_KNOW_THEIR_NOISE} seeds or more to know."
    )


def _needed(pair: ArmComparison) -> str:
    if abs(pair.difference) < 1e-12:
        return "There is no difference to look for."
    ways = []
    if pair.needed_questions > pair.questions:
        ways.append(f"about {_rounded(pair.needed_questions)} questions (there are {pair.questions:,})")
    if pair.needed_seeds > max(pair.first_seeds, pair.second_seeds):
        ways.append(f"{pair.needed_seeds} seeds an arm (there are {pair.first_seeds} and {pair.second_seeds})")
    if ways:
        return f"To find a true difference of this size it would take {' or '.join(ways)}."
    if not pair.needed_questions:
        return "The noise between seeds alone is larger than this difference: more questions would not help."
    return "With these questions a true difference of this size is found four times in five; it was not here."


def _seeds(pair: ArmComparison) -> str:
    seeds = (pair.first_seeds, pair.second_seeds)
    return "" if min(seeds) == 1 else f"Over {seeds[0]} and {seeds[1]} seeds."


def _rounded(count: int) -> str:
    digits = max(0, len(str(count)) - 2)
    return f"{round(count, -digits):,}"
