import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from spelangy_model.audio.fingerprint import HOP_S, landmarks, matched_frames
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode


@pytest.fixture(scope="module")
def talk(project_dir: Path) -> np.ndarray:
    return decode(project_dir / "spelangy_assets/sample/snapshots/audio/2026-01/talk-02.opus").samples[: 40 * 16_000]


def _through(samples: np.ndarray, rate_hz: int = SAMPLE_RATE_HZ, **options: str) -> np.ndarray:
    buffer = io.BytesIO()
    soundfile.write(buffer, soxr.resample(samples, SAMPLE_RATE_HZ, rate_hz), rate_hz, **options)
    return decode(buffer.getvalue()).samples


def _matches(one: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """Return the distance in frames at which most landmarks match, and how many do."""
    (first, second) = landmarks(one), landmarks(other)
    at: dict[int, list[int]] = {}
    for key, frame in zip(*(part.tolist() for part in first), strict=True):
        at.setdefault(key, []).append(frame)
    later = zip(*(part.tolist() for part in second), strict=True)
    places = Counter(frame - begin for key, frame in later for begin in at.get(key, []))
    distance = places.most_common(1)[0][0] if places else 0
    return distance, len(matched_frames(first, second, distance))


def test_landmarks_are_few_and_the_same_again(talk: np.ndarray):
    hashes, frames = landmarks(talk)
    assert hashes.dtype == frames.dtype == np.int32
    assert 5 < len(hashes) / 40 < 30
    assert np.all(np.diff(frames) >= 0) and frames.max() * HOP_S < 40
    assert all(np.array_equal(*pair) for pair in zip((hashes, frames), landmarks(talk * 0.25), strict=True))


def test_blocks_leave_no_seam(talk: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    whole = list(zip(*(part.tolist() for part in landmarks(talk)), strict=True))
    monkeypatch.setattr("spelangy_model.audio.fingerprint._BLOCK_FRAMES", 500)
    cut = list(zip(*(part.tolist() for part in landmarks(talk)), strict=True))
    assert len(set(whole) & set(cut)) > 0.95 * len(whole)  # the floor is a block's own


@pytest.mark.parametrize(
    "options",
    [
        {"format": "OGG", "subtype": "OPUS"},
        {"format": "OGG", "subtype": "VORBIS"},
        {"format": "MP3", "subtype": "MPEG_LAYER_III", "rate_hz": 44_100},
        {"format": "WAV", "subtype": "ULAW", "rate_hz": 8000},
        {"format": "WAV", "subtype": "GSM610", "rate_hz": 8000},
    ],
)
def test_another_codec_another_gain_and_a_cut_edge_keep_landmarks(talk: np.ndarray, options: dict):
    if options["subtype"] != "GSM610":  # of which few landmarks stay; the others are slow to encode
        talk = talk[: 20 * SAMPLE_RATE_HZ]
    copy = 0.4 * _through(talk, **options)[round(5.003 * SAMPLE_RATE_HZ) :]
    distance, matches = _matches(talk, copy)
    assert distance * HOP_S == pytest.approx(-5.003, abs=0.04)
    assert matches >= 25


def test_other_talk_of_other_voices_shares_none(talk: np.ndarray, project_dir: Path):
    other = decode(project_dir / "spelangy_assets/sample/snapshots/audio/2026-02/talk-05.opus").samples
    assert _matches(talk, other)[1] < 6


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(900, np.float32), np.ones(1100, np.float32)])
def test_what_is_too_short_has_none(samples: np.ndarray):
    assert len(landmarks(samples)[0]) == 0
