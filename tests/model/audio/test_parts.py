from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError
from spelangy_model.audio.parts import PartRule, cut_parts

RULE = PartRule(max_part_s=8.0, search_s=1.0)


def _noise(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(round(seconds * SAMPLE_RATE_HZ))).astype(np.float32)


def _blocks(samples: np.ndarray, size: int = 30_000) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def _cut(
    samples: np.ndarray, utterances: Sequence[tuple[float, float]] = (), size: int = 30_000
) -> list[tuple[float, np.ndarray]]:
    return [(part.offset_s, part.samples.copy()) for part in cut_parts(_blocks(samples, size), RULE, utterances)]


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 40), st.integers(999, 400_000))
def test_parts_are_the_whole_in_order_and_none_is_too_long(seconds: float, size: int):
    samples = _noise(seconds)
    parts = _cut(samples, size=size)
    assert np.array_equal(np.concatenate([part for _, part in parts]), samples)
    assert all(len(part) <= 8 * SAMPLE_RATE_HZ for _, part in parts)
    assert all(len(part) >= SAMPLE_RATE_HZ for _, part in parts[:-1])
    assert len(parts) == 1 or len(parts[-1][1]) > SAMPLE_RATE_HZ  # none is a snippet
    assert [offset for offset, _ in parts] == [round(offset, 3) for offset, _ in parts]
    assert [part.index for part in cut_parts(_blocks(samples, size), RULE)] == list(range(len(parts)))
    assert [len(part) for _, part in parts] == [len(part) for _, part in _cut(samples, size=16_000)]


def test_a_recording_as_long_as_a_part_is_one():
    (part,) = cut_parts([_noise(8.0)], RULE)
    assert (part.index, part.offset_s) == (0, 0.0)
    assert list(cut_parts([], RULE)) == []


def test_the_cut_is_in_the_quietest_place():
    samples = _noise(12.0)
    samples[round(6.4 * SAMPLE_RATE_HZ) : round(6.6 * SAMPLE_RATE_HZ)] *= 0.01
    samples[round(3.0 * SAMPLE_RATE_HZ) : round(3.5 * SAMPLE_RATE_HZ)] = 0  # quieter, and too far from the end
    assert _cut(samples)[1][0] == pytest.approx(6.5, abs=0.06)


def test_no_cut_is_inside_of_an_utterance():
    samples = _noise(12.0)
    samples[round(6.4 * SAMPLE_RATE_HZ) : round(6.6 * SAMPLE_RATE_HZ)] = 0
    cut_s = _cut(samples, [(6.2, 6.9)])[1][0]
    assert 6.0 <= cut_s <= 6.2 or 6.9 <= cut_s <= 7.0
    assert _cut(samples, [(2.0, 4.123), (4.123, 9.0)])[1][0] == 4.123  # the border of two that touch
    assert _cut(samples, [(2.0, 8.0)])[1][0] == 2.0  # before the window in which a cut is looked for


def test_speech_without_a_pause_in_the_length_of_a_part_is_reported():
    with pytest.raises(AudioError, match=r"somebody speaking at every moment") as caught:
        _cut(_noise(12.0), [(0.0, 5.0), (4.0, 12.0)])
    assert caught.value.reason == "bad_utterances"


def test_a_rule_needs_room():
    with pytest.raises(ValueError, match="too short to look for a cut"):
        PartRule(max_part_s=30, search_s=10)
