"""How a miniature is made: from a dial, and arms that differ by what an experiment changes, to a leaderboard.

Put here: what all miniatures share. Do not put here: arms and sizes (miniature.py), or literals of the sample. All arms
start from one base LM and see as many positions, at one share of text, but for those that are matched by loss tokens. A
seed draws an arm anew: its documents, coins and new embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spelangy_assets import lab
from spelangy_assets.recipes import sample_parts as sample
from spelangy_assets.sample.notes import WrittenNotes
from spelangy_assets.sample.site import WorldEntries, WorldQuestions
from spelangy_assets.sample.sources import SampleWorld, SentenceKind, WorldSentences, WorldTexts
from spelangy_assets.sample.spoken import SpokenConversations
from spelangy_model.audio.tts import Voice
from spelangy_model.text.krist import KristRules

# All speech is of two voices at several rates and pitches; the questions are asked at a rate and a pitch beyond these.
VOICES = tuple(Voice(name, "en-us", rate_jitter_wpm=10, pitch_jitter=4) for name in ("en-us+m1", "en-us+f5"))
ASKING_VOICES = tuple(replace(one, rate_wpm=210, rate_jitter_wpm=3, pitch=57, pitch_jitter=1) for one in VOICES)
# On these the codes of the shipped speech tokenizer are measured.
TOKENIZER_SENTENCES: dict[SentenceKind, int] = {"word_salad": 500, "talk": 300, "questions": 200}
MAX_EPOCHS = 1.5  # of each source of a run: a mix that needs more is not made, and its error names the source
MAX_RESTATED_SHARE = 0.1  # of the facts of a page that Krist reads


@dataclass(frozen=True)
class Arm:
    """The shares of an arm's speech, its sampling and its loss; `matches`: the arm whose loss tokens it sees."""

    shares: Mapping[str, float]
    sampling: lab.Sampling = "deterministic"
    loss_on_speech: bool = False
    matches: str = ""


@dataclass(frozen=True)
class Dial:
    """The size of a miniature. `base_steps` grow with the facts: no arm can answer what the base LM does not know."""

    world: str  # larger/N/...: N entities with 5 facts each
    seed: int
    seeds: Mapping[str, int]  # of each arm: seed, seed + 1, ...
    conversations: int
    entries: int  # of each entity, for Krist to read
    notes: int
    base_steps: int
    run_steps: int
    questions_per_split: int  # 0: every fact is asked about
    held_out_talks: int = 150
    quest_voices: int = 3  # how often each Quest document is spoken; 80 entities give few of them


def board(dial: Dial, arms: Mapping[str, Arm], ablations: Sequence[lab.Ablation] = (), **options: Any) -> lab.Dataset:
    """Return the leaderboard of those arms that the dial gives seeds; `options` are those of `lab.leaderboard`."""
    of_world: dict[str, Any] = {"world": dial.world, "seed": dial.seed}
    turns = (2, 6)  # sentences: coarse chunks are 3.7 times as long as fine ones, as the paper's
    talk = SpokenConversations(recordings=dial.conversations, voices=VOICES, turn_sentences=turns, **of_world)
    audio = lab.recordings({"talk": talk})  # it comes with its transcript, which costs nothing to recognize
    segments = lab.segments(audio)
    clean = lab.transcripts(segments, lab.hypotheses(audio, segments, (sample.WHISPER_BASE, sample.WHISPER_TINY)))
    notes = WrittenNotes(documents=dial.notes, documents_per_page=1, **of_world)
    entries, asked = WorldEntries(editions=dial.entries, **of_world), WorldQuestions(**of_world)
    pages = lab.pages({"entries": entries, "questions": asked, "notes": notes})
    krist = lab.krist(pages.on("entries"), rules=KristRules(max_restated_share=MAX_RESTATED_SHARE))
    quest = lab.quest(pages.on("questions"), seed=dial.seed)
    check = lab.RoundTrip(sample.WHISPER_BASE, sample.MAX_WORD_ERROR_RATE)
    spoken: dict[str, Any] = {"seed": dial.seed, "voices": VOICES}
    lines = [WorldSentences(kind=kind, count=count, **of_world) for kind, count in TOKENIZER_SENTENCES.items()]
    codec = lab.speech_tokenizer(lab.tokenizer_speech(*lines, seed=dial.seed, voices=VOICES))
    texts = WorldTexts(documents=2000, talks=500, **of_world)
    tokens = lab.Tokens(codec, lab.text_tokenizer(lab.Trained((texts,), vocab_size=1300)))
    sets = {
        "coarse": tokens(lab.chunks(audio, clean, lab.Turns(max_s=20.0), name="web_coarse", seed=dial.seed)),
        "fine": tokens(lab.chunks(audio, clean, lab.Sentences(), name="web_fine", seed=dial.seed)),
        "krist": tokens(lab.speech(krist, check, **spoken)),
        "quest": tokens(lab.speech(quest, check, voices_per_document=dial.quest_voices, **spoken)),
    }
    text = {tokens(lab.documents(pages.on("notes"))): 1.0}
    base_rows = dial.base_steps * sample.BASE_BATCH_ROWS
    base_mix = lab.mix(text=text, rows=base_rows, max_epochs=64.0, seed=dial.seed)
    how = sample.training(dial.base_steps, sample.BASE_BATCH_ROWS, 4e-3, seed=dial.seed)
    base = lab.train(base_mix, preset="tiny", **how)

    def run(name: str, number: int) -> lab.Dataset:
        arm, seed = arms[name], dial.seed + number
        speech = {sets[one]: share for one, share in arm.shares.items()}
        drawn: dict[str, Any] = {"sampling": arm.sampling, "loss_on_speech": arm.loss_on_speech, "seed": seed}
        rows = dial.run_steps * sample.BATCH_ROWS
        mix = lab.mix(speech=speech, text=text, text_share=0.15, rows=rows, max_epochs=MAX_EPOCHS, **drawn)
        how = sample.training(dial.run_steps, sample.BATCH_ROWS, 3e-3, seed=seed)
        matched = run(arm.matches, number) if arm.matches else None
        return lab.train(mix, base=base, match_loss_tokens_of=matched, **how)

    world = SampleWorld(world=dial.world, name="world", max_questions_per_split=dial.questions_per_split)
    return lab.leaderboard(
        {name: [run(name, number) for number in range(seeds)] for name, seeds in dial.seeds.items()},
        lab.questions(world, seed=dial.seed, trained_voices=ASKING_VOICES, held_out_voices=sample.HELD_OUT_VOICES),
        ablations=[row for row in ablations if {row.before, row.after} <= set(dial.seeds)],
        judging=sample.judging(dial.world, 100, dial.held_out_talks, ASKING_VOICES, dial.seed),
        title="The paper's data ablations in miniature",
        seed=dial.seed,
        **options,
    )
