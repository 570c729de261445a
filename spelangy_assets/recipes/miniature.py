"""Recipe `miniature`: the paper's data ablations at toy scale, every arm over several seeds.

Put here: the arms, and the dial by which the recipe is as large as a machine allows. Do not put here: literals that it
shares with `sample`, which are taken from there. All arms see the same number of tokens, at the same share of text,
from one base LM: what differs is the one thing that a row of the paper's tables changes. A seed draws an arm anew:
which documents stand in which rows, the coins of stochastic sampling, and the new rows of the embedding. Its talk comes
with its transcript, so that nothing depends on a recognizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spelangy_assets import lab
from spelangy_assets.recipes.sample import (
    BASE_BATCH_ROWS,
    BATCH_ROWS,
    GRANULARITY,
    HELD_OUT_VOICES,
    SAMPLING,
    SEED,
    TRAINED_VOICES,
    WHISPER_BASE,
    WHISPER_TINY,
    judging,
    training,
)
from spelangy_assets.sample.notes import WrittenNotes
from spelangy_assets.sample.site import WorldPages
from spelangy_assets.sample.sources import SampleWorld, WorldSentences, WorldTexts
from spelangy_assets.sample.spoken import SpokenConversations

# Arm: shares of the sets among its speech, sampling, loss on speech. Krist is added to Quest without taking of its
# share: Quest is what teaches, and less of it would be a second change.
ARMS: dict[str, tuple[dict[str, float], lab.Sampling, bool]] = {
    "coarse_stochastic": ({"coarse": 1.0}, "stochastic", False),
    "fine_stochastic": ({"fine": 1.0}, "stochastic", False),
    "fine": ({"fine": 1.0}, "deterministic", False),
    "krist": ({"fine": 0.5, "krist": 0.5}, "deterministic", False),
    "quest": ({"fine": 0.5, "quest": 0.5}, "deterministic", False),
    "krist_quest": ({"fine": 0.25, "krist": 0.25, "quest": 0.5}, "deterministic", False),
    "unmasked": ({"fine": 0.25, "krist": 0.25, "quest": 0.5}, "deterministic", True),
}
ABLATIONS = (
    GRANULARITY,
    SAMPLING,
    lab.Ablation("Synthetic data", "fine", "krist", "with Krist", (40.7, 41.5)),
    lab.Ablation("Synthetic data", "fine", "quest", "with Quest", (40.7, 47.9)),
    lab.Ablation("Synthetic data", "fine", "krist_quest", "with Krist and Quest"),
    lab.Ablation("Loss", "unmasked", "krist_quest", "on text alone instead of on speech too", (42.4, 51.8)),
)


@dataclass(frozen=True, kw_only=True)
class Dial:
    """How large a miniature is: a world, how much is said and written in it, voices a question, steps, arms, seeds.

    `questions_per_split` thins the benchmark; 0 asks about every fact. `base_steps` grow with the facts: what the base
    LM does not know no arm can answer.
    """

    world: str
    conversations: int
    notes: int
    base_steps: int
    run_steps: int
    arms: tuple[str, ...] = tuple(ARMS)
    seeds: int = 3
    questions_per_split: int = 0
    salad: int = 1000


def miniature(name: str, description: str, dial: Dial) -> lab.Recipe:
    """Return the recipe of a dial."""
    of_world = {"world": dial.world, "seed": SEED}
    audio = lab.recordings({"talk": SpokenConversations(recordings=dial.conversations, **of_world)})
    turns = lab.segments(audio)
    clean = lab.transcripts(turns, lab.hypotheses(audio, turns, (WHISPER_BASE, WHISPER_TINY)))
    notes = WrittenNotes(documents=dial.notes, documents_per_page=1, **of_world)
    pages = lab.pages({"site": WorldPages(**of_world), "notes": notes})
    site, check = pages.on("site"), lab.RoundTrip(recognizer=WHISPER_BASE, max_word_error_rate=0.5)
    salad = WorldSentences(kind="word_salad", count=dial.salad, **of_world)
    texts = WorldTexts(documents=2000, talks=500, **of_world)
    tokens = lab.Tokens(
        speech=lab.speech_tokenizer(lab.tokenizer_speech(salad, seed=SEED, voices=TRAINED_VOICES)),
        text=lab.text_tokenizer(lab.Trained((texts,), vocab_size=1300)),
    )
    sets = {
        "coarse": tokens(lab.chunks(audio, clean, lab.Turns(max_s=16.0), name="web_coarse", seed=SEED)),
        "fine": tokens(lab.chunks(audio, clean, lab.Sentences(), name="web_fine", seed=SEED)),
        "krist": tokens(lab.speech(lab.krist(site), check, seed=SEED)),
        "quest": tokens(lab.speech(lab.quest(site, seed=SEED), check, seed=SEED, voices_per_document=4)),
    }
    text = {tokens(lab.documents(pages)): 1.0}
    base_rows = lab.mix(text=text, rows=dial.base_steps * BASE_BATCH_ROWS, max_epochs=64.0, seed=SEED)
    base = lab.train(base_rows, preset="tiny", **training(dial.base_steps, BASE_BATCH_ROWS, 4e-3))

    def run(arm: str, seed: int) -> lab.Dataset:
        shares, sampling, loss = ARMS[arm]
        speech = {sets[one]: share for one, share in shares.items()}
        rows = lab.mix(
            speech=speech,
            text=text,
            rows=dial.run_steps * BATCH_ROWS,
            sampling=sampling,
            loss_on_speech=loss,
            text_share=0.15,
            max_epochs=64.0,
            seed=seed,
        )
        options: dict[str, Any] = training(dial.run_steps, BATCH_ROWS, 3e-3) | {"seed": seed}
        return lab.train(rows, base=base, **options)

    world = SampleWorld(world=dial.world, name="miniature_world", max_questions_per_split=dial.questions_per_split)
    board = lab.leaderboard(
        {arm: [run(arm, SEED + seed) for seed in range(dial.seeds)] for arm in dial.arms},
        lab.questions(world, seed=SEED, trained_voices=TRAINED_VOICES, held_out_voices=HELD_OUT_VOICES),
        ablations=[row for row in ABLATIONS if {row.before, row.after} <= set(dial.arms)],
        judging=judging(dial.world),
        title="The paper's data ablations in miniature",
        seed=SEED,
    )
    return lab.Recipe(name, board, description=description)


MINIATURE = miniature(
    "miniature",
    "The paper's data ablations at toy scale over five seeds: a GPU hour, or a night on a CPU",
    Dial(
        world="larger/800/20260101/77f5184329c6b1c3",  # 4,000 facts
        conversations=2500,
        notes=40_000,
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
        base_steps=1000,
        run_steps=400,
        arms=("coarse_stochastic", "fine_stochastic", "fine", "quest"),
        salad=300,
    ),
)
