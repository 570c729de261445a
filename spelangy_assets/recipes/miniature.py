"""Recipe `miniature`: the paper's data ablations at toy scale, every arm over several seeds.

Put here: the arms, what is compared by which metric, and the sizes. Do not put here: how a miniature is made
(miniature_parts.py), or sweeps (miniature_sweeps.py). Seeds from 20261101 on were spent on pilots, by which these sizes
and metrics were chosen.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from typing import Any

from spelangy_assets import lab
from spelangy_assets.recipes import sample_parts as sample
from spelangy_assets.recipes.miniature_parts import Arm, Dial, board
from spelangy_assets.report.comparisons import HEARING_GAIN, PROBABILITY

WEB = {"fine": 1.0}
ARMS = {
    "coarse_stochastic": Arm({"coarse": 1.0}, "stochastic"),
    "fine_stochastic": Arm(WEB, "stochastic"),
    "fine": Arm(WEB),
    "unmasked": Arm(WEB, loss_on_speech=True),
    "unmasked_matched": Arm(WEB, loss_on_speech=True, matches="fine"),
    "krist": Arm({"fine": 0.53, "krist": 0.47}),
    "quest": Arm({"fine": 0.66, "quest": 0.34}),
    "krist_quest": Arm({"fine": 0.59, "krist": 0.35, "quest": 0.06}),
}
FINER: dict[str, Any] = {"metric": HEARING_GAIN, "effect": 0.02}  # nats a token
ABLATIONS = (
    lab.Ablation("Loss", "unmasked", "fine", "on text alone instead of on speech too", (42.4, 51.8)),
    lab.Ablation("Loss", "unmasked_matched", "fine", "on text alone, as many loss tokens", **FINER),
    replace(sample.GRANULARITY, **FINER),
    replace(sample.SAMPLING, **FINER),
    lab.Ablation("Synthetic data", "fine", "krist", "with Krist", (40.7, 41.5), PROBABILITY, effect=0.02),
    lab.Ablation("Synthetic data", "fine", "quest", "with Quest", (40.7, 47.9)),
)
SEEDS: dict[str, int] = dict.fromkeys(ARMS, 2) | {"coarse_stochastic": 3, "fine_stochastic": 3, "fine": 4, "quest": 3}
RECORD = Dial("larger/80/20270100/9fefb290b9c1d1e6", 20270100, SEEDS, 1700, 22, 8000, 800, 500, 0)
AGAIN = replace(RECORD, world="larger/80/20270200/d467fef7b57af2ac", seed=20270200)
LOW_SEEDS: dict[str, int] = dict.fromkeys(("coarse_stochastic", "fine_stochastic", "fine", "quest"), 3)
LOW = Dial("larger/80/20260101/dfedb49437274d4f", sample.SEED, LOW_SEEDS, 850, 1, 4000, 1000, 200, 0, 40)
# Committed before the runs; the board prints it with its digest.
PLAN = (resources.files("spelangy_assets.recipes") / "miniature_plan.md").read_text("utf-8")
MINIATURE = lab.Recipe(
    "miniature",
    board(RECORD, ARMS, ABLATIONS, plan=PLAN),
    description="The paper's data ablations at toy scale, every arm over several seeds",
)
MINIATURE_AGAIN = lab.Recipe(
    "miniature_again",
    board(AGAIN, ARMS, ABLATIONS, plan=PLAN),
    description="The miniature on other facts, questions and seeds: a second run to confirm the first",
)
MINIATURE_LOW = lab.Recipe(
    "miniature_low",
    board(LOW, ARMS, ABLATIONS),
    description="The miniature with the dial down: four arms over three seeds",
)
