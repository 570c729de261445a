"""Recipe `miniature`: the paper's data ablations at toy scale, every arm over several seeds.

Put here: the arms, and the dial by which the recipe is as large as a machine allows. Do not put here: literals that it
shares with `sample` (speech, pages, tokenizers), which are taken from there.

All arms see the same number of tokens, at the same share of text, from one base LM: what differs is the one thing that
a row of the paper's tables changes. A seed draws an arm anew: which documents stand in which rows, the coins of
stochastic sampling, and the new rows of the embedding. Facts are those of a larger world in 20 wordings of a question
a relation (sample/worlds.py); its talk comes with its transcript, so that nothing depends on a recognizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from spelangy_assets.recipes.recipe import Corpus, Recipe, Run
from spelangy_assets.recipes.sample import BASE_BATCH_ROWS, BATCH_ROWS, ROW_TOKENS, SAMPLE, SEED
from spelangy_assets.report.leaderboard_page import Ablation
from spelangy_assets.sample.notes import WrittenNotes
from spelangy_assets.sample.site import WorldPages
from spelangy_assets.sample.spoken import SpokenConversations
from spelangy_assets.stages import leaderboard, mix, train_lm
from spelangy_assets.stages.leaderboard import Arm
from spelangy_assets.stages.tokenizer_corpus import Sentences
from spelangy_model.data.interleave import Interleaving, Sampling
from spelangy_model.data.mixture import Mixture, Proportion, Source

TEXT_SHARE = 0.15


@dataclass(frozen=True, kw_only=True)
class SpeechMix:
    """What an arm hears: shares of the token sets among its speech, and the two other things that the paper changes."""

    shares: Mapping[str, float]
    sampling: Sampling = "deterministic"
    loss_on_speech: bool = False


# Krist is added to Quest without taking of its share: Quest is what teaches, and less of it would be a second change.
ARMS: dict[str, SpeechMix] = {
    "coarse_stochastic": SpeechMix(shares={"web_coarse": 1.0}, sampling="stochastic"),
    "fine_stochastic": SpeechMix(shares={"web_fine": 1.0}, sampling="stochastic"),
    "fine": SpeechMix(shares={"web_fine": 1.0}),
    "krist": SpeechMix(shares={"web_fine": 0.5, "krist": 0.5}),
    "quest": SpeechMix(shares={"web_fine": 0.5, "quest": 0.5}),
    "krist_quest": SpeechMix(shares={"web_fine": 0.25, "krist": 0.25, "quest": 0.5}),
    "unmasked": SpeechMix(shares={"web_fine": 0.25, "krist": 0.25, "quest": 0.5}, loss_on_speech=True),
}

ABLATIONS = (
    Ablation("Granularity", "coarse to fine chunks", "coarse_stochastic", "fine_stochastic", 37.6, 40.7),
    Ablation("Modality sampling", "stochastic to deterministic", "fine_stochastic", "fine", 41.4, 42.4),
    Ablation("Synthetic data", "with Krist", "fine", "krist", 40.7, 41.5),
    Ablation("Synthetic data", "with Quest", "fine", "quest", 40.7, 47.9),
    Ablation("Synthetic data", "with Krist and Quest", "fine", "krist_quest", 40.7, 47.9),
    Ablation("Loss", "on text alone instead of on speech too", "unmasked", "krist_quest", 42.4, 51.8),
)


@dataclass(frozen=True, kw_only=True)
class Dial:
    """How large a miniature is.

    `world` is the reference of a larger world, `conversations` and `notes` are how much is said and written in it.
    A question is asked in `voices_per_document` voices; `questions_per_split` thins the benchmark, 0 asks about every
    fact in each of the three kinds of wording. `base_steps` grow with the facts: what the base LM does not know no arm
    can answer, whatever it hears.
    """

    world: str
    conversations: int
    notes: int
    voices_per_document: int
    base_steps: int
    run_steps: int
    arms: tuple[str, ...] = tuple(ARMS)
    seeds: int = 3
    questions_per_split: int = 0
    salad: int = 1000


def miniature(name: str, description: str, dial: Dial) -> Recipe:
    """Return the recipe of a dial. Raises KeyError for an arm that there is not."""
    mixes = dict(_seeded(dial))
    arms = tuple(Arm(arm, tuple(f"run_{arm}_s{seed}" for seed in range(dial.seeds))) for arm in dial.arms)
    ablations = tuple(row for row in ABLATIONS if {row.before, row.after} <= set(dial.arms))
    tokenizers, evaluation = SAMPLE.tokenizers, SAMPLE.evaluation
    return replace(
        SAMPLE,
        name=name,
        description=description,
        audio_snapshots={
            "talk": SpokenConversations(world=dial.world, seed=SEED, recordings=dial.conversations),
        },
        page_snapshots={
            "site": WorldPages(world=dial.world, seed=SEED),
            "notes": WrittenNotes(world=dial.world, seed=SEED, documents=dial.notes, documents_per_page=1),
        },
        synthetic=replace(
            SAMPLE.synthetic,
            quest_speech=replace(SAMPLE.synthetic.quest_speech, voices_per_document=dial.voices_per_document),
        ),
        tokenizers=replace(
            tokenizers,
            corpus=replace(tokenizers.corpus, world=dial.world, sentences=(Sentences("word_salad", dial.salad),)),
            text=replace(tokenizers.text, world=dial.world),
        ),
        corpora={
            "web_coarse": Corpus(snapshots=("talk",)),
            "web_fine": Corpus(snapshots=("talk",)),
            "krist": Corpus(snapshots=("site",)),
            "quest": Corpus(snapshots=("site",)),
            "text": Corpus(snapshots=("site", "notes")),
        },
        base_mix=_mixture({}, dial.base_steps * BASE_BATCH_ROWS, SEED, 1.0, Interleaving()),
        mixes=mixes,
        base_lm=replace(_training(dial.base_steps, BASE_BATCH_ROWS, 4e-3, SEED), preset="tiny"),
        runs={
            name: Run(mix=name, train=_training(dial.run_steps, BATCH_ROWS, 3e-3, config.mixture.seed))
            for name, config in mixes.items()
        },
        evaluation=replace(
            evaluation,
            benchmark=replace(
                evaluation.benchmark,
                world=dial.world,
                benchmark="miniature_world",
                max_questions_per_split=dial.questions_per_split,
            ),
            systems=(),
            text_skill=replace(evaluation.text_skill, world=dial.world),
            leaderboard=leaderboard.Config(
                title="The paper's data ablations in miniature", seed=SEED, arms=arms, ablations=ablations
            ),
        ),
    )


def _seeded(dial: Dial) -> Iterator[tuple[str, mix.Config]]:
    for arm in dial.arms:
        hears = ARMS[arm]
        interleaving = Interleaving(sampling=hears.sampling, loss_on_speech=hears.loss_on_speech)
        for seed in range(dial.seeds):
            rows = dial.run_steps * BATCH_ROWS
            yield f"{arm}_s{seed}", _mixture(hears.shares, rows, SEED + seed, TEXT_SHARE, interleaving)


def _mixture(
    shares: Mapping[str, float], rows: int, seed: int, text_share: float, interleaving: Interleaving
) -> mix.Config:
    return mix.Config(
        mixture=Mixture(
            sources=(
                *(Source(f"{source}_tokens", "speech_text", Proportion(share)) for source, share in shares.items()),
                Source("text_tokens", "text", Proportion(1.0)),
            ),
            rows=rows,
            row_length=ROW_TOKENS,
            text_share=text_share,
            interleaving=interleaving,
            max_epochs=64.0,
            seed=seed,
        )
    )


def _training(steps: int, batch_rows: int, learning_rate: float, seed: int) -> train_lm.Config:
    return train_lm.Config(
        steps=steps,
        batch_rows=batch_rows,
        micro_rows=batch_rows,
        learning_rate=learning_rate,
        warmup_steps=steps // 16,
        decay_steps=steps // 2,
        seed=seed,
    )


MINIATURE = miniature(
    "miniature",
    "The paper's data ablations at toy scale over five seeds: a GPU hour, or a night on a CPU",
    Dial(
        world="larger/800/20260101/77f5184329c6b1c3",  # 4,000 facts
        conversations=2500,
        notes=40_000,
        voices_per_document=4,
        base_steps=10_000,
        run_steps=2000,
        seeds=5,
        questions_per_split=2000,
    ),
)

MINIATURE_LOW = miniature(
    "miniature_low",
    "The miniature with the dial down: four arms over three seeds in half an hour of a CPU",
    Dial(
        world="larger/80/20260101/8adb40872f132212",  # 400 facts
        conversations=250,
        notes=4000,
        voices_per_document=4,
        base_steps=1000,
        run_steps=400,
        arms=("coarse_stochastic", "fine_stochastic", "fine", "quest"),
        seeds=3,
        salad=300,
    ),
)
