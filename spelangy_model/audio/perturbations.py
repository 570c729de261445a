"""Perturbations of a recording, to see how far answers depend on clean sound.

Put here: what is done to samples, each with the name of its split. Do not put here: which recordings are perturbed.
Noise is drawn by `stable_rng` of the seed, the recording and the perturbation; the others draw nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.rng import stable_rng


@runtime_checkable
class Perturbation(Protocol):
    """A change of a recording; a frozen dataclass of literals."""

    @property
    def split(self) -> str:
        """The name of the split of perturbed recordings, which is part of metric names."""
        ...

    def perturb(self, samples: np.ndarray, seed: int, recording: str) -> np.ndarray:
        """Return mono float32 samples (m,) at 16 kHz of samples (n,); within -1..1."""
        ...


@dataclass(frozen=True)
class Noise:
    """White Gaussian noise at a ratio of signal to noise, in dB of mean power over the whole recording."""

    snr_db: int

    @property
    def split(self) -> str:
        return f"noise-{self.snr_db}db" if self.snr_db >= 0 else f"noise-minus-{-self.snr_db}db"

    def perturb(self, samples: np.ndarray, seed: int, recording: str) -> np.ndarray:
        rng = stable_rng(seed, "perturb", recording, self.split)
        power = float(np.mean(np.square(samples, dtype=np.float64)))
        noise = rng.standard_normal(len(samples)) * np.sqrt(power / 10 ** (self.snr_db / 10))
        return _within(samples + noise)


@dataclass(frozen=True)
class Speed:
    """Played faster or slower by resampling, so that the pitch changes too (Ko et al. 2015); 100 is as recorded."""

    percent: int

    def __post_init__(self) -> None:
        if not 50 <= self.percent <= 200 or self.percent == 100:
            raise ValueError(f"percent={self.percent} of a speed: take 50 to 200, and not 100, which changes nothing")

    @property
    def split(self) -> str:
        return f"speed-{self.percent}"

    def perturb(self, samples: np.ndarray, seed: int, recording: str) -> np.ndarray:
        return _resampled(samples, SAMPLE_RATE_HZ * self.percent / 100, SAMPLE_RATE_HZ)


@dataclass(frozen=True)
class BandLimit:
    """Without what lies above a frequency: 3,400 Hz is a telephone's."""

    hz: int

    def __post_init__(self) -> None:
        if not 500 <= self.hz < SAMPLE_RATE_HZ // 2:
            raise ValueError(f"hz={self.hz} of a band limit: take 500 to {SAMPLE_RATE_HZ // 2 - 1}")

    @property
    def split(self) -> str:
        return f"band-{self.hz}hz"

    def perturb(self, samples: np.ndarray, seed: int, recording: str) -> np.ndarray:
        narrow = _resampled(samples, SAMPLE_RATE_HZ, 2 * self.hz)
        return _resampled(narrow, 2 * self.hz, SAMPLE_RATE_HZ)


def _resampled(samples: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    import soxr

    return _within(soxr.resample(samples.astype(np.float32), from_hz, to_hz, quality="HQ"))


def _within(samples: np.ndarray) -> np.ndarray:
    peak = max(1.0, float(np.abs(samples).max(initial=0.0)))
    return (samples / peak).astype(np.float32)
