"""Speaker turns, and the segments that they become.

Put here: turns; overlap of turns; cutting long turns; ids of segments. Do not put here: finding turns
(diarize.py), reading and writing them (rttm.py), scoring them (der.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.records import Segment
from spelangy_model.rng import stable_hash


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """One speaker, speaking from `start_s` to `end_s` (seconds from the start of the recording)."""

    start_s: float
    end_s: float
    speaker: str

    def __post_init__(self) -> None:
        if not 0 <= self.start_s < self.end_s:
            raise ValueError(f"a turn runs forward from 0 or later, not from {self.start_s} s to {self.end_s} s")

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


def join_gaps(turns: Iterable[Turn], max_gap_s: float) -> list[Turn]:
    """Join turns of the same speaker that are at most `max_gap_s` apart, even if others speak in between; sorted."""
    joined: list[Turn] = []
    last: dict[str, int] = {}
    for turn in sorted(turns):
        place = last.get(turn.speaker)
        if place is not None and turn.start_s - joined[place].end_s <= max_gap_s:
            joined[place] = replace(joined[place], end_s=max(joined[place].end_s, turn.end_s))
        else:
            last[turn.speaker] = len(joined)
            joined.append(turn)
    return sorted(joined)


def split_long(turn: Turn, samples: np.ndarray, max_s: float) -> list[Turn]:
    """Cut a turn at its quietest points until no part exceeds `max_s` seconds.

    `samples` is the whole recording (mono, 16 kHz). Each cut is in the quietest 100 ms of its allowed window:
    late enough for the smallest possible number of parts, early enough that the part fits.
    """
    parts: list[Turn] = []
    rest = turn
    while rest.duration_s > max_s:
        count = int(np.ceil(rest.duration_s / max_s - 1e-9))
        # All the later parts together hold (count - 1) * max_s at most, so the cut is no earlier than `first`;
        # at least half a part keeps the first part from being very short.
        first = max(rest.start_s + rest.duration_s - (count - 1) * max_s, rest.start_s + max_s / 2)
        cut = _quietest(samples, min(first, rest.start_s + max_s), rest.start_s + max_s)
        parts.append(replace(rest, end_s=cut))
        rest = replace(rest, start_s=cut)
    return [*parts, rest]


def _quietest(samples: np.ndarray, from_s: float, to_s: float, window_s: float = 0.1) -> float:
    window = int(window_s * SAMPLE_RATE_HZ)
    begin, end = int(from_s * SAMPLE_RATE_HZ), int(to_s * SAMPLE_RATE_HZ)
    piece = samples[begin:end].astype(np.float64)
    if len(piece) <= window:
        return (begin + end) / 2 / SAMPLE_RATE_HZ
    energy = np.concatenate([[0.0], np.cumsum(piece * piece)])
    power = energy[window:] - energy[:-window]
    return (begin + int(power.argmin()) + window // 2) / SAMPLE_RATE_HZ


def overlap_s(turns: Sequence[Turn]) -> list[float]:
    """Return for each turn the seconds in which a turn of another speaker runs too (each second is counted once)."""
    order = sorted(range(len(turns)), key=lambda index: turns[index].start_s)
    overlaps = [0.0] * len(turns)
    edges: list[list[tuple[float, float]]] = [[] for _ in turns]
    open_turns: list[int] = []
    for index in order:
        turn = turns[index]
        open_turns = [other for other in open_turns if turns[other].end_s > turn.start_s]
        for other in open_turns:
            if turns[other].speaker != turn.speaker:
                shared = (turn.start_s, min(turn.end_s, turns[other].end_s))
                edges[index].append(shared)
                edges[other].append(shared)
        open_turns.append(index)
    for index, spans in enumerate(edges):
        reached = 0.0
        for start, end in sorted(spans):
            overlaps[index] += max(0.0, end - max(start, reached))
            reached = max(reached, end)
    return overlaps


def shared_spans(turns: Iterable[Turn]) -> list[tuple[float, float]]:
    """Return (start_s, end_s) of the stretches in which two or more speakers speak, in order of time."""
    joined = join_gaps(turns, 0.0)  # turns of one speaker do not overlap
    edges = [edge for turn in joined for edge in ((turn.start_s, 1), (turn.end_s, -1))]
    edges.sort(key=lambda edge: (edge[0], -edge[1]))  # a turn that begins where another ends does not overlap it
    spans: list[tuple[float, float]] = []
    speaking, since_s = 0, 0.0
    for time_s, change in edges:
        if speaking >= 2 and speaking + change < 2 and time_s > since_s:
            spans.append((since_s, time_s))
        elif speaking < 2 <= speaking + change:
            since_s = time_s
        speaking += change
    return spans


def segments_of(recording_id: str, turns: Iterable[Turn], samples: np.ndarray, max_s: float) -> list[Segment]:
    """Return the segments of a recording: its turns in order of time, long ones cut (see `split_long`).

    Times are whole milliseconds inside the recording, and no segment exceeds `max_s`; an id depends on recording,
    times and speaker alone.
    """
    # Two milliseconds are reserved for the rounding of both ends.
    parts = [part for turn in turns for part in split_long(turn, samples, max_s - 0.002)]
    last_ms = len(samples) * 1000 // SAMPLE_RATE_HZ
    spans = {(round(part.start_s * 1000), min(round(part.end_s * 1000), last_ms), part.speaker) for part in parts}
    rounded = [Turn(start / 1000, end / 1000, speaker) for start, end, speaker in sorted(spans) if start < end]
    return [
        Segment(
            segment_id=segment_id(recording_id, turn),
            recording_id=recording_id,
            start_s=turn.start_s,
            end_s=turn.end_s,
            speaker=turn.speaker,
            overlap_s=round(shared, 3),
        )
        for turn, shared in zip(rounded, overlap_s(rounded), strict=True)
    ]


def segment_id(recording_id: str, turn: Turn) -> str:
    """Return the id of the segment that a turn becomes."""
    return stable_hash("segment", recording_id, round(turn.start_s * 1000), round(turn.end_s * 1000), turn.speaker)
