"""speech_segments: who speaks when in each recording.

Put here: from turns to segments, the counts. Do not put here: diarization
(spelangy_model/audio/diarization/diarize.py), the cutting of turns (turns.py), words.

Input `raw_audio`: recordings. A recording that came with a transcript is not diarized: each utterance is a segment with
the utterance's times and speaker. One that came with turns (RTTM) is not either: its turns replace a diarizer's.
Turns are counted; a recording without any counts as one, `no_speech`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, Drift, exactly
from spelangy_assets.stage_parts.columns import GIVEN_COLUMNS
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.ahead import read_ahead
from spelangy_model.audio.diarization.diarize import (
    Diarizer,
    DiarizerChoice,
    DiarizerSpec,
    DiarizerUnavailable,
    check_diarizer,
    open_diarizer,
)
from spelangy_model.audio.io import decode_flac
from spelangy_model.audio.levels import with_levels
from spelangy_model.audio.turns import Turn, join_gaps, overlap_s, segment_id, segments_of
from spelangy_model.records import Recording, Segment

VERSION = "3"
TABLES: dict[str, type] = {"segments": Segment}
INDEPENDENT_UNITS = True


@dataclass(frozen=True)
class Config:
    """How turns become segments.

    Pauses of one speaker up to `max_gap_s` do not end a turn; turns under `min_turn_s` are dropped (no ASR makes words
    of them); turns over `max_segment_s` are cut at their quietest points, since Whisper takes no more than 30 s. Given
    utterances are not joined or cut: one over `max_segment_s` is dropped.
    """

    diarizer: DiarizerChoice = field(default_factory=DiarizerSpec)
    max_gap_s: float = 0.5
    min_turn_s: ClassVar[float] = 0.25
    max_segment_s: ClassVar[float] = 28.0


CONTRACT = Contract(
    "speech_segments",
    """
    SELECT count(*) AS segments, count(*) - count(DISTINCT segment_id) AS duplicate_ids,
           count(*) FILTER (end_s <= start_s OR start_s < 0) AS empty_or_reversed,
           count(*) FILTER (overlap_s < 0 OR overlap_s > end_s - start_s + 0.001) AS impossible_overlap,
           coalesce(max(end_s - start_s), 0) AS longest_s
    FROM segments
    """,
    (
        Bound("segments", 1, None, "warn"),
        exactly("duplicate_ids"),
        exactly("empty_or_reversed"),
        exactly("impossible_overlap"),
        Bound("longest_s", 0, 60),
    ),
    drifts=(
        Drift("length_s", "SELECT end_s - start_s FROM segments", max_ratio=1.5),
        Drift("overlap", "SELECT least(overlap_s / (end_s - start_s), 1) FROM segments"),
    ),
)

KIND = DatasetKind(
    group="transcripts",
    description="Who speaks when: diarized speaker turns of each recording.",
    contract=CONTRACT,
    pool="gpu",
    cost="heavy",
    takes={"raw_audio": Recording},
    columns={
        "segment_id": ("raw_audio.recording_id", *GIVEN_COLUMNS),
        "recording_id": ("raw_audio.recording_id",),
        **dict.fromkeys(("start_s", "end_s", "speaker", "overlap_s"), GIVEN_COLUMNS),
        "snr_db": ("raw_audio.audio",),
        "sound": ("raw_audio.audio",),
    },
)


@word
def segments(audio: Dataset, *, name: str = "speech_segments", **options: Any) -> Dataset:
    """Return the speaker turns of recordings; `options` are fields of Config."""
    return dataset(__name__, config_of(Config, options), name=name, inputs={"raw_audio": audio})


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the diarizer or its weights are missing."""
    try:
        check_diarizer(config.diarizer, execution.environment)
    except DiarizerUnavailable as error:
        raise PreflightError(str(error)) from error


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard of recordings."""
    diarizer: Diarizer | None = None
    shards = ctx.inputs["raw_audio"].shards("recordings")
    for unit, shard in ctx.out.pending(shards):
        with ctx.out.unit(unit, behind=ctx.execution.readers > 0) as out:
            # A recording may hold hours: one at a time, and one a reader.
            recordings = shard.iter_records(Recording, batch_rows=1)
            for recording, samples in read_ahead(_sound, recordings, ctx.execution.readers):
                out.add("hours_in", recording.duration_s / 3600)
                if recording.has_transcript:
                    segments = _given(recording, config, out)
                elif recording.utterances:
                    segments = _cut(recording, samples, _turns(recording), config, out)
                else:
                    if diarizer is None:
                        diarizer = _open(config, ctx.execution)
                    segments = _cut(recording, samples, diarizer.diarize(samples), config, out)
                out.write("segments", with_levels(segments, samples))
                out.add("speakers", len({segment.speaker for segment in segments}))
                out.add("hours_kept", sum(segment.end_s - segment.start_s for segment in segments) / 3600)
                out.add("hours_overlapped", sum(segment.overlap_s for segment in segments) / 3600)
        ctx.log(f"segmented shard {unit + 1} of {len(shards)}")


def _sound(recording: Recording) -> np.ndarray:
    return decode_flac(recording.audio.bytes)


def _open(config: Config, execution: Execution) -> Diarizer:
    import torch

    torch.set_num_threads(1)  # another number of threads adds up in another order: other bytes for the same sound
    return open_diarizer(config.diarizer, execution.environment, execution.device)


def _turns(recording: Recording) -> list[Turn]:
    return sorted(Turn(item.start_s, item.end_s, item.speaker) for item in recording.utterances)


def _cut(
    recording: Recording, samples: np.ndarray, found: list[Turn], config: Config, out: UnitWriter
) -> list[Segment]:
    turns = join_gaps(found, config.max_gap_s)
    out.read(max(1, len(turns)))
    if not turns:
        out.drop("no_speech")
        return []
    long_enough = [turn for turn in turns if turn.duration_s >= config.min_turn_s]
    if len(long_enough) < len(turns):
        out.drop("too_short", len(turns) - len(long_enough))
    out.kept(len(long_enough))
    return segments_of(recording.recording_id, long_enough, samples, config.max_segment_s)


def _given(recording: Recording, config: Config, out: UnitWriter) -> list[Segment]:
    turns = _turns(recording)
    out.read(len(turns))
    segments = [
        Segment(
            segment_id=segment_id(recording.recording_id, turn),
            recording_id=recording.recording_id,
            start_s=turn.start_s,
            end_s=turn.end_s,
            speaker=turn.speaker,
            overlap_s=round(shared, 3),
        )
        for turn, shared in zip(turns, overlap_s(turns), strict=True)
        if turn.duration_s <= config.max_segment_s
    ]
    if len(segments) < len(turns):
        out.drop("too_long", len(turns) - len(segments))
    out.kept(len(segments))
    return segments
