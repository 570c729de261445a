"""Sweeps in the world of the miniature: a factorial of three factors, five shares of Quest, two dials, other base LMs.

Put here: arms that a loop makes. Do not put here: the ablations of the paper (miniature.py). Runs that equal the
miniature's are shared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from spelangy_assets import lab
from spelangy_assets.recipes import sample_parts as sample
from spelangy_assets.recipes.miniature import ABLATIONS, AGAIN, ARMS, LOW, MINIATURE, MINIATURE_AGAIN, RECORD, WEB
from spelangy_assets.recipes.miniature_parts import ASKING_VOICES, Arm, Dial, board
from spelangy_assets.report.comparisons import ACCURACY, HEARING_GAIN

FACTORS = {
    "Granularity": ("coarse", "fine"),
    "Modality sampling": ("stochastic", "deterministic"),
    "Loss": ("speech and text", "text alone"),
}
CELLS: dict[str, tuple[Any, ...]] = {
    "_".join(levels).replace(" ", "_"): levels for levels in product(*FACTORS.values())
}
FACTORIAL = {
    name: Arm({chunks: 1.0}, sampling, loss_on_speech=loss == "speech and text")
    for name, (chunks, sampling, loss) in CELLS.items()
}
EFFECTS = tuple(lab.factorial(CELLS, FACTORS, (ACCURACY, HEARING_GAIN)))
QUEST_SHARES = {f"quest_{share}": Arm({"fine": 1 - share / 100, "quest": share / 100}) for share in (10, 34, 66, 88)}
SWEEP = {"fine": Arm(WEB)} | QUEST_SHARES


def _of(arms: Mapping[str, Arm], seeds: int) -> Dial:
    return replace(RECORD, seeds=dict.fromkeys(arms, seeds))


MINIATURE_FACTORIAL = lab.Recipe(
    "miniature_factorial",
    board(_of(FACTORIAL, 3), FACTORIAL, effects=EFFECTS),
    description="Granularity, sampling and loss, each with each of the others, in the world of the miniature",
)
MINIATURE_QUEST_SHARES = lab.Recipe(
    "miniature_quest_shares",
    # So often spoken, Quest fills 88% of a run without more than 1.5 epochs.
    board(replace(_of(SWEEP, 3), quest_voices=8), SWEEP),
    description="Five shares of Quest in the speech of the miniature: 0, 10, 34, 66 and 88 percent",
)
MINIATURE_DIALS = lab.Recipe(
    "miniature_dials",
    board(LOW, ARMS, ABLATIONS, larger=lab.prefixed("miniature", MINIATURE["leaderboard"])),
    description="miniature_low, whose metrics are judged by how often they order arms as the miniature's accuracy does",
)


def _bases(name: str, recipe: lab.Recipe, dial: Dial) -> lab.Recipe:
    """Return runs on one mix with Quest, from the recipe's base LM and from two that are drawn anew."""
    first, rows = recipe["base_lm"], recipe["mix_base_lm"]
    bases = {"quest_base_0": first}
    for number in (1, 2):
        seed = dial.seed + 50 + number  # no run of the recipe has it, nor the seed of the runs below
        drawn = replace(rows.config, mixture=replace(rows.config.mixture, seed=seed))
        mix = replace(rows, name=f"mix_base_{number}", config=drawn)
        other = replace(first.config, seed=seed)
        bases[f"quest_base_{number}"] = replace(
            first, name=f"base_{number}", config=other, inputs={**first.inputs, "mix": mix}
        )
    how = sample.training(dial.run_steps, sample.BATCH_ROWS, 3e-3, seed=dial.seed + 60)
    return lab.Recipe(
        name,
        lab.leaderboard(
            {arm: [lab.train(recipe["mix_quest_s0"], base=base, **how)] for arm, base in bases.items()},
            recipe["sqa_benchmarks"],
            judging=sample.judging(dial.world, 100, dial.held_out_talks, ASKING_VOICES, dial.seed),
            title="Quest from three base LMs",
            seed=dial.seed,
        ),
        description=f"One arm of {recipe.name} from three base LMs: how far they alone move it",
    )


MINIATURE_BASES = _bases("miniature_bases", MINIATURE, RECORD)
MINIATURE_AGAIN_BASES = _bases("miniature_again_bases", MINIATURE_AGAIN, AGAIN)
