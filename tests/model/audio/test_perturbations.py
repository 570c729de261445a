"""Perturbations do what their names say, within full scale, and are drawn by the seed and the recording alone."""

import numpy as np
import pytest

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.perturbations import BandLimit, Noise, Perturbation, Speed

TONES = (
    0.3 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    + 0.3 * np.sin(2 * np.pi * 3000 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
).astype(np.float32)


def level(samples: np.ndarray, hz: float) -> float:
    """The amplitude of a frequency in samples."""
    spectrum = np.abs(np.fft.rfft(samples)) / len(samples) * 2
    return float(spectrum[round(hz * len(samples) / SAMPLE_RATE_HZ)])


@pytest.mark.parametrize("snr_db", [0, 10, 20])
def test_noise_has_the_ratio_that_it_names_and_is_drawn_by_seed_and_recording(snr_db: int) -> None:
    noise = Noise(snr_db)
    found = noise.perturb(TONES / 4, 0, "r1")
    added = found - TONES / 4
    assert 10 * np.log10(np.mean((TONES / 4) ** 2) / np.mean(added**2)) == pytest.approx(snr_db, abs=0.2)
    assert np.array_equal(found, noise.perturb(TONES / 4, 0, "r1"))
    assert not np.array_equal(found, noise.perturb(TONES / 4, 0, "r2"))
    assert not np.array_equal(found, noise.perturb(TONES / 4, 1, "r1"))


def test_speed_changes_length_and_pitch() -> None:
    fast = Speed(125).perturb(TONES, 0, "r")
    assert len(fast) == pytest.approx(len(TONES) / 1.25, abs=2)
    assert level(fast, 550) > 0.2
    assert level(fast, 440) < 0.02


def test_a_band_limit_takes_away_what_is_above_it() -> None:
    narrow = BandLimit(2000).perturb(TONES, 0, "r")
    assert len(narrow) == pytest.approx(len(TONES), abs=2)
    assert level(narrow, 440) > 0.25
    assert level(narrow, 3000) < 0.001


@pytest.mark.parametrize(
    ("one", "split"),
    [
        (Noise(10), "noise-10db"),
        (Noise(-5), "noise-minus-5db"),
        (Speed(80), "speed-80"),
        (BandLimit(3400), "band-3400hz"),
    ],
)
def test_a_perturbation_names_its_split_and_stays_within_full_scale(one: Perturbation, split: str) -> None:
    assert isinstance(one, Perturbation)
    assert one.split == split
    found = one.perturb(np.sign(TONES).astype(np.float32), 0, "r")
    assert found.dtype == np.float32
    assert np.abs(found).max() <= 1


def test_what_perturbs_nothing_or_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="percent=100 of a speed"):
        Speed(100)
    with pytest.raises(ValueError, match="hz=8000 of a band limit"):
        BandLimit(8000)
