"""Recipe `sample`: the whole system in minutes on two cores, offline; `tiny` is the same program in less.

Put here: the literals of the embedded recipes. Do not put here: anything computed from the machine. Every choice of a
model is by name: a part that is missing ends in a preflight error, never in a silent stand-in.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets import lab
from spelangy_assets.sample.notes import WrittenNotes
from spelangy_assets.sample.sources import HELD_OUT, SampleWorld, SentenceKind, WorldSentences, WorldTexts
from spelangy_assets.sample.spoken import SpokenConversations
from spelangy_model.audio.asr import FasterWhisper, WhisperTimestamped
from spelangy_model.audio.tts import Voice
from spelangy_model.audio.tts.espeak import ACCENTS, voices_of
from spelangy_model.eval.systems import Cascade

WORLD = "c18c7832f160706203ee23bdae444832f4b4c30895140563837c1a954974a5e2"  # the facts and wordings of the sample world
SEED = 20260101

# Krist and Quest speak in five accents, the tokenizer is trained on four of them; a sixth is in the questions alone.
TOKENIZER_ACCENTS = tuple(accent for accent in ACCENTS if accent != "en-029")
HELD_OUT_VOICES = tuple(Voice(name=f"en-gb-x-gbclan+{variant}", accent="en-gb-x-gbclan") for variant in ("m1", "f5"))

WHISPER_BASE = FasterWhisper(name="whisper-base", model="package:base", beam_size=1)
WHISPER_TINY = WhisperTimestamped(name="whisper-tiny.en", model="package:tiny.en")
# Of espeak-ng's words Whisper base gets 0.2 to 0.3 wrong.
CHECK = {"recognizer": WHISPER_BASE, "max_word_error_rate": 0.5}

ROW_TOKENS, BATCH_ROWS, BASE_BATCH_ROWS = 256, 5, 6


@dataclass(frozen=True, kw_only=True)
class Size:
    """What `sample` and `tiny` have otherwise."""

    name: str
    description: str
    crawls: tuple[str, ...]
    audio: str
    conversations: int
    notes: int
    notes_per_page: int
    quest_voices: int
    checked_chunks: int
    sentences: dict[SentenceKind, int]
    tokenizer_documents: int
    tokenizer_talks: int
    steps: int
    mix_rows: int
    max_epochs: float
    questions_per_split: int
    held_out_texts: int
    asked_of_systems: int


def text_skill(held_out_texts: int) -> lab.TextSkill:
    """Return the tasks of text skill: the questions as they are written, and texts that no mix holds."""
    return lab.TextSkill(
        seed=SEED,
        tasks=(lab.TaskChoice("own_questions"), lab.TaskChoice("held_out_text")),
        max_questions=400,
        held_out=WorldTexts(world=WORLD, seed=SEED, first=HELD_OUT, documents=held_out_texts),
    )


def judging(held_out_texts: int = 100) -> lab.Judging:
    """Return how the sample's runs are judged; an experiment on top of it judges its own alike."""
    return lab.Judging(
        evaluation={"seed": SEED},
        text_skill=text_skill(held_out_texts),
        topics={"seed": SEED, "max_documents": 100},
    )


def build(size: Size) -> lab.Recipe:
    """Return the recipe of a size."""
    audio = lab.recordings(
        {
            **{name: lab.Packaged(f"{size.audio}/{name}") for name in size.crawls},
            "talk": SpokenConversations(world=WORLD, seed=SEED, recordings=size.conversations),
        }
    )
    turns = lab.segments(audio)
    words = lab.hypotheses(audio, turns, systems=(WHISPER_BASE, WHISPER_TINY))
    clean = lab.transcripts(turns, words)
    coarse = lab.chunks(audio, clean, lab.Turns(max_s=16.0), name="web_coarse", seed=SEED)  # a chunk fits into a row
    fine = lab.chunks(audio, clean, lab.Sentences(), name="web_fine", seed=SEED)

    notes = WrittenNotes(world=WORLD, seed=SEED, documents=size.notes, documents_per_page=size.notes_per_page)
    pages = lab.pages({**{name: lab.Packaged(f"snapshots/pages/{name}") for name in size.crawls}, "notes": notes})
    crawled = pages.on(*size.crawls)
    check = lab.RoundTrip(**CHECK, sample_chunks=size.checked_chunks)
    krist = lab.speech(lab.krist(crawled), check, seed=SEED)
    quest = lab.speech(lab.quest(crawled, seed=SEED), check, seed=SEED, voices_per_document=size.quest_voices)

    sentences = [WorldSentences(world=WORLD, seed=SEED, kind=kind, count=n) for kind, n in size.sentences.items()]
    trained_voices = voices_of(TOKENIZER_ACCENTS)
    texts = WorldTexts(world=WORLD, seed=SEED, documents=size.tokenizer_documents, talks=size.tokenizer_talks)
    tokens = lab.Tokens(
        speech=lab.speech_tokenizer(lab.tokenizer_speech(*sentences, seed=SEED, voices=trained_voices)),
        text=lab.text_tokenizer(lab.Trained((texts,), vocab_size=1300)),
    )
    coarse_tokens, fine_tokens, krist_tokens, quest_tokens = (tokens(one) for one in (coarse, fine, krist, quest))
    text = tokens(lab.documents(pages))

    base_rows = lab.mix(text={text: 1.0}, rows=size.steps * BASE_BATCH_ROWS, row_tokens=ROW_TOKENS, seed=SEED)
    base = lab.train(base_rows, preset="tiny", **training(size.steps, BASE_BATCH_ROWS, 4e-3, size.steps // 10))
    mixes = {
        arm: lab.mix(
            speech=speech,
            text={text: 1.0},
            text_share=0.15,
            rows=size.mix_rows,
            row_tokens=ROW_TOKENS,
            sampling=sampling,
            max_epochs=size.max_epochs,
            seed=SEED,
        )
        for arm, speech, sampling in (
            ("coarse_stochastic", {coarse_tokens: 1.0}, "stochastic"),
            ("fine_stochastic", {fine_tokens: 1.0}, "stochastic"),
            ("fine", {fine_tokens: 1.0}, "deterministic"),
            ("quest", {fine_tokens: 0.06, krist_tokens: 0.06, quest_tokens: 0.88}, "deterministic"),
        )
    }
    arms = {arm: lab.train(rows, base=base, **training(size.steps, BATCH_ROWS, 3e-3)) for arm, rows in mixes.items()}

    world = SampleWorld(world=WORLD, max_questions_per_split=size.questions_per_split)
    questions = lab.questions(world, seed=SEED, trained_voices=trained_voices, held_out_voices=HELD_OUT_VOICES)
    cascade = lab.system(
        questions, Cascade(WHISPER_BASE), name="cascade", text_lm=base, seed=SEED, max_questions=size.asked_of_systems
    )
    board = lab.leaderboard(
        arms,
        questions,
        ablations=(
            lab.Ablation("Granularity", "coarse_stochastic", "fine_stochastic", "coarse to fine chunks", (37.6, 40.7)),
            lab.Ablation("Modality sampling", "fine_stochastic", "fine", "stochastic to deterministic", (41.4, 42.4)),
            lab.Ablation("Synthetic data", "fine", "quest", "with Quest, and some Krist"),
        ),
        systems=(cascade,),
        judging=judging(size.held_out_texts),
        seed=SEED,
    )
    return lab.Recipe(size.name, board, description=size.description, follows_snapshots=size.name == "sample")


def training(steps: int, batch_rows: int, learning_rate: float, warmup_steps: int | None = None) -> dict:
    """Return the options of a training run of the sample's size."""
    return {
        "steps": steps,
        "batch_rows": batch_rows,
        "micro_rows": batch_rows,
        "learning_rate": learning_rate,
        "warmup_steps": steps // 16 if warmup_steps is None else warmup_steps,
        "decay_steps": steps // 2 if warmup_steps is None else 2 * steps // 5,
        "seed": SEED,
    }


SAMPLE_SIZE = Size(
    name="sample",
    description="The whole system in minutes on two cores, offline",
    crawls=("2026-01", "2026-02"),
    audio="snapshots/audio",
    conversations=250,
    notes=4000,
    notes_per_page=1,
    quest_voices=4,
    checked_chunks=60,
    sentences={"word_salad": 1000, "talk": 400, "questions": 400},
    tokenizer_documents=2000,
    tokenizer_talks=500,
    steps=400,
    mix_rows=400 * BATCH_ROWS,
    max_epochs=16.0,
    questions_per_split=0,
    held_out_texts=100,
    asked_of_systems=100,
)
TINY_SIZE = Size(
    name="tiny",
    description="The program of the sample in minutes, for tests: its scores mean nothing",
    crawls=("2026-02",),
    audio="tiny_snapshots/audio",  # two files of the sample's
    conversations=16,
    notes=200,
    notes_per_page=2,
    quest_voices=1,
    checked_chunks=30,
    sentences={"word_salad": 300},
    tokenizer_documents=200,
    tokenizer_talks=50,
    steps=20,
    mix_rows=120 * BATCH_ROWS,  # enough for the exactness of the shares; a run reads the first sixth
    max_epochs=64.0,  # a minute of talk, over and over
    questions_per_split=20,
    held_out_texts=10,
    asked_of_systems=20,
)
SAMPLE, TINY = build(SAMPLE_SIZE), build(TINY_SIZE)
