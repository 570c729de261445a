"""Log-mel features: rates, invariances and clear errors."""

import numpy as np
import pytest

from spelangy_model.tokenizer.features import SAMPLE_RATE_HZ, frame_count, log_mel


def tone(frequency_hz: float, seconds: float) -> np.ndarray:
    time_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.1 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 16_000, 16_001])
def test_one_frame_for_each_hop_begun(samples: int) -> None:
    noise = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    assert tuple(log_mel(noise, 40).shape) == (frame_count(samples), 40)
    assert frame_count(samples) == -(-samples // 160)


def test_a_change_of_tone_is_seen_where_it_happens() -> None:
    features = log_mel(np.concatenate([tone(300, 0.5), tone(3000, 0.5)]), 40)
    low, high = features[5:45].mean(0), features[55:95].mean(0)
    assert int(low.argmax()) < 12
    assert int(high.argmax()) > 20


def test_gain_changes_nothing() -> None:
    noise = np.random.default_rng(1).standard_normal(8000).astype(np.float32)
    np.testing.assert_allclose(log_mel(noise, 40), log_mel(noise * np.float32(0.01), 40), atol=1e-3)


def test_digital_silence_is_finite() -> None:
    assert bool(log_mel(np.zeros(4000, np.float32), 40).isfinite().all())


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros((2, 100), np.float32)])
def test_what_is_no_mono_sound_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="mono"):
        log_mel(samples, 40)


def test_nan_is_refused() -> None:
    samples = np.zeros(1000, np.float32)
    samples[10] = np.nan
    with pytest.raises(ValueError, match="finite"):
        log_mel(samples, 40)
