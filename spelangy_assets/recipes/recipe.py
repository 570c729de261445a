"""What a recipe is: the literals from which a whole graph follows.

Put here: the shape of a recipe. Do not put here: any recipe (sample.py, paper.py) or how one becomes a graph
(assemble.py). A recipe holds nothing of where or how fast it is run: that is settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spelangy_assets.stages import (
    account_speech,
    adopt_checkpoint,
    adopt_chunks,
    chunk_speech,
    clean_transcripts,
    cover_topics,
    evaluate,
    extract_text,
    find_contaminated,
    find_contamination,
    find_duplicate_pages,
    find_duplicate_recordings,
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


@dataclass(frozen=True)
class PackagedFolder:
    """A snapshot that the package itself carries, by its path inside spelangy_assets."""

    path: str


@dataclass(frozen=True)
class TranscribedFolder:
    """An audio snapshot in the folder of snapshots in which a `text` of any manifest is what is said in its file."""


@dataclass(frozen=True, kw_only=True)
class WebSpeech:
    """From recordings to chunks."""

    ingest: ingest_audio.Config
    duplicates: find_duplicate_recordings.Config = field(default_factory=find_duplicate_recordings.Config)
    segment: segment_speech.Config
    recognize: recognize.Config
    clean: clean_transcripts.Config
    coarse: chunk_speech.Config
    fine: chunk_speech.Config
    ledger: account_speech.Config
    page: write_chunk_page.Config


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """From pages to documents and synthetic speech."""

    ingest: ingest_pages.Config
    duplicates: find_duplicate_pages.Config = field(default_factory=find_duplicate_pages.Config)
    text: extract_text.Config
    krist: write_krist.Config
    krist_speech: speak.Config
    quest: mine_quest.Config
    quest_speech: speak.Config
    round_trip: round_trip.Config
    page: write_synthetic_page.Config


@dataclass(frozen=True, kw_only=True)
class Tokenizers:
    """Fixed by the recipe, never by a snapshot: a new crawl must not retokenize what is there."""

    corpus: tokenizer_corpus.Config
    speech: speech_tokenizer.Config
    text: text_tokenizer.Config
    max_chunk_tokens: int  # of a text-only document: a longer one is cut at paragraphs


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The snapshots that a token set's roll-up stands for; explicit, so that a new crawl does not make runs stale."""

    snapshots: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A SpeechLM trained on a mix, from the base LM."""

    mix: str
    train: train_lm.Config


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Questions, scores and analyses."""

    benchmark: write_benchmark.Config
    evaluate: evaluate.Config
    text_skill: text_skill.Config
    topics: cover_topics.Config
    contamination: find_contamination.Config
    leaderboard: leaderboard.Config
    systems: tuple[score_system.Config, ...] = ()  # what a user would take instead of a run


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole experiment: sources, datasets, mixes, runs, evaluations.

    `corpora` names for each token set (web_coarse, web_fine, adopted, krist, quest, text) the snapshots to draw on; one
    that it does not name is not made. `adopted_speech` takes chunks that another pipeline made, `adopted_checkpoints`
    puts models that were made elsewhere in the place of those that it names: text_tokenizer, speech_tokenizer, base_lm;
    run_NAME adds a SpeechLM to those that are trained (docs/adoption.md).
    `decontaminate` leaves documents with words of the benchmarks out of every mix; None leaves them in.
    """

    name: str
    description: str
    audio_snapshots: Mapping[str, object]
    page_snapshots: Mapping[str, object]
    web_speech: WebSpeech
    synthetic: Synthetic
    tokenizers: Tokenizers
    corpora: Mapping[str, Corpus]
    mixes: Mapping[str, mix.Config]
    base_lm: train_lm.Config
    base_mix: mix.Config
    runs: Mapping[str, Run]
    evaluation: Evaluation
    decontaminate: find_contaminated.Config | None = None
    adopted_speech: adopt_chunks.Config | None = None
    adopted_checkpoints: Mapping[str, adopt_checkpoint.Checkpoint] = field(default_factory=dict)
