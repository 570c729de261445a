import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.audio.turns import Turn, join_gaps, overlap_s, segments_of, shared_spans, split_long

SECOND = 16_000
LONG_NOISE = np.random.default_rng(1).uniform(-0.5, 0.5, 136 * SECOND).astype(np.float32)


def _noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, int(seconds * SECOND)).astype(np.float32)


def test_a_turn_runs_forward():
    for start, end in ((1.0, 1.0), (2.0, 1.0), (-0.1, 1.0)):
        with pytest.raises(ValueError, match="forward"):
            Turn(start, end, "a")


def test_gaps_of_one_speaker_are_joined_also_when_another_speaks_between():
    turns = [Turn(0, 1, "a"), Turn(1.1, 1.3, "b"), Turn(1.4, 2, "a"), Turn(3, 4, "a")]
    assert join_gaps(turns, 0.5) == [Turn(0, 2, "a"), Turn(1.1, 1.3, "b"), Turn(3, 4, "a")]
    assert join_gaps(turns, 0.0) == turns
    assert join_gaps([Turn(0, 5, "a"), Turn(1, 2, "a")], 0.0) == [Turn(0, 5, "a")]


def test_long_turns_are_cut_at_the_quietest_point():
    samples = _noise(40)
    samples[int(21.9 * SECOND) : int(22.1 * SECOND)] = 0
    first, second = split_long(Turn(0, 40, "a"), samples, 28.0)
    assert first.end_s == second.start_s == pytest.approx(22.0, abs=0.1)
    assert split_long(Turn(0, 28, "a"), samples, 28.0) == [Turn(0, 28, "a")]


@given(st.floats(0.5, 130), st.floats(0, 5))
def test_parts_are_as_few_as_possible_and_none_is_too_long(duration_s: float, start_s: float):
    turn = Turn(start_s, start_s + duration_s, "a")
    parts = split_long(turn, LONG_NOISE, 28.0)
    assert len(parts) == max(1, int(np.ceil(turn.duration_s / 28.0 - 1e-9)))
    assert max(part.duration_s for part in parts) <= 28.0 + 1e-6
    assert (parts[0].start_s, parts[-1].end_s) == (turn.start_s, turn.end_s)
    assert all(left.end_s == right.start_s for left, right in itertools.pairwise(parts))


def test_overlap_counts_each_second_once():
    turns = [Turn(0, 10, "a"), Turn(2, 4, "b"), Turn(3, 5, "c"), Turn(9, 12, "b"), Turn(1, 8, "a")]
    assert overlap_s(turns) == pytest.approx([4.0, 2.0, 2.0, 1.0, 3.0])
    assert overlap_s([]) == []


def test_the_stretches_in_which_two_or_more_speak():
    turns = [Turn(0, 5, "a"), Turn(4, 6, "b"), Turn(4.5, 7, "c"), Turn(7, 9, "a"), Turn(8, 10, "a"), Turn(9, 9.5, "b")]
    assert shared_spans(turns) == [(4, 6), (9, 9.5)]
    assert shared_spans([Turn(0, 5, "a"), Turn(5, 6, "b")]) == []
    assert shared_spans([Turn(0, 9, "a"), Turn(1, 2, "b"), Turn(2, 3, "c")]) == [(1, 3)]
    assert shared_spans([]) == []


def test_segments_lie_inside_the_recording_in_whole_milliseconds():
    samples = _noise(60)
    turns = [Turn(0.0004, 58.0001, "b"), Turn(59.9, 60.4, "a"), Turn(10.0001, 10.0002, "a")]
    segments = segments_of("rec", turns, samples, 28.0)
    assert [s.speaker for s in segments] == ["b", "b", "b", "a"]
    assert segments[-1].end_s == 60.0
    assert all(s.start_s == round(s.start_s, 3) and s.end_s - s.start_s <= 28.0 for s in segments)
    assert len({s.segment_id for s in segments}) == 4


def test_ids_depend_on_recording_times_and_speaker_alone():
    samples = _noise(5)
    (one,) = segments_of("rec", [Turn(1, 2, "a")], samples, 28.0)
    (same,) = segments_of("rec", [Turn(1.0001, 2.0001, "a")], samples * 0, 28.0)
    assert one == same
    others = [("other", Turn(1, 2, "a")), ("rec", Turn(1, 2.01, "a")), ("rec", Turn(1, 2, "b"))]
    assert one.segment_id not in {segments_of(r, [t], samples, 28.0)[0].segment_id for r, t in others}
