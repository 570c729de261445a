"""Transcripts and recordings -> chunks of (audio, text); each rule gives a sibling set of one parent.

Put here: from spans to chunks with sound and ids. Do not put here: where a chunk begins and ends
(spelangy_model/audio/chunking.py).

Inputs `raw_audio` and `clean_transcripts`. Transcripts are counted, and all of them are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.stage_parts import contracts
from spelangy_model.audio.chunking import ChunkRule, Sentences, Span, Turns, chunk_recording
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac, encode_flac
from spelangy_model.records import Audio, Chunk, DroppedTranscript, Recording, Transcript
from spelangy_model.rng import stable_hash

VERSION = "5"
TABLES: dict[str, type] = {"chunks": Chunk}
INDEPENDENT_UNITS = True


@dataclass(frozen=True)
class Config:
    """The rule that decides where chunks begin and end."""

    rule: ChunkRule


# Chunks that are cut at sentences end in a sentence's mark, but for turns that break off.
FINE_CHUNKS = Contract(
    "fine_chunks",
    contracts.CHUNKS_SQL.format(
        more=""",
           coalesce(avg(regexp_matches(text, '[.!?\u2026\u3002\uff01\uff1f\u061f\u0964]["'')\u201d\u2019]*$')::INT), 1)
               AS share_that_end_a_sentence"""
    ),
    (
        Bound("chunks", 1, None, "warn"),
        *contracts.CHUNKS_BOUNDS,
        Bound("share_that_end_a_sentence", 0.1, 1),
        Bound("share_that_end_a_sentence", 0.5, 1, "warn"),
    ),
    contracts.CHUNKS_DRIFTS,
)
CONTRACTS = {"fine": FINE_CHUNKS}

KIND = DatasetKind(
    group="chunks",
    description="(audio, text) chunks of {clean_transcripts}.",
    contract=lambda config: FINE_CHUNKS if isinstance(config.rule, Sentences) else contracts.CHUNKS,
    kinds=("audio", "table"),
    takes={"raw_audio": Recording, "clean_transcripts": Transcript},
    columns={
        "document_id": ("raw_audio.recording_id",),
        "source_id": ("raw_audio.recording_id",),
        "source_url": ("raw_audio.source_url",),
        "licence": ("raw_audio.licence",),
        "speaker": ("clean_transcripts.speaker",),
        **dict.fromkeys(("start_s", "end_s", "text", "spoken_text"), ("clean_transcripts.words",)),
        "audio": ("raw_audio.audio", "clean_transcripts.words"),
    },
)


@word
def cut_chunks(audio: Dataset, transcripts: Dataset, rule: ChunkRule, *, name: str) -> Dataset:
    """Return the chunks that a rule makes of transcripts."""
    if not isinstance(rule, Turns | Sentences):
        raise TypeError(f"a rule is Turns(...) or Sentences(...), not {type(rule).__name__}")
    return dataset(__name__, Config(rule), name=name, inputs={"raw_audio": audio, "clean_transcripts": transcripts})


def preflight(config: Config, execution: Execution) -> None:
    """Nothing beyond the package's own requirements is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard of recordings."""
    clean = ctx.inputs["clean_transcripts"]
    shards = list(
        zip(
            ctx.inputs["raw_audio"].shards("recordings"),
            clean.shards("transcripts"),
            clean.shards("dropped"),
            strict=True,
        )
    )
    for unit, (recordings, transcripts, dropped) in ctx.out.pending(shards):
        with ctx.out.unit(unit) as out:
            kept: dict[str, list[Transcript]] = {}
            for transcript in transcripts.iter_records(Transcript):
                kept.setdefault(transcript.recording_id, []).append(transcript)
            dropped_of: dict[str, list[DroppedTranscript]] = {}
            for drop in dropped.iter_records(DroppedTranscript):
                dropped_of.setdefault(drop.recording_id, []).append(drop)
            for recording in recordings.iter_records(Recording, batch_rows=1):
                own = kept.get(recording.recording_id, [])
                if not own:
                    continue
                samples = decode_flac(recording.audio.bytes)
                spans = chunk_recording(samples, own, dropped_of.get(recording.recording_id, []), config.rule)
                out.read(len(own))
                out.kept(len(own))
                out.write("chunks", chunks_of(recording, samples, spans))
                out.add("documents", len({span.document for span in spans}))
                out.add("hours_kept", sum(span.end_s - span.start_s for span in spans) / 3600)
        ctx.log(f"chunked shard {unit + 1} of {len(shards)}")


def chunks_of(recording: Recording, samples: np.ndarray, spans: list[Span]) -> list[Chunk]:
    """Return the chunks of a recording.

    An id is a digest of what it names: a chunk's of its recording, start, end, speaker and text, since two speakers may
    say the same word at once; a document's of its chunks. So rules that cut alike give the same ids, and others never
    do.
    """
    chunks = []
    for _, several in groupby(spans, key=lambda span: span.document):
        members = list(several)
        chunk_ids = [
            stable_hash("chunk", recording.recording_id, repr(span.start_s), repr(span.end_s), span.speaker, span.text)
            for span in members
        ]
        document_id = stable_hash("document", *chunk_ids)
        chunks += [
            _chunk(recording, samples, span, chunk_id, document_id)
            for span, chunk_id in zip(members, chunk_ids, strict=True)
        ]
    return chunks


def _chunk(recording: Recording, samples: np.ndarray, span: Span, chunk_id: str, document_id: str) -> Chunk:
    clip = samples[round(span.start_s * SAMPLE_RATE_HZ) : round(span.end_s * SAMPLE_RATE_HZ)]
    return Chunk(
        chunk_id=chunk_id,
        document_id=document_id,
        index=span.index,
        role="speech",
        source_id=recording.recording_id,
        source_url=recording.source_url,
        licence=recording.licence,
        speaker=span.speaker,
        accent="",
        start_s=span.start_s,
        end_s=span.end_s,
        text=span.text,
        spoken_text=span.text,
        audio=Audio(encode_flac(clip), f"{chunk_id}.flac"),
    )
