"""Differences between arms: their size, their certainty, and how a report states them.

Put here: the records of comparisons and their wording. Do not put here: the statistics (spelangy_model/eval/stats.py),
or where the scores come from (stages/leaderboard.py).

A verdict holds for one of two populations. "Resolved" holds for questions like these and for further seeds; "resolved
on these questions" holds for further seeds on this benchmark alone. An arm with one seed gives no evidence about
further seeds: its verdict is "seen in these models". Only planned comparisons have a verdict; others are exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from spelangy_model.records import CONTEXT_SENTENCES, Int32

ACCURACY, GAP = "sqa.all.accuracy", "gap.reverse_kl"
PROBABILITY, TALK = "sqa.all.probability", "talk."
HEARING_GAIN = "talk.hearing_gain"
FOLLOWING = "instructions.exact_match"  # of fine-tuned runs, on the board of post-training alone


@dataclass(frozen=True)
class Instrument:
    """A metric by which arms can be compared: its display name, the unit of a difference, and its direction."""

    words: str
    unit: str
    scale: float = 1.0
    higher_is_better: bool = True


INSTRUMENTS: Mapping[str, Instrument] = {
    ACCURACY: Instrument("spoken QA, accuracy", "points", 100),
    PROBABILITY: Instrument("spoken QA, probability of the right option", "points", 100),
    "sqa.all.margin": Instrument("spoken QA, margin of the right option", "nats"),
    "sqa.all.log_probability": Instrument("spoken QA, log-probability of the right answer", "nats"),
    GAP: Instrument("modality gap, reverse KL", "nats", higher_is_better=False),
    HEARING_GAIN: Instrument("hearing gain", "nats a token"),
    FOLLOWING: Instrument("instructions followed, exact match", "points", 100),
    **{
        f"talk.{way}_{count}.loss": Instrument(
            f"loss on talk after {count} {way} sentence{'' if count == 1 else 's'}",
            "nats a token",
            higher_is_better=False,
        )
        for way in ("spoken", "written")
        for count in range(1, CONTEXT_SENTENCES + 1)
    },
    **{
        f"talk.alone_{count}.loss": Instrument(
            f"loss on talk alone, sentence {count + 1}", "nats a token", higher_is_better=False
        )
        for count in range(1, CONTEXT_SENTENCES + 1)
    },
    **{
        f"talk.spoken_{count}.hearing_gain": Instrument(
            f"hearing gain after {count} sentence{'' if count == 1 else 's'}", "nats a token"
        )
        for count in range(1, CONTEXT_SENTENCES + 1)
    },
}

RESOLVED, ON_THESE, NOT_RESOLVED = "resolved", "resolved on these questions", "not resolved"
SEEN, NOT_SEEN = "seen in these models", "not seen in these models"


@dataclass(frozen=True, slots=True)
class ArmComparison:
    """Two arms on the same questions, by one metric. An arm is a run, or several runs that differ by their seed alone.

    Intervals are of 95% and of the difference. With one seed an arm, they hold for the trained models alone.
    """

    metric: str
    first: str
    second: str
    planned: Annotated[bool, "an ablation of the recipe; all others are exploratory and have no verdict"]
    first_value: float
    second_value: float
    difference: Annotated[float, "first - second, of the questions that both answered"]
    low: Annotated[float, "for questions like these and, with two seeds or more an arm, the next seeds"]
    high: float
    p_value: Annotated[float, "two-sided, of the same"]
    p_adjusted: Annotated[float, "by Holm's method among the planned comparisons; NaN for an exploratory one"]
    same_questions_low: Annotated[float, "for the next seeds on these very questions; NaN with one seed an arm"]
    same_questions_high: float
    same_questions_p_value: float
    same_questions_p_adjusted: float
    verdict: Annotated[str, "empty for an exploratory one"]
    clusters: Annotated[int, "of questions whose answers are not independent"]
    first_seeds: Int32
    second_seeds: Int32
    alpha: Annotated[float, "0.05 over the number of planned comparisons: what the design has to meet"]
    smallest_effect: Annotated[float, "true difference that this design finds at alpha four times in five"]
    effect: Annotated[float, "difference to be found: the recipe's, or the paper's; NaN where none is named"]
    needed_clusters: Annotated[int, "to find it at alpha four times in five with these seeds; 0: not that way"]
    needed_seeds: Annotated[int, "an arm, with these questions; 0: not that way, or not known"]
    needed_both: Annotated[list[Int32], "clusters and seeds an arm, where no number of clusters alone does"]


@dataclass(frozen=True, slots=True)
class ArmScore:
    """An arm's spoken accuracy over its runs, which differ by their seed alone."""

    arm: str
    seeds: Int32
    accuracy: Annotated[float, "mean over seeds and questions"]
    low: Annotated[float, "of the 95% interval for questions like these and, with two seeds or more, the next seeds"]
    high: float
    lowest_seed: Annotated[float, "accuracy of the seed that did worst"]
    highest_seed: float
    p_chance: Annotated[float, "two-sided, against guessing"]


@dataclass(frozen=True, slots=True)
class ArmWork:
    """What an arm was trained on, the mean over its runs. Tokens are positions that hold no padding."""

    arm: str
    steps: float
    tokens: float
    loss_tokens: Annotated[float, "tokens that the loss is over"]
    text_tokens: Annotated[float, "tokens of text-only rows"]
    speech_s: Annotated[float, "speech in the training rows, repetitions included"]
    padding_share: Annotated[float, "of all positions"]
    sources: Annotated[list[str], "token sets of the mix"]
    epochs: Annotated[list[float], "of each source: how often its documents were gone through"]


@dataclass(frozen=True, slots=True)
class MetricNoise:
    """How well a metric distinguishes arms, and how often it orders two of them as accuracy does."""

    metric: str
    arms: Int32
    seed_sd: Annotated[float, "between seeds of an arm, pooled; NaN where no arm has two"]
    spread: Annotated[float, "standard deviation of the arms' means"]
    decision_accuracy: Annotated[
        float, "share of pairs of single runs of two arms that it orders as `against` does; ties count half"
    ]
    decisions: Annotated[int, "pairs of runs"]
    against: Annotated[str, "the board whose accuracy is the truth: this one, or one of a larger dial"]


_SHARED = {"tokens": "tokens", "loss_tokens": "loss tokens", "text_tokens": "text-only tokens", "speech_s": "speech"}
TOLERANCE = 0.05


def unequal_work(before: ArmWork, after: ArmWork) -> dict[str, float]:
    """Return the quantities in which two arms differ by more than 5%: after / before - 1, by display name."""
    return {words: share for words, share in _work_shares(before, after).items() if abs(share) > TOLERANCE}


def equal_work(before: ArmWork, after: ArmWork) -> list[str]:
    """Return the display names of the quantities that differ by at most 5% between two arms of one ablation."""
    return [words for words, share in _work_shares(before, after).items() if abs(share) <= TOLERANCE]


def _work_shares(before: ArmWork, after: ArmWork) -> dict[str, float]:
    """Return after / before - 1 of all quantities that are known of both arms."""
    found = {}
    for name, words in _SHARED.items():
        one, other = getattr(before, name), getattr(after, name)
        if math.isnan(one) or math.isnan(other) or not max(one, other):
            continue
        found[words] = other / one - 1 if one else math.inf
    return found


def verdict(p_adjusted: float, same_questions_p_adjusted: float, alpha: float = 0.05) -> str:
    """Return the verdict of a planned comparison by its adjusted p-values; the second is NaN for a single seed."""
    if math.isnan(same_questions_p_adjusted):
        return SEEN if p_adjusted < alpha else NOT_SEEN
    if p_adjusted < alpha:
        return RESOLVED
    return ON_THESE if same_questions_p_adjusted < alpha else NOT_RESOLVED


def amount(metric: str, value: float, signed: bool = True) -> str:
    """Return a difference without its unit."""
    instrument = INSTRUMENTS[metric]
    digits = 1 if instrument.scale == 100 else 3 if metric.startswith(TALK) else 2
    return f"{instrument.scale * value:{'+' if signed else ''}.{digits}f}"


def with_unit(metric: str, value: float, signed: bool = False) -> str:
    return f"{amount(metric, value, signed)} {INSTRUMENTS[metric].unit}"


def interval(metric: str, low: float, high: float) -> str:
    return "" if math.isnan(low) else f"[{amount(metric, low)}, {amount(metric, high)}]"


def p_text(p_value: float) -> str:
    return "-" if math.isnan(p_value) else "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def sentence(pair: ArmComparison) -> str:
    """Return a sentence on the result of a comparison and its certainty."""
    text = (
        f"{pair.first} over {pair.second} by {with_unit(pair.metric, pair.difference, signed=True)} "
        f"{interval(pair.metric, pair.low, pair.high)}"
    )
    if not math.isnan(pair.same_questions_low):
        text += f", on these questions {interval(pair.metric, pair.same_questions_low, pair.same_questions_high)}"
    return f"{text}, p {p_text(pair.p_adjusted)}" if pair.planned else text


def would_take(pair: ArmComparison) -> str:
    """Return a sentence on what the design can detect, and what it would take to detect the effect looked for."""
    text = f"This design finds {with_unit(pair.metric, pair.smallest_effect)} four times in five."
    if math.isnan(pair.effect):
        return f"{text} No effect is named to be found."
    wanted = with_unit(pair.metric, abs(pair.effect))
    if abs(pair.effect) >= pair.smallest_effect:
        return f"{text} That is enough for {wanted}."
    ways = []
    if pair.needed_clusters > pair.clusters:
        ways.append(f"about {_rounded(pair.needed_clusters)} clusters of questions (there are {pair.clusters:,})")
    if pair.needed_seeds > max(pair.first_seeds, pair.second_seeds):
        ways.append(f"{pair.needed_seeds:,} seeds an arm (there are {_seeds(pair)})")
    if pair.needed_both:
        clusters, seeds = pair.needed_both
        ways.append(
            f"about {_rounded(clusters)} clusters of questions (there are {pair.clusters:,}) and {seeds:,} seeds an "
            f"arm (there are {_seeds(pair)})"
        )
    without = (
        " if seeds made no difference, which one seed cannot show"
        if min(pair.first_seeds, pair.second_seeds) < 2
        else ""
    )
    if not ways and (pair.needed_clusters or pair.needed_seeds):
        return f"{text} For {wanted} it would take little more."
    if not ways:
        return f"{text} For {wanted} it would take more than a thousand seeds an arm."
    return f"{text} For {wanted} it would take {' or '.join(ways)}{without}."


def _seeds(pair: ArmComparison) -> str:
    first, second = pair.first_seeds, pair.second_seeds
    return str(first) if first == second else f"{first} and {second}"


def seeds_note(pairs: Sequence[ArmComparison]) -> str:
    """Return a note on what single seeds leave open, once for a list of pairs; empty where every arm has several."""
    if all(min(pair.first_seeds, pair.second_seeds) > 1 for pair in pairs):
        return ""
    return (
        "Where an arm has one seed, this is said of these trained models and not of their recipes: another seed of "
        "the same recipe may differ as much."
    )


def base_note(one_base: bool) -> str:
    """Return a note on what no seed draws anew, where all runs start from one base LM; else it is empty."""
    if not one_base:
        return ""
    return (
        "All runs start from one base LM, and their seeds share the data below the mixes: no interval contains what "
        "another base LM or other data would change."
    )


def _rounded(count: int) -> str:
    digits = max(0, len(str(count)) - 2)
    return f"{round(count, -digits):,}"
