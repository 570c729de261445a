"""Recipe `miniature`: the paper's data ablations at toy scale, every arm over several seeds.

Put here: the arms, and the dial by which the recipe is as large as a machine allows. Do not put here: literals that it
shares with `sample`, which are taken from there. All arms see as many tokens, at one share of text, from one base LM. A
seed draws an arm anew: its documents, coins and new embeddings. Its talk comes with its transcript.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from spelangy_assets import lab
from spelangy_assets.recipes import sample_parts as sample
from spelangy_assets.recipes.sample_parts import SEED
from spelangy_assets.report.comparisons import HEARING_GAIN, PROBABILITY
from spelangy_assets.sample.notes import WrittenNotes
from spelangy_assets.sample.site import WorldPages
from spelangy_assets.sample.sources import SampleWorld, WorldSentences, WorldTexts
from spelangy_assets.sample.spoken import SpokenConversations

# Arm: shares of its speech, sampling, loss on speech. Krist takes none of Quest's share: that would be a second change.
ARMS: dict[str, tuple[dict[str, float], lab.Sampling, bool]] = {
    "coarse_stochastic": ({"coarse": 1.0}, "stochastic", False),
    "fine_stochastic": ({"fine": 1.0}, "stochastic", False),
    "fine": ({"fine": 1.0}, "deterministic", False),
    "krist": ({"fine": 0.5, "krist": 0.5}, "deterministic", False),
    "quest": ({"fine": 0.5, "quest": 0.5}, "deterministic", False),
    "krist_quest": ({"fine": 0.25, "krist": 0.25, "quest": 0.5}, "deterministic", False),
    "unmasked": ({"fine": 0.25, "krist": 0.25, "quest": 0.5}, "deterministic", True),
}
# Each metric was chosen by a pilot of two seeds an arm, before any run of this recipe, whose own seeds must confirm it:
# accuracy cannot show effects as small as the paper's of chunks, sampling and Krist. `effect` is the smallest one of
# interest.
FINER: dict[str, Any] = {"metric": HEARING_GAIN, "effect": 0.02}  # nats a token
ABLATIONS = (
    replace(sample.GRANULARITY, **FINER),
    replace(sample.SAMPLING, **FINER),
    lab.Ablation("Synthetic data", "fine", "krist", "with Krist", (40.7, 41.5), PROBABILITY, effect=0.02),
    lab.Ablation("Synthetic data", "fine", "quest", "with Quest", (40.7, 47.9)),
    lab.Ablation("Synthetic data", "fine", "krist_quest", "with Krist and Quest"),
    lab.Ablation("Loss", "unmasked", "krist_quest", "on text alone instead of on speech too", (42.4, 51.8)),
)


@dataclass(frozen=True)
class Dial:
    """The size of a miniature. `base_steps` grow with the facts: no arm can answer what the base LM does not know."""

    world: str  # larger/N/...: 5 N facts
    conversations: int
    notes: int
    base_steps: int
    run_steps: int
    arms: tuple[str, ...] = tuple(ARMS)
    seeds: int = 3
    questions_per_split: int = 0  # 0: every fact is asked about
    salad: int = 1000
    held_out_talks: int = 150


def miniature(name: str, description: str, dial: Dial) -> lab.Recipe:
    """Return the recipe of a dial."""
    of_world = {"world": dial.world, "seed": SEED}
    audio = lab.recordings({"talk": SpokenConversations(recordings=dial.conversations, **of_world)})
    turns = lab.segments(audio)
    clean = lab.transcripts(turns, lab.hypotheses(audio, turns, (sample.WHISPER_BASE, sample.WHISPER_TINY)))
    notes = WrittenNotes(documents=dial.notes, documents_per_page=1, **of_world)
    pages = lab.pages({"site": WorldPages(**of_world), "notes": notes})
    site, check = pages.on("site"), lab.RoundTrip(sample.WHISPER_BASE, sample.MAX_WORD_ERROR_RATE)
    salad = WorldSentences(kind="word_salad", count=dial.salad, **of_world)
    tokens = sample.tokenizers([salad], WorldTexts(documents=2000, talks=500, **of_world))
    sets = {
        "coarse": tokens(lab.chunks(audio, clean, lab.Turns(max_s=16.0), name="web_coarse", seed=SEED)),
        "fine": tokens(lab.chunks(audio, clean, lab.Sentences(), name="web_fine", seed=SEED)),
        "krist": tokens(lab.speech(lab.krist(site), check, seed=SEED)),
        "quest": tokens(lab.speech(lab.quest(site, seed=SEED), check, seed=SEED, voices_per_document=4)),
    }
    text = {tokens(lab.documents(pages)): 1.0}
    base_rows = lab.mix(text=text, rows=dial.base_steps * sample.BASE_BATCH_ROWS, max_epochs=64.0, seed=SEED)
    base = lab.train(base_rows, preset="tiny", **sample.training(dial.base_steps, sample.BASE_BATCH_ROWS, 4e-3))

    def run(arm: str, seed: int) -> lab.Dataset:
        shares, sampling, loss = ARMS[arm]
        how: dict[str, Any] = {"sampling": sampling, "loss_on_speech": loss, "text_share": 0.15, "max_epochs": 64.0}
        speech = {sets[one]: share for one, share in shares.items()}
        rows = lab.mix(speech=speech, text=text, rows=dial.run_steps * sample.BATCH_ROWS, seed=seed, **how)
        return lab.train(rows, base=base, **sample.training(dial.run_steps, sample.BATCH_ROWS, 3e-3, seed=seed))

    world = SampleWorld(world=dial.world, name="miniature_world", max_questions_per_split=dial.questions_per_split)
    board = lab.leaderboard(
        {arm: [run(arm, SEED + seed) for seed in range(dial.seeds)] for arm in dial.arms},
        lab.questions(world, **sample.ASKING),
        ablations=[row for row in ABLATIONS if {row.before, row.after} <= set(dial.arms)],
        judging=sample.judging(dial.world, held_out_talks=dial.held_out_talks),
        title="The paper's data ablations in miniature",
        seed=SEED,
    )
    return lab.Recipe(name, board, description=description)


MINIATURE = miniature(
    "miniature",
    "The paper's data ablations at toy scale over five seeds: projected seven CPU hours",
    Dial("larger/800/20260101/77f5184329c6b1c3", 2500, 40_000, 10_000, 2000, seeds=5, questions_per_split=2000),
)
LOW_ARMS = ("coarse_stochastic", "fine_stochastic", "fine", "quest")
MINIATURE_LOW = miniature(
    "miniature_low",
    "The miniature with the dial down: four arms over three seeds in half an hour of a CPU",
    Dial("larger/80/20260101/8adb40872f132212", 250, 4000, 1000, 400, LOW_ARMS, salad=300, held_out_talks=40),
)
