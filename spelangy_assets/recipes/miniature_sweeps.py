"""Sweeps in the world of the miniature: a factorial of three factors, and five shares of Quest.

Put here: arms that a loop makes. Do not put here: the ablations of the paper (miniature.py). Runs that equal the
miniature's are shared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import Any

from spelangy_assets import lab
from spelangy_assets.recipes.miniature import RECORD, WEB
from spelangy_assets.recipes.miniature_parts import Arm, Dial, board

# Each of granularity, sampling and loss with each of the others: eight arms, and the twelve pairs that differ in one.
FACTORS = {
    "Granularity": ("coarse", "fine"),
    "Modality sampling": ("stochastic", "deterministic"),
    "Loss": (True, False),
}
CELLS: dict[str, tuple[Any, ...]] = {
    f"{chunks}_{sampling}_{'loss_on_both' if both else 'loss_on_text'}": (chunks, sampling, both)
    for chunks, sampling, both in product(*FACTORS.values())
}
FACTORIAL = {name: Arm({chunks: 1.0}, sampling, both) for name, (chunks, sampling, both) in CELLS.items()}
PAIRS = [
    lab.Ablation(factor, one, other, f"{one} to {other}")
    for (one, first), (other, second) in combinations(CELLS.items(), 2)
    for place, factor in enumerate(FACTORS)
    if first[:place] + first[place + 1 :] == second[:place] + second[place + 1 :]
]
QUEST_SHARES = {f"quest_{share}": Arm({"fine": 1 - share / 100, "quest": share / 100}) for share in (10, 34, 66, 88)}
SWEEP = {"fine": Arm(WEB)} | QUEST_SHARES


def _of(arms: Mapping[str, Arm], seeds: int) -> Dial:
    return replace(RECORD, seeds=dict.fromkeys(arms, seeds))


MINIATURE_FACTORIAL = lab.Recipe(
    "miniature_factorial",
    board(_of(FACTORIAL, 3), FACTORIAL, PAIRS),
    description="Granularity, sampling and loss, each with each of the others, in the world of the miniature",
)
MINIATURE_QUEST_SHARES = lab.Recipe(
    "miniature_quest_shares",
    board(_of(SWEEP, 3), SWEEP),
    description="Five shares of Quest in the speech of the miniature: 0, 10, 34, 66 and 88 percent",
)
