"""Recipe `posttrain`: the arms of the sample, fine-tuned on spoken instructions and judged by what they answer.

Put here: the literals of post-training. Do not put here: anything that the sample makes: its runs, tokenizers and
questions are taken from it, so that after `sample` nothing of it is computed again.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets import lab
from spelangy_assets.recipes.sample import SAMPLE, TINY
from spelangy_assets.recipes.sample_parts import (
    BATCH_ROWS,
    ROW_TOKENS,
    SEED,
    TRAINED_VOICES,
    WORLD,
    training,
)
from spelangy_assets.sample.sources import SampleInstructions


@dataclass(frozen=True, kw_only=True)
class Size:
    """What `posttrain` and `posttrain_tiny` have otherwise; the defaults are those of the sample's runs."""

    conversations: int = 1000
    steps: int = 120


def build(name: str, description: str, sample: lab.Recipe, size: Size) -> lab.Recipe:
    """Return the recipe over the runs of a recipe of the sample's program."""
    source = SampleInstructions(world=WORLD, seed=SEED, conversations=size.conversations)
    conversations = lab.conversations(source, name="instructions", seed=SEED, voices=TRAINED_VOICES)
    shape = {"row_tokens": ROW_TOKENS, "spoken_share": 0.8}
    tuned = {
        arm: lab.finetune(
            sample[f"run_{arm}"],
            conversations,
            name=f"tuned_{arm}",
            **shape,
            **training(size.steps, BATCH_ROWS, 1e-3),
        )
        for arm in ("coarse_stochastic", "fine_stochastic", "fine", "quest")
    }
    return lab.Recipe(name, *tuned.values(), description=description)


POSTTRAIN = build("posttrain", "The arms of the sample, fine-tuned on spoken instructions", SAMPLE, Size())
POSTTRAIN_TINY = build(
    "posttrain_tiny",
    "The program of posttrain over the runs of tiny, for tests: its scores mean nothing",
    TINY,
    Size(conversations=120, steps=8),
)
