import numpy as np
import pytest
from scipy import signal

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.measures import SNR_RANGE_DB, SourceMeter, measure_signal

NOISE = np.random.default_rng(0).standard_normal(20 * SAMPLE_RATE_HZ).astype(np.float32)


def _tone(seconds: float, level_dbfs: float, hz: float = 997.0) -> np.ndarray:
    times = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * times)).astype(np.float32)


@pytest.mark.parametrize("level_dbfs", [-6.0, -20.0, -40.0])
def test_loudness_of_the_reference_tone(level_dbfs: float):
    # EBU Tech 3341: a stereo tone of 1 kHz at -23 dBFS measures -23 LUFS; one channel alone is 3 dB below that.
    assert measure_signal(_tone(20, level_dbfs)).loudness_lufs == pytest.approx(level_dbfs - 3.01, abs=0.1)


def test_loudness_is_gated():
    tone, silence = _tone(10, -20), np.zeros(60 * SAMPLE_RATE_HZ, np.float32)
    loud, half = measure_signal(tone).loudness_lufs, measure_signal(np.concatenate([tone, silence])).loudness_lufs
    assert half == pytest.approx(loud, abs=0.3)  # the pause counts for nothing
    assert measure_signal(silence).loudness_lufs == -70
    assert measure_signal(tone[:1000]).loudness_lufs == -70  # shorter than a block


@pytest.mark.parametrize("snr_db", [0, 10, 20, 30])
def test_snr_of_speech_like_bursts_in_noise(snr_db: float):
    bursts = np.where(np.arange(len(NOISE)) // 8000 % 2, NOISE[::-1], 0).astype(np.float32)
    measured = measure_signal(0.05 * (bursts + 10 ** (-snr_db / 20) * NOISE)).snr_db
    assert measured == pytest.approx(snr_db, abs=2)


def test_snr_stays_in_its_range():
    assert measure_signal(np.zeros(16_000, np.float32)).snr_db == SNR_RANGE_DB[0]
    assert measure_signal(np.zeros(10, np.float32)).snr_db == SNR_RANGE_DB[0]
    assert measure_signal(_tone(2, -20)).snr_db <= 0  # it never pauses
    assert measure_signal(np.concatenate([_tone(2, -200), _tone(2, 0)])).snr_db == SNR_RANGE_DB[1]


def _meter(block: np.ndarray, rate_hz: int, pieces: int = 1) -> SourceMeter:
    meter = SourceMeter(rate_hz)
    for piece in np.array_split(block, pieces):
        meter.watch(piece)
    return meter


@pytest.mark.parametrize(("rate_hz", "cut_hz"), [(48_000, 3400), (44_100, 16_000), (8000, 3400), (192_000, 20_000)])
def test_bandwidth_is_where_the_sound_ends(rate_hz: int, cut_hz: int):
    low_pass = signal.ellip(12, 0.1, 90, cut_hz, fs=rate_hz, output="sos")
    sound = signal.sosfilt(low_pass, 0.1 * NOISE + 0.2).astype(np.float32)[:, None]
    assert _meter(sound, rate_hz).bandwidth_hz == pytest.approx(cut_hz, rel=0.1)
    assert _meter(sound, rate_hz, pieces=7).bandwidth_hz == pytest.approx(_meter(sound, rate_hz).bandwidth_hz, rel=0.05)
    assert _meter(np.zeros((rate_hz, 1), np.float32), rate_hz).bandwidth_hz == 0


def test_clipping_counts_samples_of_all_channels():
    sound = np.stack([_tone(1, 6), _tone(1, -6)], axis=1).clip(-1, 1)
    clipped = np.mean(np.abs(sound) >= 0.999)
    assert 0.3 < clipped < 0.4
    assert _meter(sound, 16_000).clipping_share == pytest.approx(clipped)
    assert _meter(sound, 16_000, pieces=5).clipping_share == pytest.approx(clipped)
    assert _meter(sound[:, 1:], 16_000).clipping_share == 0
    assert SourceMeter(16_000).clipping_share == 0
