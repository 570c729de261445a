"""Recipe `sample`: the whole system in minutes on two cores, offline; `tiny` is the same program in less.

Put here: the literals of the embedded recipes. Do not put here: anything computed from the machine. Every choice of a
model is by name: a missing part causes a preflight error, never a silent replacement.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets import lab
from spelangy_assets.recipes.sample_parts import (
    ASKING,
    GRANULARITY,
    MAX_WORD_ERROR_RATE,
    QUEST,
    ROW_TOKENS,
    SAMPLING,
    SEED,
    WHISPER_BASE,
    WHISPER_TIMESTAMPED,
    WHISPER_TINY,
    WORLD,
    judging,
    tokenizers,
    training,
)
from spelangy_assets.sample.notes import WrittenNotes
from spelangy_assets.sample.sources import SampleWorld, SentenceKind, WorldSentences, WorldTexts
from spelangy_assets.sample.spoken import SpokenConversations
from spelangy_model.eval.systems import Cascade

BATCH_ROWS, BASE_BATCH_ROWS = 4, 6  # of a step; the runs of the miniature have more, since no one waits for it


@dataclass(frozen=True, kw_only=True)
class Size:
    """What `sample` and `tiny` have otherwise; the defaults are the sample's."""

    crawls: tuple[str, ...] = ("2026-01", "2026-02")
    audio: str = "snapshots/audio"
    pages: str = "snapshots/pages"
    conversations: int = 160
    notes: int = 4000
    notes_per_page: int = 1
    quest_voices: int = 4
    checked_chunks: int = 60
    sentences: tuple[tuple[SentenceKind, int], ...] = (("word_salad", 1000), ("talk", 400), ("questions", 400))
    tokenizer_texts: tuple[int, int] = (2000, 500)  # documents and talks
    steps: int = 400
    mix_rows: int = 400 * BATCH_ROWS
    max_epochs: float = 16.0
    questions_per_split: int = 0
    held_out_texts: int = 100
    questions_to_systems: int = 100
    timed_windows: int = 2


def build(name: str, description: str, size: Size) -> lab.Recipe:
    """Return the recipe of a size."""
    talk = SpokenConversations(world=WORLD, seed=SEED, recordings=size.conversations)
    crawls = {one: lab.Packaged(f"{size.audio}/{one}") for one in size.crawls}
    audio = lab.recordings({**crawls, "talk": talk}, recordings_per_unit=40)  # small units, for a progress one sees
    turns = lab.segments(audio)
    words = lab.hypotheses(audio, turns, systems=(WHISPER_BASE, WHISPER_TINY))
    clean = lab.transcripts(turns, words)
    coarse = lab.chunks(audio, clean, lab.Turns(max_s=16.0), name="web_coarse", seed=SEED)  # a chunk fits into a row
    fine = lab.chunks(audio, clean, lab.Sentences(), name="web_fine", seed=SEED)

    notes = WrittenNotes(world=WORLD, seed=SEED, documents=size.notes, documents_per_page=size.notes_per_page)
    pages = lab.pages({**{one: lab.Packaged(f"{size.pages}/{one}") for one in size.crawls}, "notes": notes})
    crawled = pages.on(*size.crawls)
    check = lab.RoundTrip(WHISPER_BASE, MAX_WORD_ERROR_RATE, sample_chunks=size.checked_chunks)
    krist = lab.speech(lab.krist(pages.on(size.crawls[-1])), check, seed=SEED)  # a run reads a third of it
    quest = lab.speech(lab.quest(crawled, seed=SEED), check, seed=SEED, voices_per_document=size.quest_voices)

    sentences = [WorldSentences(world=WORLD, seed=SEED, kind=kind, count=count) for kind, count in size.sentences]
    documents, talks = size.tokenizer_texts
    tokens = tokenizers(sentences, WorldTexts(world=WORLD, seed=SEED, documents=documents, talks=talks))
    text = tokens(lab.documents(pages))
    base_rows = lab.mix(text={text: 1.0}, rows=size.steps * BASE_BATCH_ROWS, row_tokens=ROW_TOKENS, seed=SEED)
    shape = {"text_share": 0.15, "rows": size.mix_rows, "row_tokens": ROW_TOKENS, "max_epochs": size.max_epochs}
    drawn: dict[str, tuple[dict[lab.Dataset, float], lab.Sampling]] = {
        "coarse_stochastic": ({tokens(coarse): 1.0}, "stochastic"),
        "fine_stochastic": ({tokens(fine): 1.0}, "stochastic"),
        "fine": ({tokens(fine): 1.0}, "deterministic"),
        "quest": ({tokens(fine): 0.06, tokens(krist): 0.06, tokens(quest): 0.88}, "deterministic"),
    }
    mixes = {
        arm: lab.mix(speech=speech, text={text: 1.0}, sampling=sampling, seed=SEED, **shape)
        for arm, (speech, sampling) in drawn.items()
    }
    base = lab.train(base_rows, preset="tiny", **training(size.steps, BASE_BATCH_ROWS, 4e-3, warmup=10, decay=0.4))
    arms = {arm: lab.train(rows, base=base, **training(size.steps, BATCH_ROWS, 3e-3)) for arm, rows in mixes.items()}

    world = SampleWorld(world=WORLD, max_questions_per_split=size.questions_per_split)
    questions = lab.questions(world, **ASKING)
    asked = {"seed": SEED, "max_questions": size.questions_to_systems}
    board = lab.leaderboard(
        arms,
        questions,
        ablations=(GRANULARITY, SAMPLING, QUEST),
        systems=(lab.system(questions, Cascade(WHISPER_BASE), name="cascade", text_lm=base, **asked),),
        judging=judging(held_out_texts=size.held_out_texts),
        seed=SEED,
    )
    leaves = [board]
    if size.timed_windows:
        # The words of two implementations of Whisper on the same weights, side by side with their times. A window takes
        # whisper-timestamped three times the processor time of CTranslate2, so it recognizes a few.
        both = (WHISPER_TINY, WHISPER_TIMESTAMPED)
        first = audio.on(size.crawls[0])
        leaves.append(lab.corpus(lab.hypotheses(first, turns, both, max_windows=size.timed_windows, name="word_times")))
    return lab.Recipe(name, *leaves, description=description, follows_snapshots=name == "sample")


TINY_SIZE = Size(
    crawls=("2026-02",),
    audio="tiny_snapshots/audio",  # two files of the sample's
    pages="tiny_snapshots/pages",  # one of its archives
    conversations=16,
    notes=200,
    notes_per_page=2,
    quest_voices=1,
    checked_chunks=10,
    sentences=(("word_salad", 300),),
    tokenizer_texts=(200, 50),
    steps=8,
    mix_rows=600,  # enough for the exactness of the shares; a run reads the first 32
    max_epochs=64.0,  # a minute of talk, over and over
    questions_per_split=20,
    held_out_texts=10,
    questions_to_systems=20,
    timed_windows=0,
)
SAMPLE = build("sample", "The whole system in minutes on two cores, offline", Size())
TINY = build("tiny", "The program of the sample in minutes, for tests: its scores mean nothing", TINY_SIZE)
