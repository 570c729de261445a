"""Cut long recordings into parts, block by block, with one part in memory at a time.

Put here: the cutting. Do not put here: decoding (io.py), or segments (turns.py), which are inside a part.

A part is long enough to diarize its speakers, and short enough to decode, hold and send as one row. Cuts are in the
quietest tenth of a second, and never inside an utterance that is known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError

_MS = SAMPLE_RATE_HZ // 1000
_FRAME = 10 * _MS
_SMOOTHED_FRAMES = 10


@dataclass(frozen=True)
class PartRule:
    """Parts last `max_part_s` at most; cuts are searched from 2 to 1 `search_s` before that, so none is very short."""

    max_part_s: float = 1800.0
    search_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < 4 * self.search_s <= self.max_part_s:
            raise ValueError(f"a part of {self.max_part_s} s is too short to look for a cut in {self.search_s} s of it")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Samples (n,) float32 from `offset_s` (whole milliseconds) on; they are valid until the next part is requested."""

    index: int
    offset_s: float
    samples: np.ndarray


def cut_parts(
    blocks: Iterable[np.ndarray], rule: PartRule, utterances: Sequence[tuple[float, float]] = ()
) -> Iterator[Part]:
    """Cut blocks of mono samples at 16 kHz into parts, in order; nothing when there is no sample.

    `utterances` are (start_s, end_s) of what must stay whole. AudioError (bad_utterances) if they leave no place
    for a cut within the length of a part.
    """
    limit = round(rule.max_part_s * SAMPLE_RATE_HZ)
    held = np.empty(limit + SAMPLE_RATE_HZ, np.float32)  # pages that are never written cost nothing
    filled = index = offset = 0
    for block in blocks:
        begin = 0
        while begin < len(block):
            taken = min(len(block) - begin, len(held) - filled)
            held[filled : filled + taken] = block[begin : begin + taken]
            filled, begin = filled + taken, begin + taken
            if filled > limit:
                cut = _place(held[:limit], rule, offset / SAMPLE_RATE_HZ, utterances)
                yield Part(index, offset / SAMPLE_RATE_HZ, held[:cut])
                held[: filled - cut] = held[cut:filled].copy()
                filled, index, offset = filled - cut, index + 1, offset + cut
    if filled:
        yield Part(index, offset / SAMPLE_RATE_HZ, held[:filled])


def _place(samples: np.ndarray, rule: PartRule, offset_s: float, utterances: Sequence[tuple[float, float]]) -> int:
    """Return the sample to cut at, a whole millisecond: the quietest place of the search, else the last one before."""
    search = round(rule.search_s * SAMPLE_RATE_HZ)
    first, last = len(samples) - 2 * search, len(samples) - search
    spans = [(round((start - offset_s) * 1000) * _MS, (end - offset_s) * 1000 * _MS) for start, end in utterances]
    spans = [(start, end) for start, end in spans if start < last and end > 0]
    # Between utterances without a pause, the only places for a cut are their borders.
    borders = [start for start, _ in spans if search <= start < last]
    places = np.sort(np.concatenate([np.arange(search // _FRAME, last // _FRAME) * _FRAME, borders]).astype(int))
    for start, end in spans:
        places = places[(places <= start) | (places >= end)]
    wished = places[places >= first]
    if len(wished):
        return int(wished[np.argmin(_levels(samples)[wished // _FRAME])])
    if len(places):
        return int(places[-1])
    raise AudioError(
        "bad_utterances",
        f"from {offset_s:.3f} s on there is somebody speaking at every moment of {last / SAMPLE_RATE_HZ:.0f} s; "
        "a recording of that length is cut between utterances",
    )


def _levels(samples: np.ndarray) -> np.ndarray:
    """Return the power around the start of each frame, over a tenth of a second."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = np.einsum("ij,ij->i", frames, frames)
    half = _SMOOTHED_FRAMES // 2
    padded = np.pad(power, (half, half - 1), mode="edge")
    return np.convolve(padded, np.ones(_SMOOTHED_FRAMES) / _SMOOTHED_FRAMES, mode="valid")
