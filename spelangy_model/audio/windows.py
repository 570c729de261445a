"""Decode windows: speaker turns joined up to the length that a recognizer takes at once.

Put here: joining turns into windows, and assigning a window's words to turns and recording time. Do not put
here: recognizers, or the detection of turns.

A Whisper call costs over a second of processor time whatever its length, since it always encodes 30 s; so turns
are not recognized one by one. Silence between turns is shortened to a fixed pause, which saves windows and the
silence on which Whisper hallucinates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.records import Segment, Word

MAX_WINDOW_S = 28.0
PAUSE_S = 0.4


@dataclass(frozen=True, slots=True)
class Piece:
    """The place of a segment, with its margins, in its window and in its recording, in samples."""

    segment_id: str
    window_start: int
    recording_start: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Samples (n,) float32 mono at 16 kHz, at most MAX_WINDOW_S of them, and the segments they were made of.

    `language`: the ISO 639-1 code of the speech where it is known beforehand; empty: the recognizer detects it.
    """

    samples: np.ndarray
    pieces: tuple[Piece, ...]
    language: str = ""


def make_windows(
    samples: np.ndarray, segments: Sequence[Segment], max_s: float = MAX_WINDOW_S, pause_s: float = PAUSE_S
) -> list[Window]:
    """Join the consecutive segments of one recording into windows of at most `max_s` seconds.

    `samples` (n,) is the whole recording at 16 kHz. A segment takes up to half of `pause_s` of its surroundings with it
    on either side, at most to the middle of the gap: so a gap of `pause_s` or less stays as it was, a longer one
    becomes `pause_s`. Segments that overlap in time follow one another with `pause_s` of silence between; the shared
    stretch is in the window twice, once for each. Raises ValueError for a segment that is longer than `max_s`, empty,
    or outside of the recording.
    """
    limit = int(max_s * SAMPLE_RATE_HZ)
    silence = np.zeros(round(pause_s * SAMPLE_RATE_HZ), dtype=np.float32)
    windows: list[Window] = []
    parts: list[np.ndarray] = []
    pieces: list[Piece] = []
    filled = 0

    def close() -> None:
        nonlocal filled
        if pieces:
            windows.append(Window(np.concatenate(parts), tuple(pieces)))
        parts.clear()
        pieces.clear()
        filled = 0

    for segment, begin, end, touches in _with_surroundings(len(samples), segments, limit, pause_s):
        gap = 0 if touches or not pieces else len(silence)
        if filled + gap + end - begin > limit:
            close()
            gap = 0
        if gap:
            parts.append(silence)
        pieces.append(Piece(segment.segment_id, filled + gap, begin, end - begin))
        parts.append(samples[begin:end])
        filled += gap + end - begin
    close()
    return windows


def _with_surroundings(
    total: int, segments: Sequence[Segment], limit: int, pause_s: float
) -> list[tuple[Segment, int, int, bool]]:
    """Return (segment, first sample, end sample, whether it does not overlap the one before), in order of time."""
    ordered = sorted(segments, key=lambda s: (s.start_s, s.end_s, s.segment_id))
    spans = [(round(s.start_s * SAMPLE_RATE_HZ), min(round(s.end_s * SAMPLE_RATE_HZ), total)) for s in ordered]
    half = round(pause_s * SAMPLE_RATE_HZ) // 2
    placed, reached = [], 0  # the latest end of any earlier segment
    for i, (segment, (begin, end)) in enumerate(zip(ordered, spans, strict=True)):
        if not 0 <= begin < end:
            raise ValueError(
                f"segment {segment.segment_id} of recording {segment.recording_id} spans {segment.start_s} to "
                f"{segment.end_s} s, outside of the recording's {total / SAMPLE_RATE_HZ:.2f} s; segment it again"
            )
        if end - begin > limit:
            raise ValueError(
                f"segment {segment.segment_id} of recording {segment.recording_id} lasts "
                f"{segment.end_s - segment.start_s:.2f} s, longer than a window of {limit / SAMPLE_RATE_HZ} s; "
                "split turns at that length when segmenting"
            )
        following = spans[i + 1][0] if i + 1 < len(spans) else total + total
        before = max(0, min(half, (begin - reached) // 2 if i else begin))
        after = max(0, min(half, (following - max(end, reached)) // 2, total - end)) if end >= reached else 0
        room = limit - (end - begin)
        before, after = min(before, room // 2), min(after, room // 2)
        placed.append((segment, begin - before, end + after, i == 0 or begin >= reached))
        reached = max(reached, end)
    return placed


@dataclass(frozen=True, slots=True, eq=False)
class SharedWindow:
    """A window that holds others: `parts` are their places, each named by its index in the joined sequence."""

    window: Window
    parts: tuple[Piece, ...]

    @property
    def places(self) -> list[int]:
        return [int(part.segment_id) for part in self.parts]


def join_windows(
    windows: Sequence[Window], max_s: float = MAX_WINDOW_S, pause_s: float = PAUSE_S
) -> list[SharedWindow]:
    """Join windows of any recordings into fuller ones of at most `max_s`, `pause_s` of silence between.

    Only windows of one language are joined. Each is put into the first with enough room (first fit), so the result
    depends only on the order given.
    """
    limit, silence = int(max_s * SAMPLE_RATE_HZ), np.zeros(round(pause_s * SAMPLE_RATE_HZ), dtype=np.float32)
    bins: list[tuple[str, int, list[int]]] = []
    for place, window in enumerate(windows):
        length = len(window.samples)
        for k, (language, filled, places) in enumerate(bins):
            if language == window.language and filled + len(silence) + length <= limit:
                places.append(place)
                bins[k] = (language, filled + len(silence) + length, places)
                break
        else:
            bins.append((window.language, length, [place]))
    return [_joined({place: windows[place] for place in places}, silence) for _, _, places in bins]


def _joined(windows: Mapping[int, Window], silence: np.ndarray) -> SharedWindow:
    samples, pieces, parts, filled = [], [], [], 0
    for place, window in windows.items():
        if samples:
            samples.append(silence)
            filled += len(silence)
        pieces += [replace(piece, window_start=piece.window_start + filled) for piece in window.pieces]
        parts.append(Piece(str(place), filled, 0, len(window.samples)))
        samples.append(window.samples)
        filled += len(window.samples)
    language = next(iter(windows.values())).language
    return SharedWindow(Window(np.concatenate(samples), tuple(pieces), language), tuple(parts))


def words_by_place(shared: SharedWindow, words: Sequence[Word]) -> dict[int, list[Word]]:
    """Assign a shared window's words to the windows that it holds, with times from the start of each."""
    whole = replace(shared.window, pieces=shared.parts)
    return {int(place): found for place, found in words_by_segment(whole, words).items()}


def words_by_segment(window: Window, words: Sequence[Word]) -> dict[str, list[Word]]:
    """Assign a window's words (times from its start) to its segments, with times from the start of the recording.

    A word belongs to the piece that holds its middle, or to the nearest one, and its times are kept inside of that
    piece. Every segment of the window has an entry.
    """
    by_segment: dict[str, list[Word]] = {piece.segment_id: [] for piece in window.pieces}
    for word in words:
        middle = (word.start_s + word.end_s) / 2 * SAMPLE_RATE_HZ
        piece = min(
            window.pieces,
            key=lambda p: max(p.window_start - middle, middle - (p.window_start + p.length), 0.0),
        )
        low = piece.recording_start / SAMPLE_RATE_HZ
        high = (piece.recording_start + piece.length) / SAMPLE_RATE_HZ
        shift = (piece.recording_start - piece.window_start) / SAMPLE_RATE_HZ
        start, end = (min(max(time + shift, low), high) for time in (word.start_s, word.end_s))
        by_segment[piece.segment_id].append(Word(word.text, start, end, word.confidence))
    return by_segment
