"""Decode windows: what a recognizer gets of a recording, and which turn gets which word back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window, join_windows, make_windows, words_by_place, words_by_segment
from spelangy_model.records import Segment, Word


def recording(duration_s: float) -> np.ndarray:
    """Samples that tell where they come from: the value is the time in thousands of seconds."""
    return (np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ / 1000 + 1e-6).astype(np.float32)


def segment(start_s: float, end_s: float, name: str = "") -> Segment:
    return Segment(name or f"{start_s}-{end_s}", "rec", start_s, end_s, "a", 0.0)


def pieces(window: Window) -> list[tuple[str, float, float, float]]:
    return [
        (p.segment_id, p.window_start / SAMPLE_RATE_HZ, p.recording_start / SAMPLE_RATE_HZ, p.length / SAMPLE_RATE_HZ)
        for p in window.pieces
    ]


def test_turns_are_joined_and_long_silence_becomes_a_pause():
    samples = recording(30)
    (window,) = make_windows(samples, [segment(1, 3, "a"), segment(3.2, 5, "b"), segment(10, 12, "c")], pause_s=0.4)
    # The short gap stays (0.2 s, half to each side), the long one keeps 0.2 s at both of its ends.
    assert [(name, start, length) for name, _, start, length in pieces(window)] == [
        ("a", pytest.approx(0.8), pytest.approx(2.3)),
        ("b", pytest.approx(3.1), pytest.approx(2.1)),
        ("c", pytest.approx(9.8), pytest.approx(2.4)),
    ]
    assert len(window.samples) / SAMPLE_RATE_HZ == pytest.approx(2.3 + 2.1 + 2.4)
    for piece in window.pieces:
        taken = window.samples[piece.window_start : piece.window_start + piece.length]
        assert np.array_equal(taken, samples[piece.recording_start : piece.recording_start + piece.length])


def test_a_window_ends_before_it_is_too_long():
    windows = make_windows(recording(100), [segment(10 * i, 10 * i + 9.5) for i in range(9)], max_s=28.0)
    assert [len(window.pieces) for window in windows] == [2, 2, 2, 2, 1]
    (whole,) = make_windows(recording(28.0), [segment(0.0, 28.0)], max_s=28.0)
    assert len(whole.samples) == 28 * SAMPLE_RATE_HZ


def test_overlapping_turns_are_placed_one_after_the_other():
    (window,) = make_windows(recording(20), [segment(1, 8, "long"), segment(3, 4, "inside"), segment(7, 9, "over")])
    assert [piece.segment_id for piece in window.pieces] == ["long", "inside", "over"]
    first, second, _ = window.pieces
    gap = window.samples[first.window_start + first.length : second.window_start]
    assert len(gap) == round(0.4 * SAMPLE_RATE_HZ)
    assert not gap.any()


@pytest.mark.parametrize(
    ("start_s", "end_s", "words"), [(0.0, 29.0, "longer than a window"), (50.0, 51.0, "outside"), (3.0, 3.0, "outside")]
)
def test_a_segment_that_does_not_fit_is_named(start_s: float, end_s: float, words: str):
    with pytest.raises(ValueError, match=rf"segment bad of recording rec.*{words}"):
        make_windows(recording(40), [segment(start_s, end_s, "bad")])


def test_no_segments_no_windows():
    assert make_windows(recording(1), []) == []


def test_words_go_to_the_turn_that_holds_their_middle_in_recording_time():
    (window,) = make_windows(recording(30), [segment(1, 3, "a"), segment(10, 12, "b"), segment(20, 21, "c")])
    first, second, _ = (piece.window_start / SAMPLE_RATE_HZ for piece in window.pieces)
    words = [
        Word("one", first + 0.2, first + 0.7, 0.5),
        Word("over", second - 0.1, second + 0.4, 0.5),  # begins in a, its middle is in b
        Word("late", 900.0, 901.0, 0.5),
    ]
    by_segment = words_by_segment(window, words)
    assert by_segment["a"] == [Word("one", pytest.approx(1.0), pytest.approx(1.5), 0.5)]
    assert by_segment["b"] == [Word("over", pytest.approx(9.8), pytest.approx(10.2), 0.5)]
    assert by_segment["c"] == [Word("late", pytest.approx(21.2), pytest.approx(21.2), 0.5)]


spans = st.lists(st.tuples(st.integers(0, 590), st.integers(1, 60)), min_size=1, max_size=12)


@given(spans)
def test_every_segment_is_in_one_window_once_and_whole(tenths: list[tuple[int, int]]):
    samples = recording(60)
    segments = [
        segment(begin / 10, min((begin + length) / 10, 60.0), str(i)) for i, (begin, length) in enumerate(tenths)
    ]
    windows = make_windows(samples, segments, max_s=8.0)
    seen = [piece.segment_id for window in windows for piece in window.pieces]
    assert sorted(seen) == sorted(item.segment_id for item in segments)
    by_id = {item.segment_id: item for item in segments}
    for window in windows:
        assert len(window.samples) <= 8 * SAMPLE_RATE_HZ
        for piece in window.pieces:
            begin, end = piece.recording_start, piece.recording_start + piece.length
            own = by_id[piece.segment_id]
            assert 0 <= begin <= round(own.start_s * SAMPLE_RATE_HZ)
            assert round(own.end_s * SAMPLE_RATE_HZ) <= end <= len(samples)
            assert np.array_equal(window.samples[piece.window_start :][: piece.length], samples[begin:end])
            # A word in the middle of the segment comes back at the middle of the segment.
            middle = (own.start_s + own.end_s) / 2
            shift = (piece.window_start - piece.recording_start) / SAMPLE_RATE_HZ
            (word,) = words_by_segment(window, [Word("w", middle + shift, middle + shift, 1.0)])[piece.segment_id]
            assert word.start_s == pytest.approx(middle)


def test_windows_of_several_recordings_are_joined_and_words_find_home():
    def window(name: str, seconds: int, language: str = "en") -> Window:
        own = Segment(name, f"rec-{name}", 5.0, 5.0 + seconds, "a", 0.0)
        (made,) = make_windows(recording(60), [own], pause_s=0.0)
        return replace(made, language=language)

    windows = [window("a", 12), window("b", 20), window("c", 10), window("d", 3, "fr"), window("e", 5)]
    joined = join_windows(windows, max_s=28.0, pause_s=0.5)
    assert [one.places for one in joined] == [[0, 2, 4], [1], [3]]  # first fit: 12 + 0.5 + 10 + 0.5 + 5 = 28
    assert [one.window.language for one in joined] == ["en", "en", "fr"]
    full = joined[0].window
    assert len(full.samples) == 28 * SAMPLE_RATE_HZ
    begin = round(12.5 * SAMPLE_RATE_HZ)
    assert np.array_equal(full.samples[begin : begin + 10 * SAMPLE_RATE_HZ], windows[2].samples)
    words = [Word("one", 1.0, 1.5, 1.0), Word("two", 13.5, 14.0, 1.0), Word("three", 23, 24, 1)]
    homes = words_by_segment(full, words)
    assert {name: [(w.text, w.start_s) for w in words] for name, words in homes.items()} == {
        "a": [("one", 6.0)],
        "c": [("two", 6.0)],
        "e": [("three", 5.0)],
    }
    of_windows = words_by_place(joined[0], words)
    assert {place: [(w.text, w.start_s) for w in found] for place, found in of_windows.items()} == {
        0: [("one", 1.0)],
        2: [("two", 1.0)],
        4: [("three", 0.0)],  # begins in the pause before: kept inside of its window
    }


def test_joining_no_window_gives_none():
    assert join_windows([]) == []
