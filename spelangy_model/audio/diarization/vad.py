"""Voice activity detection with silero-vad, on the ONNX model of its package.

Put here: speech spans of a recording. Do not put here: speakers (diarize.py), words, loudness.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ

Span = tuple[float, float]


def speech_spans(
    samples: np.ndarray,
    *,
    threshold: float = 0.5,
    min_speech_s: float = 0.25,
    min_silence_s: float = 0.1,
    pad_s: float = 0.03,
) -> list[Span]:
    """Return (start_s, end_s) of the stretches of speech in mono float32 samples (n,) at 16 kHz, in order.

    `threshold` is the speech probability of a 32 ms frame (silero-vad's own defaults for all four). Spans never
    overlap and are inside the recording. whisper-timestamped takes this form as `vad=`.
    """
    import silero_vad
    import torch

    found = silero_vad.get_speech_timestamps(
        torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)),
        _model(),
        threshold=threshold,
        sampling_rate=SAMPLE_RATE_HZ,
        min_speech_duration_ms=round(min_speech_s * 1000),
        min_silence_duration_ms=round(min_silence_s * 1000),
        speech_pad_ms=round(pad_s * 1000),
    )
    return [(span["start"] / SAMPLE_RATE_HZ, span["end"] / SAMPLE_RATE_HZ) for span in found]


@functools.cache
def _model() -> Any:
    import silero_vad

    return silero_vad.load_silero_vad(onnx=True)
