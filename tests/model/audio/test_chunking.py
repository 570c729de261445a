"""Chunking: what is merged, what is cut, and where; and what holds for any transcripts."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.audio.chunking import ChunkRule, Span, chunk_recording
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.words import spread
from spelangy_model.records import DroppedTranscript, Transcript, Word

COARSE = ChunkRule(kind="coarse")
FINE = ChunkRule(kind="fine")


def noise(duration_s: float, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(7).normal(0, level, round(duration_s * SAMPLE_RATE_HZ)).astype(np.float32)


def hush(samples: np.ndarray, start_s: float, end_s: float) -> None:
    samples[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)] = 0


def said(text: str, start_s: float, end_s: float, speaker: str = "a", words: list[Word] | None = None) -> Transcript:
    return Transcript(
        segment_id=f"{speaker}{start_s}",
        recording_id="r",
        speaker=speaker,
        start_s=start_s,
        end_s=end_s,
        language="en",
        text=text,
        words=words or spread(text, start_s, end_s),
        systems=["one"],
        votes=[],
        agreement=1.0,
        confidence=1.0,
    )


def gone(start_s: float, end_s: float, speaker: str = "a") -> DroppedTranscript:
    return DroppedTranscript("d", "r", speaker, start_s, end_s, "language", "", "")


def chunk(transcripts: list[Transcript], rule: ChunkRule, dropped: list[DroppedTranscript] | None = None) -> list[Span]:
    return chunk_recording(noise(120), transcripts, dropped or [], rule)


# --- coarse ---------------------------------------------------------------------------------------------------


def test_coarse_merges_one_speakers_consecutive_turns():
    spans = chunk([said("One.", 1, 3), said("Two.", 4, 6), said("Three.", 7, 9, "b"), said("Four.", 10, 12)], COARSE)
    assert [(span.speaker, span.text) for span in spans] == [("a", "One. Two."), ("b", "Three."), ("a", "Four.")]


def test_coarse_keeps_the_gap_rule_and_the_longest_length():
    gap = chunk([said("One.", 1, 3), said("Two.", 5.1, 6)], COARSE)
    assert len(gap) == 2
    assert len(chunk([said("One.", 1, 3), said("Two.", 5.0, 6)], COARSE)) == 1
    long = chunk([said("One.", i * 10.5, i * 10.5 + 9.5) for i in range(6)], COARSE)
    assert [span.text for span in long] == ["One. One."] * 3
    assert all(span.end_s - span.start_s <= 30 for span in long)


def test_sound_without_text_is_never_inside_of_a_chunk():
    turns = [said("One.", 1, 3), said("Two.", 4, 6)]
    assert len(chunk(turns, COARSE, [gone(3.2, 3.8)])) == 2
    assert len(chunk(turns, COARSE, [gone(3.2, 3.8, "b")])) == 2
    for span in chunk(turns, COARSE, [gone(3.2, 3.8)]):
        assert span.end_s <= 3.2 or span.start_s >= 3.8


# --- fine -----------------------------------------------------------------------------------------------------


def test_fine_cuts_a_turn_at_sentence_ends_and_merges_nothing():
    spans = chunk([said("Dr. Lee came in. Was it late? It was 3.5 hours", 0, 12), said("late.", 12.5, 14)], FINE)
    assert [span.text for span in spans] == ["Dr. Lee came in.", "Was it late?", "It was 3.5 hours", "late."]
    first, second, third, _ = spans
    assert (first.end_s, second.end_s) == (second.start_s, third.start_s)


def test_fine_keeps_a_very_short_sentence_with_its_neighbour():
    turn = said("", 0, 8, words=[*spread("Yes. I think that is right.", 0.0, 5.0), *spread("Sure.", 5.2, 5.9)])
    assert [span.text for span in chunk([turn], FINE)] == ["Yes. I think that is right. Sure."]


def test_both_chunkings_hold_the_same_words_in_the_same_stretches():
    turns = [
        said("It rains. We stay at home.", 1, 5),
        said("So be it then.", 5.5, 8),
        said("Well, I go out.", 9, 12, "b"),
    ]
    coarse, fine = chunk(turns, COARSE), chunk(turns, FINE)
    assert " ".join(span.text for span in coarse) == " ".join(span.text for span in fine)
    assert coarse[0].start_s == fine[0].start_s
    assert coarse[0].end_s == fine[2].end_s


# --- where a cut lies -------------------------------------------------------------------------------------------


def test_a_cut_lies_at_the_quietest_point_between_the_words():
    samples = noise(20)
    hush(samples, 4.3, 4.5)
    words = [*spread("It rains.", 1.0, 4.0), *spread("We stay.", 5.0, 8.0)]
    first, second = chunk_recording(samples, [said("", 1, 8, words=words)], [], FINE)
    assert first.end_s == second.start_s == pytest.approx(4.4, abs=0.02)


def test_the_outer_ends_look_for_quiet_within_the_margin_and_the_gap():
    samples = noise(20)
    hush(samples, 0.0, 0.9)
    hush(samples, 8.1, 8.2)
    (span,) = chunk_recording(samples, [said("It rains. ", 1.0, 8.0)], [], COARSE)
    assert span.start_s == pytest.approx(0.85, abs=0.03)
    assert span.end_s == pytest.approx(8.15, abs=0.02)
    first, second = chunk_recording(samples, [said("One.", 1.0, 8.0), said("Two.", 8.1, 9.0, "b")], [], COARSE)
    assert 8.0 <= first.end_s <= 8.05 <= second.start_s <= 8.1


def test_words_that_reach_out_of_their_segment_are_not_cut():
    words = [Word("It", 0.8, 1.2, 1.0), Word("rains.", 7.6, 8.3, 1.0)]
    (span,) = chunk([said("", 1.0, 8.0, words=words)], COARSE)
    assert span.start_s <= 0.8
    assert span.end_s >= 8.3


# --- documents --------------------------------------------------------------------------------------------------


def test_a_document_ends_at_a_long_gap_or_when_it_is_full():
    turns = [said("One.", 1, 3), said("Two.", 4, 6, "b"), said("Three.", 30, 32)]
    assert [(span.document, span.index) for span in chunk(turns, COARSE)] == [(0, 0), (0, 1), (1, 0)]
    full = ChunkRule(kind="coarse", max_document_chunks=1)
    assert [(span.document, span.index) for span in chunk(turns, full)] == [(0, 0), (1, 0), (2, 0)]


def test_a_rule_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="'coarse' or 'fine'"):
        ChunkRule(kind="medium")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="min_sentence_s"):
        ChunkRule(kind="fine", min_sentence_s=0.0)


# --- what holds for any transcripts -------------------------------------------------------------------------------

NOISE = noise(80)
texts = st.lists(st.sampled_from(["Yes.", "no", "It rains.", "why?", "Mr.", "well,"]), min_size=1, max_size=9)
turns = st.lists(
    st.tuples(texts, st.integers(3, 60), st.integers(-10, 60), st.sampled_from("ab"), st.booleans()),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(turns, st.sampled_from([COARSE, FINE]))
def test_no_word_is_lost_or_cut(rows: list[tuple[list[str], int, int, str, bool]], rule: ChunkRule):
    kept, dropped, time_s = [], [], 3.0
    for text, tenths, gap, speaker, good in rows:
        start_s, end_s = time_s, time_s + tenths / 10
        if good:
            kept.append(said(" ".join(text), start_s, end_s, speaker))
        else:
            dropped.append(gone(start_s, end_s, speaker))
        time_s = max(end_s + gap / 10, start_s + 0.1)
    spans = chunk_recording(NOISE, kept, dropped, rule)
    words = sorted((word.start_s, word.end_s, word.text) for span in spans for word in span.words)
    assert words == sorted((word.start_s, word.end_s, word.text) for turn in kept for word in turn.words)
    for span in spans:
        assert 0 <= span.start_s < span.end_s <= 80
        assert span.start_s <= span.words[0].start_s + 1e-4
        assert span.end_s >= span.words[-1].end_s - 1e-4
        assert span.start_s * SAMPLE_RATE_HZ == pytest.approx(round(span.start_s * SAMPLE_RATE_HZ), abs=1e-6)
    assert [(span.document, span.index) for span in spans] == sorted((span.document, span.index) for span in spans)
    for one, next_one in pairwise(spans):
        assert next_one.index == (one.index + 1 if one.document == next_one.document else 0)
