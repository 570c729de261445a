"""Log-mel features of speech.

Put here: the front end of the speech tokenizer, a pure function from samples to features. Do not put here:
models, batching, or any state. The features of an utterance are computed from that utterance alone, in one
call whose shapes depend on its length alone, so that they do not depend on what else is tokenized.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160  # 100 frames a second
WINDOW_SAMPLES = 400
DYNAMIC_RANGE = 1e-8  # power below the utterance's peak by more than 80 dB is floored there
_SILENCE = 1e-10


def frame_count(sample_count: int) -> int:
    """Return how many frames `log_mel` makes of `sample_count` samples: one per hop begun."""
    return -(-sample_count // HOP_SAMPLES)


@functools.cache
def _filters(mel_bins: int) -> torch.Tensor:
    from transformers.audio_utils import mel_filter_bank

    bank = mel_filter_bank(
        num_frequency_bins=WINDOW_SAMPLES // 2 + 1,
        num_mel_filters=mel_bins,
        min_frequency=20.0,
        max_frequency=SAMPLE_RATE_HZ / 2,
        sampling_rate=SAMPLE_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank.astype(np.float32))


@functools.cache
def _window() -> torch.Tensor:
    return torch.hann_window(WINDOW_SAMPLES, periodic=False)


def log_mel(samples: np.ndarray, mel_bins: int) -> torch.Tensor:
    """Return the normalized log-mel features of one utterance, float32, shape (frames, mel_bins), 100 frames a second.

    `samples` is mono float32 at 16 kHz, shape (samples,). Each mel bin has its mean over the utterance removed
    (the channel's colour) and the whole is divided by one standard deviation, so a change of gain changes nothing.
    Mel bank: Slaney's, as in transformers and librosa. Raises ValueError for an empty, many-dimensional or
    non-finite array.
    """
    if samples.ndim != 1 or samples.size == 0:
        raise ValueError(f"log_mel wants a non-empty mono array of shape (samples,), got shape {samples.shape}")
    wave = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    frames = frame_count(len(wave))
    left = (WINDOW_SAMPLES - HOP_SAMPLES) // 2
    right = (frames - 1) * HOP_SAMPLES + WINDOW_SAMPLES - left - len(wave)
    framed = torch.nn.functional.pad(wave, (left, right)).unfold(0, WINDOW_SAMPLES, HOP_SAMPLES)
    spectrum = torch.fft.rfft(framed * _window())
    mel = (spectrum.real.square() + spectrum.imag.square()) @ _filters(mel_bins)
    peak = float(mel.max())
    if not np.isfinite(peak):
        raise ValueError("log_mel wants finite samples; this array holds NaN or infinity")
    log = mel.clamp_(min=max(peak * DYNAMIC_RANGE, _SILENCE)).log_()
    log -= log.mean(0)
    return log / (log.square().mean().sqrt() + 1e-3)
