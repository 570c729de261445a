"""Recipe `sample`: the whole system in minutes on two cores, offline, and `tiny`, the same graph in less.

Put here: the literals of the embedded recipes. Do not put here: anything computed from the machine. Every choice
of model is by name: a part that is missing ends in a preflight error, never in a silent stand-in.
"""

from __future__ import annotations

from dataclasses import replace

from spelangy_assets.recipes.recipe import (
    Corpus,
    Evaluation,
    PackagedFolder,
    Recipe,
    Run,
    Synthetic,
    Tokenizers,
    WebSpeech,
)
from spelangy_assets.report.leaderboard_page import Ablation
from spelangy_assets.sample.notes import WrittenNotes
from spelangy_assets.sample.spoken import SpokenConversations
from spelangy_assets.stages import (
    account_speech,
    chunk_speech,
    clean_transcripts,
    cover_topics,
    evaluate,
    extract_text,
    find_contamination,
    ingest_audio,
    ingest_pages,
    leaderboard,
    mine_quest,
    mix,
    recognize,
    round_trip,
    score_system,
    segment_speech,
    speak,
    speech_tokenizer,
    text_skill,
    text_tokenizer,
    tokenizer_corpus,
    train_lm,
    write_benchmark,
    write_chunk_page,
    write_krist,
    write_synthetic_page,
)
from spelangy_assets.stages.text_skill import TaskChoice
from spelangy_assets.stages.tokenizer_corpus import Sentences
from spelangy_model.audio.asr import FasterWhisper, WhisperTimestamped
from spelangy_model.audio.tts.espeak import ACCENTS, voices_of
from spelangy_model.audio.tts.protocol import Voice
from spelangy_model.data.interleave import Interleaving, Sampling
from spelangy_model.data.mixture import Mixture, Proportion, Source
from spelangy_model.eval.systems import Cascade

WORLD = "c18c7832f160706203ee23bdae444832f4b4c30895140563837c1a954974a5e2"  # the facts and wordings of the sample world
SEED = 20260101

# Krist and Quest speak in five accents, the tokenizer is trained on four of them; a sixth is in the questions alone.
TOKENIZER_ACCENTS = tuple(accent for accent in ACCENTS if accent != "en-029")
HELD_OUT_VOICES = tuple(Voice(name=f"en-gb-x-gbclan+{variant}", accent="en-gb-x-gbclan") for variant in ("m1", "f5"))

ROW_TOKENS = 256
BATCH_ROWS = 5
BASE_BATCH_ROWS = 6


def _mixture(
    sources: dict[str, float],
    rows: int,
    sampling: Sampling = "deterministic",
    text_share: float = 0.15,
    max_epochs: float = 16.0,
) -> mix.Config:
    return mix.Config(
        mixture=Mixture(
            sources=tuple(
                Source(f"{source}_tokens", "text" if source == "text" else "speech_text", Proportion(share))
                for source, share in sources.items()
            ),
            rows=rows,
            row_length=ROW_TOKENS,
            text_share=text_share,
            interleaving=Interleaving(sampling=sampling, loss_on_speech=False),
            max_epochs=max_epochs,
            seed=SEED,
        )
    )


def _mixes(rows: int, max_epochs: float = 16.0) -> dict[str, mix.Config]:
    quest = {"web_fine": 0.06, "krist": 0.06, "quest": 0.88, "text": 1.0}
    return {
        "coarse_stochastic": _mixture({"web_coarse": 1.0, "text": 1.0}, rows, "stochastic", max_epochs=max_epochs),
        "fine_stochastic": _mixture({"web_fine": 1.0, "text": 1.0}, rows, "stochastic", max_epochs=max_epochs),
        "fine": _mixture({"web_fine": 1.0, "text": 1.0}, rows, max_epochs=max_epochs),
        "quest": _mixture(quest, rows, max_epochs=max_epochs),
    }


RUNS = ("coarse_stochastic", "fine_stochastic", "fine", "quest")


def _base_training(steps: int) -> train_lm.Config:
    return train_lm.Config(
        steps=steps,
        batch_rows=BASE_BATCH_ROWS,
        micro_rows=BASE_BATCH_ROWS,
        learning_rate=4e-3,
        warmup_steps=steps // 10,
        decay_steps=2 * steps // 5,
        seed=SEED,
        preset="tiny",
    )


def _run_training(steps: int) -> train_lm.Config:
    return train_lm.Config(
        steps=steps,
        batch_rows=BATCH_ROWS,
        micro_rows=BATCH_ROWS,
        learning_rate=3e-3,
        warmup_steps=steps // 16,
        decay_steps=steps // 2,
        seed=SEED,
    )


SAMPLE = Recipe(
    name="sample",
    description="The whole system in minutes on two cores, offline",
    audio_snapshots={
        "2026-01": PackagedFolder("sample/snapshots/audio/2026-01"),
        "2026-02": PackagedFolder("sample/snapshots/audio/2026-02"),
        "talk": SpokenConversations(world=WORLD, seed=SEED, recordings=250),
    },
    page_snapshots={
        "2026-01": PackagedFolder("sample/snapshots/pages/2026-01"),
        "2026-02": PackagedFolder("sample/snapshots/pages/2026-02"),
        "notes": WrittenNotes(world=WORLD, seed=SEED, documents=4000, documents_per_page=1),
    },
    web_speech=WebSpeech(
        ingest=ingest_audio.Config(),
        segment=segment_speech.Config(),
        recognize=recognize.Config(
            systems=(
                FasterWhisper(name="whisper-base", model="package:base", beam_size=1),
                WhisperTimestamped(name="whisper-tiny.en", model="package:tiny.en"),
            ),
        ),
        clean=clean_transcripts.Config(),
        coarse=chunk_speech.Config(kind="coarse", max_chunk_s=16.0),  # a chunk has to fit into a row
        fine=chunk_speech.Config(kind="fine"),
        ledger=account_speech.Config(seed=SEED),
        page=write_chunk_page.Config(),
    ),
    synthetic=Synthetic(
        ingest=ingest_pages.Config(),
        text=extract_text.Config(),
        krist=write_krist.Config(),
        krist_speech=speak.Config(seed=SEED),
        quest=mine_quest.Config(seed=SEED),
        quest_speech=speak.Config(seed=SEED, voices_per_document=4),
        round_trip=round_trip.Config(
            recognizer=FasterWhisper(name="whisper-base", model="package:base", beam_size=1),
            max_word_error_rate=0.5,  # of espeak-ng's words it gets 0.2 to 0.3 wrong
        ),
        page=write_synthetic_page.Config(),
    ),
    tokenizers=Tokenizers(
        corpus=tokenizer_corpus.Config(
            seed=SEED,
            world=WORLD,
            sentences=(Sentences("word_salad", 1000), Sentences("talk", 400), Sentences("questions", 400)),
            voices=voices_of(TOKENIZER_ACCENTS),
        ),
        speech=speech_tokenizer.Config(source="shipped"),
        text=text_tokenizer.Config(seed=SEED, world=WORLD, documents=2000, talks=500, vocab_size=1300),
        max_chunk_tokens=128,
    ),
    corpora={
        "web_coarse": Corpus(snapshots=("2026-01", "2026-02", "talk")),
        "web_fine": Corpus(snapshots=("2026-01", "2026-02", "talk")),
        "krist": Corpus(snapshots=("2026-01", "2026-02")),
        "quest": Corpus(snapshots=("2026-01", "2026-02")),
        "text": Corpus(snapshots=("2026-01", "2026-02", "notes")),
    },
    base_mix=_mixture({"text": 1.0}, 400 * BASE_BATCH_ROWS, text_share=1.0),
    mixes=_mixes(400 * BATCH_ROWS),
    base_lm=_base_training(400),
    runs={name: Run(mix=name, train=_run_training(400)) for name in RUNS},
    evaluation=Evaluation(
        benchmark=write_benchmark.Config(
            seed=SEED, world=WORLD, trained_voices=voices_of(TOKENIZER_ACCENTS), held_out_voices=HELD_OUT_VOICES
        ),
        evaluate=evaluate.Config(seed=SEED),
        systems=(
            score_system.Config(
                seed=SEED,
                name="cascade",
                description="Whisper base, then base_lm on what it wrote down",
                system=Cascade(FasterWhisper(name="whisper-base", model="package:base", beam_size=1)),
                max_questions=100,
            ),
        ),
        text_skill=text_skill.Config(
            seed=SEED,
            tasks=(TaskChoice("own_questions"), TaskChoice("held_out_text")),
            max_questions=400,
            world=WORLD,
            held_out_documents=100,
        ),
        topics=cover_topics.Config(seed=SEED, max_documents=100),
        contamination=find_contamination.Config(),
        leaderboard=leaderboard.Config(
            seed=SEED,
            ablations=(
                Ablation(
                    "Granularity", "coarse to fine chunks", "run_coarse_stochastic", "run_fine_stochastic", 37.6, 40.7
                ),
                Ablation(
                    "Modality sampling", "stochastic to deterministic", "run_fine_stochastic", "run_fine", 41.4, 42.4
                ),
                Ablation("Synthetic data", "with Krist and Quest", "run_fine", "run_quest", 40.7, 47.9),
            ),
        ),
    ),
)


def tiny(recipe: Recipe) -> Recipe:
    """Turn the dial down: the same graph over a minute of rendered talk, few pages, twenty steps."""
    rows = 120 * BATCH_ROWS  # enough for the exactness of the shares; a run reads the first sixth
    return replace(
        recipe,
        name="tiny",
        description="The graph of the sample in minutes, for tests: its scores mean nothing",
        audio_snapshots={
            "2026-02": PackagedFolder("sample/tiny_snapshots/audio/2026-02"),  # two files of the sample's
            "talk": SpokenConversations(world=WORLD, seed=SEED, recordings=16),
        },
        page_snapshots={
            "2026-02": recipe.page_snapshots["2026-02"],
            "notes": WrittenNotes(world=WORLD, seed=SEED, documents=200, documents_per_page=2),
        },
        synthetic=replace(
            recipe.synthetic,
            quest_speech=replace(recipe.synthetic.quest_speech, voices_per_document=1),
            round_trip=replace(recipe.synthetic.round_trip, sample_chunks=30),
        ),
        tokenizers=replace(
            recipe.tokenizers,
            corpus=replace(recipe.tokenizers.corpus, sentences=(Sentences("word_salad", 300),)),
            text=replace(recipe.tokenizers.text, documents=200, talks=50),
        ),
        corpora={
            name: Corpus(snapshots=tuple(s for s in corpus.snapshots if s != "2026-01"))
            for name, corpus in recipe.corpora.items()
        },
        base_mix=_mixture({"text": 1.0}, 20 * BASE_BATCH_ROWS, text_share=1.0),
        mixes=_mixes(rows, max_epochs=64.0),  # a minute of talk, over and over
        base_lm=_base_training(20),
        runs={name: Run(mix=name, train=_run_training(20)) for name in recipe.runs},
        evaluation=replace(
            recipe.evaluation,
            benchmark=replace(recipe.evaluation.benchmark, max_questions_per_split=20),
            systems=tuple(replace(system, max_questions=20) for system in recipe.evaluation.systems),
            text_skill=replace(recipe.evaluation.text_skill, held_out_documents=10),
        ),
    )


TINY = tiny(SAMPLE)

# What `make tokenizer` runs: the shipped checkpoint, trained again.
TOKENIZER = replace(
    SAMPLE,
    name="tokenizer",
    description="Trains the speech tokenizer that the package ships",
    tokenizers=replace(
        SAMPLE.tokenizers,
        corpus=replace(
            SAMPLE.tokenizers.corpus,
            sentences=(Sentences("word_salad", 7800), Sentences("talk", 2000), Sentences("questions", 2000)),
        ),
        speech=speech_tokenizer.Config(source="trained"),
    ),
)
