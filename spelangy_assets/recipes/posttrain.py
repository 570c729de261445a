"""Recipe `posttrain`: the arms of the sample, fine-tuned on spoken instructions and judged by what they answer.

Put here: the literals of post-training. Do not put here: anything that the sample makes: its runs, tokenizers and
evaluations are taken from it, so that after `sample` nothing of it is computed again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from spelangy_assets import lab
from spelangy_assets.recipes.sample import SAMPLE, TINY
from spelangy_assets.recipes.sample_parts import (
    ASKING,
    BATCH_ROWS,
    GRANULARITY,
    QUEST,
    ROW_TOKENS,
    SAMPLING,
    SEED,
    TRAINED_VOICES,
    WORLD,
    training,
)
from spelangy_assets.report.comparisons import FOLLOWING
from spelangy_assets.sample.sources import JudgedInstructions, SampleInstructions

PERTURBATIONS = (lab.Noise(snr_db=10), lab.Speed(percent=125), lab.BandLimit(hz=2000))


@dataclass(frozen=True, kw_only=True)
class Size:
    """What `posttrain` and `posttrain_tiny` have otherwise; the defaults are those of the sample's runs."""

    arms: tuple[str, ...] = ("coarse_stochastic", "fine_stochastic", "fine", "quest")
    conversations: int = 1000
    steps: int = 120
    questions_per_split: int = 0
    perturbed_questions: int = 100


def build(name: str, description: str, sample: lab.Recipe, size: Size) -> lab.Recipe:
    """Return the recipe over the runs of a recipe of the sample's program."""
    source = SampleInstructions(world=WORLD, seed=SEED, conversations=size.conversations)
    conversations = lab.conversations(source, name="instructions", seed=SEED, voices=TRAINED_VOICES)
    shape = {"row_tokens": ROW_TOKENS, "spoken_share": 0.8, **training(size.steps, BATCH_ROWS, 1e-3)}
    tuned = {arm: lab.finetune(sample[f"run_{arm}"], conversations, name=f"tuned_{arm}", **shape) for arm in size.arms}
    held_out = JudgedInstructions(world=WORLD, instructions_seed=SEED, max_questions_per_split=size.questions_per_split)
    board = lab.post_training(
        sample["leaderboard"],
        tuned,
        lab.questions(held_out, name="held_out_instructions", **ASKING),
        perturbations=PERTURBATIONS,
        perturbed_questions=size.perturbed_questions,
        generation=lab.Generation(seed=SEED),
        ablations=tuple(
            replace(one, metric=FOLLOWING, paper=None)
            for one in (GRANULARITY, SAMPLING, QUEST)
            if {one.before, one.after} <= set(size.arms)
        ),
        seed=SEED,
    )
    return lab.Recipe(name, board, description=description)


POSTTRAIN = build("posttrain", "The arms of the sample, fine-tuned on spoken instructions and judged", SAMPLE, Size())
POSTTRAIN_TINY = build(
    "posttrain_tiny",
    "The program of posttrain over the runs of tiny, for tests: its scores mean nothing",
    TINY,
    Size(arms=("fine", "quest"), conversations=60, steps=4, questions_per_split=8, perturbed_questions=4),
)
