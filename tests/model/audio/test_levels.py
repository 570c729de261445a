"""Levels of segments: over the recording's noise, whatever that is, and where there is any sound."""

import numpy as np
import pytest

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.levels import with_levels
from spelangy_model.records import Segment, Stretch


def sound(*levels: tuple[float, float]) -> np.ndarray:
    """Return noise of so many seconds at so many dB of full scale, one after the other."""
    rng = np.random.default_rng(3)
    parts = [rng.normal(0, 10 ** (db / 20), round(s * SAMPLE_RATE_HZ)) for s, db in levels]
    return np.concatenate(parts).astype(np.float32)


def measured(samples: np.ndarray, start_s: float, end_s: float) -> Segment:
    (segment,) = with_levels([Segment("s", "r", start_s, end_s, "a", 0.0)], samples)
    return segment


@pytest.mark.parametrize("noise_db", [-70.0, -40.0])
def test_a_segment_is_measured_against_its_recordings_noise(noise_db: float):
    samples = sound((2, noise_db), (3, noise_db + 20), (2, noise_db))
    segment = measured(samples, 2.0, 5.0)
    assert segment.snr_db == pytest.approx(20, abs=1.0)
    assert segment.sound == [Stretch(2.0, 5.0)]


def test_steady_noise_and_silence_hold_no_sound():
    hum = measured(sound((10, -30)), 2.0, 5.0)
    assert hum.snr_db == pytest.approx(0, abs=1.0)
    assert hum.sound == []
    silent = measured(np.zeros(5 * SAMPLE_RATE_HZ, np.float32), 1.0, 2.0)
    assert silent.snr_db < 0
    assert silent.sound == []


def test_a_long_pause_parts_the_sound_and_a_short_one_does_not():
    samples = sound((2, -70), (1, -20), (0.2, -70), (1, -20), (1, -70), (1, -20), (2, -70))
    assert measured(samples, 2.0, 6.2).sound == [
        Stretch(pytest.approx(2.0, abs=0.03), pytest.approx(4.2, abs=0.03)),
        Stretch(pytest.approx(5.2, abs=0.03), pytest.approx(6.2, abs=0.03)),
    ]


def test_a_segment_at_the_very_end_is_measured():
    assert measured(sound((1, -70), (0.015, -20)), 1.0, 1.015).snr_db > 10
