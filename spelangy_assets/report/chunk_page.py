"""The listening page of a snapshot: waveform, turns, votes, chunks with their sound, and what was dropped and why.

Put here: how the records of web speech are laid out for a person. Do not put here: reading artifacts (the stage does),
sums (stages/account_speech.py makes them) or any decision about the data: the page shows what the records hold.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from spelangy_assets.report.render import clock, render, share
from spelangy_assets.report.sound import AudioBudget
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.audio.turns import Turn, shared_spans
from spelangy_model.progress import duration
from spelangy_model.records import (
    Chunk,
    DroppedTranscript,
    Hypothesis,
    LedgerRow,
    Metric,
    Recording,
    Segment,
    Transcript,
    Vote,
)

T = TypeVar("T")

_COLOURS = 6  # as many as base.html has; further speakers share them
_STRIP_S = 60.0
_ROW = 15  # pixels; the drawing is 1000 units wide and stretches to the page
_WAVE = 36  # pixels
_WAVE_POINTS = 300  # a strip: some 4 kB
_OPEN_CHUNKS = 40  # a longer list starts folded


@dataclass(frozen=True)
class PageLimits:
    """What a page may hold, so that it still opens: bytes of sound as it is embedded, recordings, timeline strips."""

    registered_name: ClassVar[str] = "ChunkPageLimits"
    audio_bytes: int = 24 * 2**20
    recordings: int = 40
    strips_per_recording: int = 20


def write_chunk_page(
    recordings: Sequence[Recording],
    segments: Sequence[Segment],
    hypotheses: Sequence[Hypothesis],
    transcripts: Sequence[Transcript],
    dropped: Sequence[DroppedTranscript],
    chunks: Mapping[str, Sequence[Chunk]],
    ledger: Sequence[LedgerRow],
    metrics: Sequence[Metric],
    *,
    title: str = "From recordings to chunks",
    limits: PageLimits | None = None,
) -> str:
    """Return the page as HTML. Equal records give equal bytes.

    `chunks` holds the sets of chunks by name; sound is embedded in that order, chunk by chunk of each recording, until
    the limit is reached, which the page states. Recordings are in the order given.
    """
    limits = limits or PageLimits()
    shown = list(recordings[: limits.recordings])
    budget = AudioBudget(limits.audio_bytes)
    by_segment = _group(hypotheses, lambda item: item.segment_id)
    turns = _group(segments, lambda item: item.recording_id)
    agreed = _group(transcripts, lambda item: item.recording_id)
    dropped_of = _group(dropped, lambda item: item.recording_id)
    cut = {name: _group(items, lambda item: item.source_id) for name, items in chunks.items()}
    views = [
        _recording_view(
            recording,
            turns[recording.recording_id],
            by_segment,
            agreed[recording.recording_id],
            dropped_of[recording.recording_id],
            {name: items[recording.recording_id] for name, items in cut.items()},
            budget,
            limits,
        )
        for recording in shown
    ]
    return render(
        "chunk_page.html",
        title=title,
        ledger=_ledger_view(ledger),
        lengths=[view for name in chunks if (view := _lengths_view(name, metrics))],
        recordings=views,
        left_out=len(recordings) - len(shown),
        audio_note=budget.note(),
    )


def _group(items: Sequence[T], key: Callable[[T], str]) -> defaultdict[str, list[T]]:
    grouped: defaultdict[str, list[T]] = defaultdict(list)
    for item in items:
        grouped[key(item)].append(item)
    return grouped


# --- the ledger ---------------------------------------------------------------------------------------------

_STEPS = {
    "raw_audio": "recordings",
    "speech_segments": "somebody speaks",
    "clean_transcripts": "transcripts",
    "chunks": "chunks",
}


def _ledger_view(rows: Sequence[LedgerRow]) -> dict[str, Any]:
    """Return the ledger summed over sources, step by step, and source by source."""
    sources = sorted({row.source for row in rows if row.outcome != "in" or row.step != "raw_audio"})
    return {
        "steps": [step for name in _STEPS if (step := _step_view(name, [row for row in rows if row.step == name]))],
        "sources": [
            {
                "name": source,
                "cells": [
                    duration(_seconds(row for row in rows if (row.source, row.step, row.outcome) == (source, *cell)))
                    for cell in _SOURCE_CELLS
                ],
                "drops": ", ".join(
                    f"{row.reason} {row.pieces}"
                    for row in rows
                    if row.source == source and row.outcome == "dropped" and row.pieces
                ),
            }
            for source in sources
        ],
    }


_SOURCE_CELLS = (
    ("raw_audio", "kept"),
    ("speech_segments", "kept"),
    ("clean_transcripts", "kept"),
    ("chunks", "made"),
)


def _step_view(step: str, rows: Sequence[LedgerRow]) -> dict[str, Any] | None:
    if not rows:
        return None
    chunking = step == "chunks"
    total_s = _seconds(row for row in rows if row.outcome == ("kept" if step == "raw_audio" else "in"))
    lines = []
    for outcome in ("in", "made" if chunking else "kept", "dropped"):
        of_outcome = [row for row in rows if row.outcome == outcome]
        for reason in sorted({row.reason for row in of_outcome}):
            of_reason = [row for row in of_outcome if row.reason == reason]
            pieces, seconds = sum(row.pieces for row in of_reason), _seconds(of_reason)
            unit = "" if not chunking else "words" if outcome == "in" else "chunks"
            lines.append(
                {
                    "name": f"dropped: {reason}" if reason else outcome,
                    "kind": outcome,
                    "pieces": f"{pieces:,} {unit}".strip() if pieces else "-",
                    "duration": duration(seconds) if seconds else "-",
                    "share": share(seconds, total_s) if seconds else "-",
                }
            )
    return {"name": _STEPS[step], "lines": lines}


def _seconds(rows: Iterable[LedgerRow]) -> float:
    return sum(row.duration_ms for row in rows) / 1000


def _lengths_view(name: str, metrics: Sequence[Metric]) -> dict[str, Any] | None:
    """Return a chunking's lengths: the figures, and the bars of their histogram."""
    values = {row.metric: row.value for row in metrics if row.subject == name}
    if "length_s.mean" not in values:
        return None
    shares = [(key.split(".")[-1], value) for key, value in values.items() if key.startswith("length_s.share.")]
    highest = max(value for _, value in shares)
    width = 1000 / len(shares)
    return {
        "name": name,
        "mean": duration(values["length_s.mean"]),
        "median": duration(values["length_s.p50"]),
        "target": duration(values["length_s.target"]) if "length_s.target" in values else "",
        "spread": f"{values['length_s.p05']:.1f} to {values['length_s.p95']:.1f} s",
        "deterministic": f"{values['switches_per_document.deterministic.mean']:.1f}",
        "stochastic": f"{values['switches_per_document.stochastic.mean']:.1f}",
        "bars": [
            {
                "x": round(i * width + 2, 1),
                "y": round(80 - 80 * value / highest, 1),
                "width": round(width - 4, 1),
                "height": round(80 * value / highest, 1),
                "title": f"{_bin(label)}: {share(value, 1)}",
            }
            for i, (label, value) in enumerate(shares)
        ],
        "ticks": [_bin(label).split(" ")[0] for label, _ in shares],
    }


def _bin(label: str) -> str:
    low, high = label.split("_")
    return f"{int(low)} s and longer" if high == "inf" else f"{int(low)} to {int(high)} s"


# --- a recording --------------------------------------------------------------------------------------------


def _recording_view(
    recording: Recording,
    segments: Sequence[Segment],
    hypotheses: Mapping[str, Sequence[Hypothesis]],
    transcripts: Sequence[Transcript],
    dropped: Sequence[DroppedTranscript],
    chunks: Mapping[str, Sequence[Chunk]],
    budget: AudioBudget,
    limits: PageLimits,
) -> dict[str, Any]:
    speakers = list(dict.fromkeys(item.speaker for item in sorted(segments, key=lambda item: item.start_s)))
    colours = {speaker: index % _COLOURS for index, speaker in enumerate(speakers)}
    anchors = {
        (name, chunk.chunk_id): f"c-{name}-{recording.recording_id[:12]}-{number}"
        for name, items in chunks.items()
        for number, chunk in enumerate(items, 1)
    }
    turn_of = {segment.segment_id: segment for segment in segments}
    strips = _strips(recording, segments, dropped, chunks, speakers, anchors, limits.strips_per_recording)
    return {
        "id": recording.recording_id,
        "name": recording.source_uri or recording.recording_id[:16],
        "url": recording.source_url,
        "licence": recording.licence,
        "duration": duration(recording.duration_s),
        "format": recording.original_format,
        "rate": recording.original_sample_rate_hz,
        "channels": recording.original_channels,
        "speakers": [{"name": name, "colour": colours[name]} for name in speakers],
        "strips": strips,
        "overlapped": any(segment.overlap_s for segment in segments),
        "strips_left_out": recording.duration_s > limits.strips_per_recording * _STRIP_S,
        "strips_shown": duration(limits.strips_per_recording * _STRIP_S),
        "kinds": [
            {
                "name": name,
                "open": position == 0 and len(items) <= _OPEN_CHUNKS,
                "duration": duration(sum(c.duration_s for c in items)),
                "mean": duration(sum(c.duration_s for c in items) / len(items)),
                "chunks": [
                    {
                        "number": number,
                        "anchor": anchors[name, chunk.chunk_id],
                        "speaker": chunk.speaker,
                        "colour": colours.get(chunk.speaker, 0),
                        "start": clock(chunk.start_s),
                        "end": clock(chunk.end_s),
                        "duration": duration(chunk.duration_s),
                        "audio": budget.embed(chunk),
                        "text": chunk.text,
                    }
                    for number, chunk in enumerate(items, 1)
                ],
            }
            for position, (name, items) in enumerate(chunks.items())
            if items
        ],
        "transcripts": [
            {
                "speaker": item.speaker,
                "start": clock(item.start_s),
                "together": _together(turn_of.get(item.segment_id)),
                "systems": item.systems,
                "text": item.text,
                "slots": [_slot_view(vote) for vote in item.votes] if len(item.systems) > 1 else [],
                "agreement": f"{item.agreement:.2f}",
                "confidence": f"{item.confidence:.2f}",
            }
            for item in transcripts
        ],
        "dropped": [
            {
                "speaker": item.speaker,
                "start": clock(item.start_s),
                "end": clock(item.end_s),
                "reason": item.reason,
                "detail": item.detail,
                "text": item.text,
                "hypotheses": [h for h in hypotheses.get(item.segment_id, []) if h.text],
            }
            for item in dropped
        ],
    }


def _slot_view(vote: Vote) -> dict[str, Any]:
    """Return a slot as it is shown: the winning word above each system's word, marked by how many systems agree."""
    candidates = [_bare(candidate) for candidate in vote.candidates]
    agreeing = candidates.count(_bare(vote.winner))
    if not vote.winner:
        css = "outvoted"
    elif agreeing == len(candidates):
        css = "all"
    else:
        css = "most" if 2 * agreeing > len(candidates) else "split"
    return {
        "winner": vote.winner or next((text for text in vote.candidates if text), ""),
        "css": css,
        "candidates": [
            {"text": text, "css": "" if bare == _bare(vote.winner) else "other"}
            for text, bare in zip(vote.candidates, candidates, strict=True)
        ],
    }


def _bare(word: str) -> str:
    return "".join(character for character in word.lower() if character.isalnum())


# --- the timeline -------------------------------------------------------------------------------------------


def _strips(
    recording: Recording,
    segments: Sequence[Segment],
    dropped: Sequence[DroppedTranscript],
    chunks: Mapping[str, Sequence[Chunk]],
    speakers: Sequence[str],
    anchors: Mapping[tuple[str, str], str],
    limit: int,
) -> list[dict[str, Any]]:
    """Return the timeline cut into strips of a minute, so that it can be read on a narrow screen."""
    left_out = {item.segment_id: item for item in dropped}
    together = shared_spans(Turn(item.start_s, item.end_s, item.speaker) for item in segments)
    strips = []
    samples = decode_flac(recording.audio.bytes)
    peak = max(float(np.abs(samples).max()), 1e-3)
    for number in range(min(max(1, math.ceil(recording.duration_s / _STRIP_S)), limit)):
        start = number * _STRIP_S
        end = min(start + _STRIP_S, recording.duration_s)
        rows = [*speakers, *chunks]
        bars = [
            {
                **_place(max(from_s, start), min(to_s, end), start),
                "y": 0,
                "height": _WAVE,
                "css": "together",
                "fill": "",
                "href": "",
                "title": f"two or more speak, {clock(from_s)} to {clock(to_s)}",
            }
            for from_s, to_s in together
            if from_s < end and to_s > start
        ]
        bars += [
            _bar(
                segment,
                start,
                speakers.index(segment.speaker),
                css="dropped-bar" if segment.segment_id in left_out else "",
                fill=""
                if segment.segment_id in left_out
                else f"var(--speaker-{speakers.index(segment.speaker) % _COLOURS})",
                title=f"{segment.speaker} {clock(segment.start_s)} to {clock(segment.end_s)}"
                + _together(segment)
                + (f", dropped: {left_out[segment.segment_id].reason}" if segment.segment_id in left_out else ""),
                href="",
            )
            for segment in segments
            if segment.start_s < end and segment.end_s > start
        ]
        bars += [
            _bar(
                chunk,
                start,
                len(speakers) + row,
                css="chunk-bar",
                fill="",
                title=f"{name}, {clock(chunk.start_s)} to {clock(chunk.end_s)}: {chunk.text}",
                href=anchors[name, chunk.chunk_id],
            )
            for row, (name, items) in enumerate(chunks.items())
            for chunk in items
            if chunk.start_s < end and chunk.end_s > start
        ]
        turns = sum(segment.start_s < end and segment.end_s > start for segment in segments)
        strips.append(
            {
                "wave": _wave(samples[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)] / peak),
                "height": _WAVE + _ROW * len(rows),
                "label": f"Timeline from {clock(start)} to {clock(end)}: {turns} turns by {len(speakers)} speakers, "
                + ", ".join(
                    f"{sum(c.start_s < end and c.end_s > start for c in items)} chunks of {name}"
                    for name, items in chunks.items()
                ),
                "ticks": [clock(start + offset)[:-2] for offset in range(0, int(_STRIP_S) + 1, 10)],
                "bars": bars,
                "rows": rows,
                "end_x": round((end - start) / _STRIP_S * 1000, 1),
            }
        )
    return strips


def _bar(item: Segment | Chunk, strip_start_s: float, row: int, **look: str) -> dict[str, Any]:
    place = _place(item.start_s, item.end_s, strip_start_s)
    return {**place, "y": _WAVE + row * _ROW + 1, "height": _ROW - 3, **look}


def _place(start_s: float, end_s: float, strip_start_s: float) -> dict[str, float]:
    left = max(0.0, (start_s - strip_start_s) / _STRIP_S * 1000)
    right = min(1000.0, (end_s - strip_start_s) / _STRIP_S * 1000)
    return {"x": round(left, 1), "width": round(max(right - left, 1.0), 1)}


def _together(segment: Segment | None) -> str:
    return f", {segment.overlap_s:.1f} s with others" if segment and segment.overlap_s >= 0.05 else ""


def _wave(samples: np.ndarray) -> str:
    """Return the outline of at most a minute of sound as an SVG path: the peak of each fifth of a second, both ways."""
    step = round(_STRIP_S / _WAVE_POINTS * SAMPLE_RATE_HZ)
    count = -(-len(samples) // step)
    padded = np.zeros(count * step, dtype=np.float32)
    padded[: len(samples)] = np.abs(samples)
    # The square root lets quiet speech be seen beside loud.
    heights = np.rint(np.sqrt(padded.reshape(count, step).max(axis=1)) * (_WAVE / 2 - 1)).astype(int).tolist()
    width = 1000 / _WAVE_POINTS
    upper = [f"{i * width:.0f} {_WAVE // 2 - height}" for i, height in enumerate(heights)]
    lower = [f"{i * width:.0f} {_WAVE // 2 + height}" for i, height in reversed(list(enumerate(heights)))]
    return f"M{'L'.join([*upper, *lower])}Z" if heights else ""
