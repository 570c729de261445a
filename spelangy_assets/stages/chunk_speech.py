"""web_coarse and web_fine: transcripts and recordings -> chunks of (audio, text), siblings of one parent.

Put here: from spans to chunks with sound and ids. Do not put here: where a chunk begins and ends
(spelangy_model/audio/chunking.py).

Inputs `raw_audio` and `clean_transcripts`. What is counted are transcripts: all that come in are kept.
"""

from __future__ import annotations

import numpy as np

from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_model.audio.chunking import ChunkRule, Span, chunk_recording
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac, encode_flac
from spelangy_model.records import Audio, Chunk, DroppedTranscript, Recording, Transcript
from spelangy_model.rng import stable_hash

VERSION = "4"
TABLES: dict[str, type] = {"chunks": Chunk}
INDEPENDENT_UNITS = True

Config = ChunkRule


def preflight(config: ChunkRule, execution: Execution) -> None:
    """Nothing beyond the package's own requirements is needed."""


def run(ctx: StageContext, config: ChunkRule) -> None:
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
            gone: dict[str, list[DroppedTranscript]] = {}
            for drop in dropped.iter_records(DroppedTranscript):
                gone.setdefault(drop.recording_id, []).append(drop)
            for recording in recordings.iter_records(Recording, batch_rows=1):
                own = kept.get(recording.recording_id, [])
                if not own:
                    continue
                samples = decode_flac(recording.audio.bytes)
                spans = chunk_recording(samples, own, gone.get(recording.recording_id, []), config)
                out.read(len(own))
                out.kept(len(own))
                out.write("chunks", chunks_of(recording, samples, spans, config))
                out.add("documents", len({span.document for span in spans}))
                out.add("hours_kept", sum(span.end_s - span.start_s for span in spans) / 3600)
        ctx.log(f"chunked shard {unit + 1} of {len(shards)}")


def chunks_of(recording: Recording, samples: np.ndarray, spans: list[Span], config: ChunkRule) -> list[Chunk]:
    """Return the chunks of a recording; ids depend on the recording, the chunking and their place in it alone."""
    chunks = []
    for span in spans:
        document_id = stable_hash("web", config.kind, recording.recording_id, span.document)
        chunk_id = stable_hash("chunk", document_id, span.index)
        clip = samples[round(span.start_s * SAMPLE_RATE_HZ) : round(span.end_s * SAMPLE_RATE_HZ)]
        chunks.append(
            Chunk(
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
        )
    return chunks
