"""Log-mel spectra of speech at its own level, and sound from them.

Put here: what the decoder of the speech tokenizer predicts, and Griffin-Lim's way from that to samples. Do not put
here: the encoder's features (features.py), which leave out the channel's colour and so cannot become sound, or models.

A spectrum has 100 frames a second, as the features have. Its level is left out, because codes do not hold it: the mean
power over the utterance is 1. Sound gets the level `SOUND_RMS`.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.features import HOP_SAMPLES, SAMPLE_RATE_HZ, frame_count

SOUND_RMS = 0.05
_FFT_SAMPLES = 512
_WINDOW_SAMPLES = 400
_FLOOR = 1e-5  # 50 dB below the mean power: fainter sound is inaudible, and would weigh as much as speech
_ITERATIONS = 60
_MOMENTUM = 0.99


@functools.cache
def _filters(mel_bins: int) -> torch.Tensor:
    """Return Slaney's mel bank, float32, shape (frequencies, mel_bins)."""
    from transformers.audio_utils import mel_filter_bank

    bank = mel_filter_bank(
        num_frequency_bins=_FFT_SAMPLES // 2 + 1,
        num_mel_filters=mel_bins,
        min_frequency=20.0,
        max_frequency=SAMPLE_RATE_HZ / 2,
        sampling_rate=SAMPLE_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank.astype(np.float32))


@functools.cache
def _to_frequencies(mel_bins: int) -> torch.Tensor:
    """Return the matrix (mel_bins, frequencies) that spreads mel power over the frequencies of each filter.

    Every frequency takes the mean of its filters, weighted by them; a pseudo-inverse would give negative power.
    """
    bank = _filters(mel_bins)
    area = bank.sum(0)
    weights = bank / bank.sum(1, keepdim=True).clamp_min(1e-12)
    return (weights / area.clamp_min(1e-12)).T.contiguous()


def _stft(wave: torch.Tensor) -> torch.Tensor:
    return torch.stft(
        wave, _FFT_SAMPLES, HOP_SAMPLES, _WINDOW_SAMPLES, _window(), pad_mode="constant", return_complex=True
    )


@functools.cache
def _window() -> torch.Tensor:
    return torch.hann_window(_WINDOW_SAMPLES)


def sound_mel(samples: np.ndarray, mel_bins: int) -> torch.Tensor:
    """Return the log-mel power of one utterance (mono float32 at 16 kHz), float32, shape (frames, mel_bins).

    As many frames as `log_mel` makes. The mean power is 1, and what is 50 dB below it is floored there; of silence all
    is the floor.
    """
    wave = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    power = _stft(wave).abs().square()[:, : frame_count(len(wave))]
    mel = power.T @ _filters(mel_bins)
    return (mel / mel.mean().clamp_min(1e-12)).clamp_min(_FLOOR).log()


def sound_of_mel(mel: torch.Tensor) -> np.ndarray:
    """Return samples at 16 kHz, float32, shape (frames * 160,), whose log-mel power is near `mel` (frames, mel_bins).

    Fast Griffin-Lim (Perraudin et al. 2013): the phases that agree with the magnitudes, from phases drawn by a fixed
    seed, so equal spectra give equal samples.
    """
    magnitudes = (mel.float().exp() @ _to_frequencies(mel.shape[1])).sqrt().T
    magnitudes = torch.nn.functional.pad(magnitudes, (0, 1))  # stft has a frame more than a hop begun
    length = mel.shape[0] * HOP_SAMPLES
    drawn = stable_rng(0, "phases", *magnitudes.shape).uniform(-np.pi, np.pi, magnitudes.shape)
    phases = torch.polar(torch.ones_like(magnitudes), torch.from_numpy(drawn).float())
    before = torch.zeros_like(phases)
    for _ in range(_ITERATIONS):
        now = _stft(_istft(magnitudes * phases, length))
        phases = now + _MOMENTUM * (now - before)
        phases = phases / phases.abs().clamp_min(1e-12)
        before = now
    wave = _istft(magnitudes * phases, length)
    rms = wave.square().mean().sqrt().clamp_min(1e-6)
    return (wave * (SOUND_RMS / rms)).clamp(-1, 1).numpy()


def _istft(spectrum: torch.Tensor, length: int) -> torch.Tensor:
    return torch.istft(spectrum, _FFT_SAMPLES, HOP_SAMPLES, _WINDOW_SAMPLES, _window(), length=length)
