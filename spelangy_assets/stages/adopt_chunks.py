"""adopted_chunks: chunks that another pipeline made, kept unchanged after a check of each.

Put here: from utterances that came with recordings to chunks. Do not put here: reading manifests, shards or sound
(ingest_audio and its readers), or new boundaries: chunk_speech makes them, for recordings with a transcript too.

Input `raw_audio`. An utterance of a manifest is a chunk: its times, speaker and words are kept. They are checked as far
as they can be measured: a chunk lasts as long as its sound, and the filters of web speech (paces, loops, durations,
languages) apply with the same drop reasons. A language that came with the recording is taken as true; otherwise it is
detected in the text where that is long enough. A document is a run of chunks of one recording. An utterance that is
alone in its file is a document of one chunk, which interleaving always takes as speech and never as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.stage_parts.columns import GIVEN_COLUMNS
from spelangy_assets.stage_parts.contracts import CHUNKS_BOUNDS, CHUNKS_DRIFTS, CHUNKS_SQL
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.audio.filters import Drop, FilterLimits, first_drop
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac, encode_flac, is_silent
from spelangy_model.audio.language import LanguageVote, language_code, vote_language
from spelangy_model.audio.turns import Turn, segment_id
from spelangy_model.audio.words import spread, text_of
from spelangy_model.records import Audio, Chunk, DroppedTranscript, Recording, Segment, Transcript, Utterance
from spelangy_model.rng import stable_hash

VERSION = "2"
TABLES: dict[str, type] = {"chunks": Chunk, "dropped": DroppedTranscript}
INDEPENDENT_UNITS = True
_GIVEN = "given"


@dataclass(frozen=True)
class Config:
    """What is good enough, as in clean_transcripts; and when a document ends.

    It ends before a gap of more than `max_document_gap_s`, or when it has `max_document_chunks`.
    """

    language: LanguageVote = field(default_factory=LanguageVote)
    limits: FilterLimits = field(default_factory=FilterLimits)
    max_document_gap_s: float = 10.0
    max_document_chunks: int = 64


# Most chunks that were made elsewhere are good; otherwise the manifest is wrong: its keys, times or language.
CONTRACT = Contract(
    "adopted_chunks",
    CHUNKS_SQL.format(
        more=""",
           count(*) FILTER (end_s - start_s > 60) AS chunks_over_60_s,
           (SELECT records_dropped / greatest(records_in, 1) FROM counts) AS share_dropped,
           (SELECT records_in - records_kept - records_dropped FROM counts) AS unaccounted,
           count(*) FILTER (licence = 'unknown') / greatest(count(*), 1) AS share_of_unknown_licence,
           (SELECT count(*) FILTER (size = 1) / greatest(count(*), 1)
            FROM (SELECT count(*) AS size FROM chunks GROUP BY document_id)) AS share_of_documents_of_one_chunk"""
    ),
    (
        Bound("chunks", 1),
        *CHUNKS_BOUNDS,
        exactly("chunks_over_60_s"),  # what tokenizing refuses
        exactly("unaccounted"),
        Bound("share_dropped", 0, 0.5),
        Bound("share_dropped", 0, 0.1, "warn"),
        Bound("share_of_unknown_licence", 0, 0.5, "warn"),
        Bound("share_of_documents_of_one_chunk", 0, 0.5, "warn"),  # they are always taken as speech
    ),
    CHUNKS_DRIFTS,
)

KIND = DatasetKind(
    group="chunks",
    description="Chunks that another pipeline made, by its manifests; each is checked and none is cut anew.",
    contract=CONTRACT,
    kinds=("audio", "table"),
    takes={"raw_audio": Recording},
    columns={
        "document_id": ("raw_audio.recording_id",),
        "source_id": ("raw_audio.recording_id",),
        "source_url": ("raw_audio.source_url",),
        "licence": ("raw_audio.licence",),
        **dict.fromkeys(("speaker", "start_s", "end_s", "text", "spoken_text"), ("raw_audio.utterances",)),
        "audio": GIVEN_COLUMNS,
    },
)


@word
def adopted_chunks(audio: Dataset, *, name: str = "adopted", **options: Any) -> Dataset:
    """Return the chunks that came with recordings; `options` are fields of Config."""
    return dataset(__name__, config_of(Config, options), name=f"{name}_chunks", label=name, inputs={"raw_audio": audio})


def preflight(config: Config, execution: Execution) -> None:
    """Nothing beyond the package's own requirements is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard of recordings, with one recording in memory at a time."""
    shards = ctx.inputs["raw_audio"].shards("recordings")
    for unit, shard in ctx.out.pending(shards):
        with ctx.out.unit(unit) as out:
            for recording in shard.iter_records(Recording, batch_rows=1):
                if not recording.has_transcript:
                    out.read(1)
                    out.drop("no_transcript")
                    continue
                out.read(len(recording.utterances))
                chunks = list(_chunks(recording, config, out))
                out.write("chunks", chunks)
                out.add("documents", len({chunk.document_id for chunk in chunks}))
                out.add("hours_kept", sum(chunk.duration_s for chunk in chunks) / 3600)
        ctx.log(f"looked at shard {unit + 1} of {len(shards)}")


def _chunks(recording: Recording, config: Config, out: UnitWriter) -> Iterator[Chunk]:
    samples = decode_flac(recording.audio.bytes)
    utterances = sorted(recording.utterances, key=lambda u: (u.start_s, u.end_s, u.speaker))
    spoken = language_code(recording.language)
    if not spoken:
        spoken, _ = vote_language("", 0.0, "\n".join(u.text for u in utterances), config.language)
    seen: set[tuple[float, float, str]] = set()
    document, index, ended_s = 0, 0, 0.0
    for utterance in utterances:
        clip = samples[round(utterance.start_s * SAMPLE_RATE_HZ) : round(utterance.end_s * SAMPLE_RATE_HZ)]
        start_s = round(utterance.start_s * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
        end_s = start_s + len(clip) / SAMPLE_RATE_HZ
        transcript = _transcript(recording, utterance, start_s, end_s, spoken)
        drop = _objection(transcript, clip, seen, config)
        if drop is not None:
            out.drop(drop.reason)
            out.write("dropped", [_dropped(transcript, drop)])
            continue
        seen.add((start_s, end_s, transcript.text))
        if index and (start_s - ended_s > config.max_document_gap_s or index >= config.max_document_chunks):
            document, index = document + 1, 0
        yield _chunk(recording, transcript, clip, document, index)
        index, ended_s = index + 1, max(ended_s, end_s)


def _transcript(recording: Recording, utterance: Utterance, start_s: float, end_s: float, language: str) -> Transcript:
    words = spread(utterance.text, start_s, end_s)
    return Transcript(
        segment_id=segment_id(recording.recording_id, Turn(start_s, end_s, utterance.speaker)),
        recording_id=recording.recording_id,
        speaker=utterance.speaker,
        start_s=start_s,
        end_s=end_s,
        language=language,
        text=text_of(words),
        words=words,
        systems=[_GIVEN],
        votes=[],
        agreement=1.0,
        confidence=1.0,
    )


def _objection(
    transcript: Transcript, clip: np.ndarray, seen: set[tuple[float, float, str]], config: Config
) -> Drop | None:
    if not len(clip) or is_silent(clip):
        return Drop("silent", f"there is no sound in its {len(clip) / SAMPLE_RATE_HZ:.2f} s")
    if (transcript.start_s, transcript.end_s, transcript.text) in seen:
        return Drop("duplicate", "the same words at the same time, by another speaker")
    whole = Segment(
        segment_id=transcript.segment_id,
        recording_id=transcript.recording_id,
        start_s=transcript.start_s,
        end_s=transcript.end_s,
        speaker=transcript.speaker,
        overlap_s=0.0,
    )
    return first_drop(transcript, whole, config.limits)


def _chunk(recording: Recording, transcript: Transcript, clip: np.ndarray, document: int, index: int) -> Chunk:
    document_id = stable_hash("adopted", recording.recording_id, document)
    chunk_id = stable_hash("chunk", document_id, index)
    return Chunk(
        chunk_id=chunk_id,
        document_id=document_id,
        index=index,
        role="speech",
        source_id=recording.recording_id,
        source_url=recording.source_url,
        licence=recording.licence,
        speaker=transcript.speaker,
        accent="",
        start_s=transcript.start_s,
        end_s=transcript.end_s,
        text=transcript.text,
        spoken_text=transcript.text,
        audio=Audio(encode_flac(clip), f"{chunk_id}.flac"),
    )


def _dropped(transcript: Transcript, drop: Drop) -> DroppedTranscript:
    return DroppedTranscript(
        segment_id=transcript.segment_id,
        recording_id=transcript.recording_id,
        speaker=transcript.speaker,
        start_s=transcript.start_s,
        end_s=transcript.end_s,
        reason=drop.reason,
        detail=drop.detail,
        text=transcript.text,
    )
