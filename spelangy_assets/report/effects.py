"""Effects of a factorial design: which sums of arms they are, their size and certainty, and how a report states them.

Put here: main effects and interactions. Do not put here: two arms (comparisons.py), or the statistics
(spelangy_model/eval/stats.py).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

from spelangy_assets.report.comparisons import ACCURACY, INSTRUMENTS, amount, interval, p_text
from spelangy_model.records import Int32


@dataclass(frozen=True)
class Effect:
    """A planned sum of arms' means times coefficients, by one metric. ValueError for a metric that boards do not have.

    `factorial` makes those of a factorial design.
    """

    name: str
    coefficients: tuple[tuple[str, float], ...]
    """Of each arm that is in the sum."""
    change: str = ""
    """What a positive value means."""
    metric: str = ACCURACY

    def __post_init__(self) -> None:
        if self.metric not in INSTRUMENTS:
            raise ValueError(
                f"the effect {self.name!r} is tested by {self.metric!r}: take one of {', '.join(INSTRUMENTS)}"
            )


@dataclass(frozen=True, slots=True)
class EffectResult:
    """An effect over all questions and seeds. Intervals are of 95%; the fields are those of ArmComparison."""

    effect: str
    metric: str
    value: Annotated[float, "in the metric's unit"]
    low: Annotated[float, "for questions like these and, with two seeds or more an arm, the next seeds"]
    high: float
    p_value: Annotated[float, "two-sided, of the same"]
    p_adjusted: Annotated[float, "by Holm's method among the effects of the recipe"]
    same_questions_low: Annotated[float, "for the next seeds on these very questions; NaN with one seed an arm"]
    same_questions_high: float
    same_questions_p_value: float
    same_questions_p_adjusted: float
    verdict: str
    clusters: Annotated[int, "of questions whose answers are not independent"]
    runs: Annotated[Int32, "of all arms together"]
    smallest_effect: Annotated[float, "true value that this design finds, at 0.05 over the number of effects, 4 in 5"]


def factorial(
    cells: Mapping[str, Sequence[Hashable]], factors: Mapping[str, tuple[Hashable, Hashable]], metrics: Sequence[str]
) -> list[Effect]:
    """Return the main effects and interactions of factors of two levels, by each metric.

    `cells` holds of each arm its level of each factor, in the order of `factors`; every combination has one arm. A main
    effect is the mean over the arms at the second level less that at the first. An interaction of two factors is half
    of how much the effect of one grows from the first to the second level of the other, and so on. ValueError for a
    combination that is missing or there twice.
    """
    if len(cells) != 2 ** len(factors) or len(set(map(tuple, cells.values()))) != len(cells):
        raise ValueError(f"{len(factors)} factors of two levels have {2 ** len(factors)} arms, each of other levels")
    signs = {
        arm: [(-1, 1)[pair.index(level)] for level, pair in zip(levels, factors.values(), strict=True)]
        for arm, levels in cells.items()
    }
    names = list(factors)
    effects = []
    for count in range(1, len(names) + 1):
        for chosen in combinations(range(len(names)), count):
            half = len(cells) / 2
            weights = tuple((arm, math.prod(of_arm[place] for place in chosen) / half) for arm, of_arm in signs.items())
            name = " x ".join(names[place] for place in chosen)
            before, after = factors[names[chosen[0]]]
            change = f"{before} to {after}" if count == 1 else "interaction"
            effects += [Effect(name, weights, change, metric) for metric in metrics]
    return effects


def effect_rows(results: Sequence[EffectResult], effects: Sequence[Effect]) -> list[dict[str, str]]:
    """Return the effects as a table shows them; "not evaluated" where an arm was not."""
    found = {(row.effect, row.metric): row for row in results}
    return [
        {
            "name": effect.name,
            "change": effect.change,
            "metric": INSTRUMENTS[effect.metric].words,
            "unit": INSTRUMENTS[effect.metric].unit,
            **_cells(found.get((effect.name, effect.metric))),
        }
        for effect in effects
    ]


def _cells(row: EffectResult | None) -> dict[str, str]:
    if row is None:
        return {"verdict": "not evaluated", **dict.fromkeys(("value", "interval", "same", "p", "finds"), "-")}
    return {
        "verdict": row.verdict,
        "value": amount(row.metric, row.value),
        "interval": interval(row.metric, row.low, row.high),
        "same": interval(row.metric, row.same_questions_low, row.same_questions_high) or "-",
        "p": p_text(row.p_adjusted),
        "finds": amount(row.metric, row.smallest_effect, signed=False),
    }
