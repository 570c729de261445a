"""The level of a segment over its recording's noise, and the stretches of it that are not silent.

Put here: levels of segments. Do not put here: measures of whole files (measures.py), speech detection (vad.py), or the
use of levels. Both are measured when segments are made, where the samples are in memory, and are stored in their
records, so that no filter decodes the audio again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.measures import centred
from spelangy_model.records import Segment, Stretch

_FRAME_S = 0.02
_FLOOR_PERCENTILE = 10  # of a recording's frames: even dense talk pauses that often
_LOWEST_FLOOR = 1e-8  # -80 dBFS: digital silence is not a noise level
_SOUND_DB = 6.0
_JOIN_S = 0.3  # closures and short pauses inside of speech


def with_levels(segments: Iterable[Segment], samples: np.ndarray) -> list[Segment]:
    """Return the segments with `snr_db` and `sound` measured; `samples` (n,) is the whole recording at 16 kHz.

    The noise is the level of the quietest tenth of the recording. So speech over a steady hum is measured against the
    hum, and a steady hum that was taken for speech has about 0 dB and no sound.
    """
    power = _frame_power(centred(samples))
    floor = max(float(np.percentile(power, _FLOOR_PERCENTILE)), _LOWEST_FLOOR)
    audible = power > floor * 10 ** (_SOUND_DB / 10)
    measured = []
    for segment in segments:
        first = min(int(segment.start_s / _FRAME_S), len(power) - 1)
        last = max(min(round(segment.end_s / _FRAME_S), len(power)), first + 1)
        snr_db = 10 * np.log10(max(float(power[first:last].mean()), 1e-12) / floor)
        measured.append(replace(segment, snr_db=round(float(snr_db), 2), sound=_stretches(audible, first, last)))
    return measured


def _frame_power(samples: np.ndarray) -> np.ndarray:
    frame = int(_FRAME_S * SAMPLE_RATE_HZ)
    count = max(-(-len(samples) // frame), 1)
    padded = np.zeros(count * frame, dtype=np.float32)
    padded[: len(samples)] = samples
    return np.square(padded.reshape(count, frame)).mean(axis=1, dtype=np.float64)


def _stretches(audible: np.ndarray, first: int, last: int) -> list[Stretch]:
    frames = first + np.flatnonzero(audible[first:last])
    if not len(frames):
        return []
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > round(_JOIN_S / _FRAME_S)) + 1)
    return [Stretch(round(int(run[0]) * _FRAME_S, 2), round((int(run[-1]) + 1) * _FRAME_S, 2)) for run in runs]
