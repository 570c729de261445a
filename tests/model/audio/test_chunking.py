"""Chunking: what is merged, what is cut, and where; and what holds for any transcripts."""

import functools
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.audio.chunking import ChunkRule, Sentences, Span, Turns, chunk_recording
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.rover import RoverWeights, rover
from spelangy_model.audio.words import normalized, spread, text_of
from spelangy_model.records import DroppedTranscript, Transcript, Word

COARSE = Turns()
FINE = Sentences()


@functools.cache
def minute() -> np.ndarray:
    return np.random.default_rng(7).normal(0, 1, 60 * SAMPLE_RATE_HZ).astype(np.float32)


def noise(duration_s: float, level: float = 0.1) -> np.ndarray:
    return np.float32(level) * np.resize(minute(), round(duration_s * SAMPLE_RATE_HZ))


def hush(samples: np.ndarray, start_s: float, end_s: float) -> None:
    samples[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)] = 0


def spoken(text: str, start_s: float, end_s: float, speaker: str = "a", words: list[Word] | None = None) -> Transcript:
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
    spans = chunk(
        [
            spoken("One.", 1, 3),
            spoken("Two.", 4, 6),
            spoken("Three.", 7, 9, "b"),
            spoken("Four.", 10, 12),
        ],
        COARSE,
    )
    assert [(span.speaker, span.text) for span in spans] == [("a", "One. Two."), ("b", "Three."), ("a", "Four.")]


def test_coarse_keeps_the_gap_rule_and_the_longest_length():
    gap = chunk([spoken("One.", 1, 3), spoken("Two.", 5.1, 6)], COARSE)
    assert len(gap) == 2
    assert len(chunk([spoken("One.", 1, 3), spoken("Two.", 5.0, 6)], COARSE)) == 1
    long = chunk([spoken("One.", i * 10.5, i * 10.5 + 9.5) for i in range(6)], COARSE)
    assert [span.text for span in long] == ["One. One."] * 3
    assert all(span.end_s - span.start_s <= 30 for span in long)


def test_sound_without_text_is_never_inside_of_a_chunk():
    turns = [spoken("One.", 1, 3), spoken("Two.", 4, 6)]
    assert len(chunk(turns, COARSE, [gone(3.2, 3.8)])) == 2
    assert len(chunk(turns, COARSE, [gone(3.2, 3.8, "b")])) == 2
    for span in chunk(turns, COARSE, [gone(3.2, 3.8)]):
        assert span.end_s <= 3.2 or span.start_s >= 3.8


# --- fine -----------------------------------------------------------------------------------------------------


def test_fine_cuts_a_turn_at_sentence_ends_and_merges_nothing():
    spans = chunk([spoken("Dr. Lee came in. Was it late? It was 3.5 hours", 0, 12), spoken("late.", 12.5, 14)], FINE)
    assert [span.text for span in spans] == ["Dr. Lee came in.", "Was it late?", "It was 3.5 hours", "late."]
    first, second, third, _ = spans
    assert (first.end_s, second.end_s) == (second.start_s, third.start_s)


def test_fine_keeps_a_very_short_sentence_with_its_neighbour():
    turn = spoken("", 0, 8, words=[*spread("Yes. I think that is right.", 0.0, 5.0), *spread("Sure.", 5.2, 5.9)])
    assert [span.text for span in chunk([turn], FINE)] == ["Yes. I think that is right. Sure."]


def paused(*words: tuple[str, float, float]) -> Transcript:
    """A turn whose words have the given times."""
    return spoken(
        "", words[0][1], words[-1][2], words=[Word(text, start_s, end_s, 0.9) for text, start_s, end_s in words]
    )


def test_fine_cuts_a_long_sentence_at_its_longest_pauses():
    turn = paused(
        ("so", 1.0, 1.5), ("we", 1.6, 2.0), ("went", 2.8, 3.2), ("down", 3.3, 4.0), ("to", 4.5, 5.0), ("town.", 5.1, 6)
    )
    assert [span.text for span in chunk([turn], FINE)] == ["so we went down to town."]
    assert [span.text for span in chunk([turn], Sentences(max_s=5.0))] == ["so we went down to town."]
    assert [span.text for span in chunk([turn], Sentences(max_s=4.9))] == ["so we", "went down to town."]
    assert [span.text for span in chunk([turn], Sentences(max_s=3.0))] == ["so we", "went down", "to town."]


def test_of_equal_pauses_the_one_nearest_the_middle_is_cut():
    turn = paused(*((f"w{i}", 1.0 + i, 1.8 + i) for i in range(6)))
    assert [span.text for span in chunk([turn], Sentences(max_s=4.0))] == ["w0 w1 w2", "w3 w4 w5"]


def test_one_word_is_never_cut_however_long_it_is():
    turn = paused(("aaah", 1.0, 9.0), ("yes.", 9.1, 9.5))
    assert [span.text for span in chunk([turn], Sentences(max_s=2.0))] == ["aaah", "yes."]


def test_a_short_sentence_is_not_changed_by_the_longest_length():
    turns = [spoken("Dr. Lee came in. Was it late? It was 3.5 hours", 0, 12), spoken("late.", 12.5, 14)]
    assert chunk(turns, Sentences(max_s=12.0)) == chunk(turns, FINE)


def test_both_chunkings_hold_the_same_words_in_the_same_stretches():
    turns = [
        spoken("It rains. We stay at home.", 1, 5),
        spoken("So be it then.", 5.5, 8),
        spoken("Well, I go out.", 9, 12, "b"),
    ]
    coarse, fine = chunk(turns, COARSE), chunk(turns, FINE)
    assert " ".join(span.text for span in coarse) == " ".join(span.text for span in fine)
    assert coarse[0].start_s == fine[0].start_s
    assert coarse[0].end_s == fine[2].end_s


def test_the_papers_mean_lengths_are_reached_by_literals():
    rng = np.random.default_rng(5)
    turns, time_s = [], 1.0
    for _ in range(200):  # one speaker, pausing now and then; sentences of 1 to 4 s
        words: list[Word] = []
        for _ in range(int(rng.integers(1, 5))):
            length_s = rng.uniform(1.0, 4.0)
            words += spread("It was so in the town.", time_s, time_s + length_s)
            time_s += length_s + 0.15
        turns.append(spoken("", words[0].start_s, words[-1].end_s, words=words))
        time_s += 0.8
    samples = noise(time_s + 1)
    coarse = chunk_recording(samples, turns, [], Turns(max_s=24.0))
    fine = chunk_recording(samples, turns, [], Sentences(min_sentence_s=3.5))
    assert (Turns.PAPER_MEAN_S, Sentences.PAPER_MEAN_S) == (19.2, 5.2)
    assert np.mean([span.end_s - span.start_s for span in coarse]) == pytest.approx(19.2, rel=0.1)
    assert np.mean([span.end_s - span.start_s for span in fine]) == pytest.approx(5.2, rel=0.1)


# --- cut where the named system ends its sentences --------------------------------------------------------------


@pytest.mark.parametrize("order", permutations(range(3)))
def test_two_systems_without_marks_do_not_change_where_a_third_ones_sentences_are_cut(order: tuple[int, ...]):
    """The golden triple: a system that writes case and marks, and two that do not."""
    text = "The otter lives in Italy. It eats plums, and sleeps all day. Mr. Smith did so too! Everyone knows why."
    cased = spread(text, 1.0, 10.0, 0.6)
    plain = [spread(" ".join(map(normalized, text.split())), 1.0, 10.0, sure) for sure in (0.9, 0.95)]
    systems = [cased, *plain]
    agreed = rover(
        [systems[i] for i in order], RoverWeights(written=("cased",)), [["cased", "plain", "plainer"][i] for i in order]
    )
    assert text_of(agreed.words) == text
    alone = rover([cased], RoverWeights())
    (one, other) = (chunk([spoken("", 1.0, 10.0, words=words.words)], FINE) for words in (alone, agreed))
    assert [(span.start_s, span.end_s, span.text) for span in one] == [
        (span.start_s, span.end_s, span.text) for span in other
    ]
    assert len(one) == 4


# --- where a cut lies -------------------------------------------------------------------------------------------


def test_a_cut_lies_in_the_quiet_between_the_words_close_to_the_first():
    samples = noise(20)
    hush(samples, 4.3, 4.5)
    words = [*spread("It rains.", 1.0, 4.0), *spread("We stay.", 5.0, 8.0)]
    first, second = chunk_recording(samples, [spoken("", 1, 8, words=words)], [], FINE)
    assert first.end_s == second.start_s == pytest.approx(4.35, abs=0.02)


def test_the_outer_ends_lie_in_the_nearest_pause_within_the_margin():
    samples = noise(20)
    hush(samples, 0.0, 0.9)
    hush(samples, 8.1, 8.4)
    (span,) = chunk_recording(samples, [spoken("It rains. ", 1.0, 8.0)], [], COARSE)
    assert span.start_s == pytest.approx(0.85, abs=0.02)
    assert span.end_s == pytest.approx(8.15, abs=0.02)


def test_two_chunks_share_the_quiet_point_of_a_short_gap():
    samples = noise(20)
    hush(samples, 8.1, 8.2)
    first, second = chunk_recording(samples, [spoken("One.", 1.0, 8.0), spoken("Two.", 8.3, 9.0, "b")], [], COARSE)
    assert first.end_s == second.start_s == pytest.approx(8.15, abs=0.02)


def test_a_short_closure_is_no_pause():
    samples = noise(20)
    hush(samples, 8.06, 8.12)  # the closure of a "t" whose release comes after the word's time
    samples[round(8.2 * SAMPLE_RATE_HZ) :] *= 0.01
    (span,) = chunk_recording(samples, [spoken("", 1.0, 8.0, words=spread("It", 1.0, 8.0))], [], COARSE)
    assert span.end_s > 8.2


def test_merged_turns_that_overlap_end_with_the_word_that_ends_last():
    turns = [
        spoken("", 1, 3.2, words=spread("It rains.", 1.0, 3.2)),
        spoken("", 3.1, 3.15, words=spread("No.", 3.1, 3.15)),
    ]
    rule = Turns(slack_s=0.0, margin_s=0.0)
    (span,) = chunk(turns, rule)
    assert span.end_s == 3.2


def test_where_somebody_speaks_on_both_chunks_share_the_quietest_point():
    samples = noise(20)
    fading = np.interp(np.arange(len(samples)) / SAMPLE_RATE_HZ, [7.7, 8.08, 8.1], [1, 0.5, 1])  # no pause: 6 dB
    turns = [spoken("One.", 1.0, 8.0), spoken("", 8.0, 9.0, "b", words=spread("Two.", 8.0, 9.0))]
    first, second = chunk_recording((samples * fading).astype(np.float32), turns, [], COARSE)
    assert first.end_s == second.start_s == pytest.approx(8.06, abs=0.04)


def test_a_turn_that_goes_on_after_its_last_word_is_kept_to_its_end():
    samples = noise(20)
    hush(samples, 8.06, 8.2)
    hush(samples, 8.5, 9.0)
    words = spread("It rains.", 1.0, 8.0)
    assert 8.06 < chunk_recording(samples, [spoken("", 1.0, 8.0, words=words)], [], COARSE)[0].end_s < 8.2
    assert chunk_recording(samples, [spoken("", 1.0, 8.4, words=words)], [], COARSE)[0].end_s > 8.5


def test_a_cut_leaves_a_gap_without_quiet_for_the_silence_that_a_word_was_given():
    samples = noise(20)
    hush(samples, 4.2, 4.5)
    words = [*spread("It rains.", 1.0, 4.0), *spread("We stay.", 4.05, 8.0)]  # "We" begins in fact at 4.5
    first, second = chunk_recording(samples, [spoken("", 1, 8, words=words)], [], FINE)
    assert first.end_s == second.start_s == pytest.approx(4.25, abs=0.03)
    assert second.words[0].start_s == second.start_s
    strict = Sentences(slack_s=0.0)
    first, second = chunk_recording(samples, [spoken("", 1, 8, words=words)], [], strict)
    assert 4.0 <= first.end_s == second.start_s <= 4.05
    assert second.words[0].start_s == 4.05


def test_words_that_reach_out_of_their_segment_are_not_cut():
    words = [Word("It", 0.8, 1.2, 1.0), Word("rains.", 7.6, 8.3, 1.0)]
    (span,) = chunk([spoken("", 1.0, 8.0, words=words)], COARSE)
    assert span.start_s <= 0.8
    assert span.end_s >= 8.3


# --- documents --------------------------------------------------------------------------------------------------


def test_a_document_ends_at_a_long_gap_or_when_it_is_full():
    turns = [spoken("One.", 1, 3), spoken("Two.", 4, 6, "b"), spoken("Three.", 30, 32)]
    assert [(span.document, span.index) for span in chunk(turns, COARSE)] == [(0, 0), (0, 1), (1, 0)]
    full = Turns(max_document_chunks=1)
    assert [(span.document, span.index) for span in chunk(turns, full)] == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize(
    ("rule", "option", "value"),
    [
        (Turns, "max_document_chunks", 0),
        (Sentences, "max_document_chunks", 0),
        (Sentences, "min_sentence_s", 0.0),
        (Sentences, "max_s", 1.0),  # as short as the shortest sentence
        (Turns, "max_s", -1.0),
        (Turns, "max_s", float("nan")),
        (Turns, "max_gap_s", -0.1),
        (Turns, "margin_s", -0.1),
        (Sentences, "margin_s", float("nan")),
        (Sentences, "slack_s", -0.1),
        (Sentences, "max_s", float("nan")),
        (Sentences, "min_sentence_s", float("nan")),
        (Sentences, "max_document_gap_s", -1.0),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_the_name_of_its_option(rule: type, option: str, value: float):
    with pytest.raises(ValueError, match=option):
        rule(**{option: value})


@pytest.mark.parametrize(("rule", "option"), [(Turns, "min_sentence_s"), (Sentences, "max_gap_s"), (Turns, "kind")])
def test_a_rule_has_no_option_that_it_would_ignore(rule: type, option: str):
    with pytest.raises(TypeError, match=option):
        rule(**{option: 1.0})


# --- what holds for any transcripts -------------------------------------------------------------------------------


def half_silent_noise(duration_s: float) -> np.ndarray:
    """Noise that is silent here and there, without regard to any words."""
    samples = noise(duration_s)
    rng = np.random.default_rng(11)
    for start_s in rng.uniform(0, duration_s, int(duration_s)):
        hush(samples, start_s, start_s + rng.uniform(0.02, 0.6))
    return samples


NOISE = half_silent_noise(80)
word_texts = st.sampled_from(["Yes.", "no", "It", "rains.", "why?", "Mr.", "well,"])
timed_words = st.lists(st.tuples(word_texts, st.integers(0, 80), st.integers(0, 60)), min_size=1, max_size=9)
turns = st.lists(
    st.tuples(timed_words, st.integers(-100, 600), st.integers(-30, 50), st.sampled_from("ab"), st.booleans()),
    min_size=1,
    max_size=6,
)
edges = {"slack_s": st.sampled_from([0.0, 0.4]), "margin_s": st.sampled_from([0.0, 0.5])}
rules = st.one_of(
    st.builds(Turns, max_s=st.sampled_from([6.0, 30.0]), **edges),
    st.builds(Sentences, max_s=st.sampled_from([None, 1.2, 6.0]), **edges),
)


@settings(deadline=None, max_examples=100)
@given(turns, rules)
def test_no_word_is_lost_or_cut(rows: list[tuple[list[tuple[str, int, int]], int, int, str, bool]], rule: ChunkRule):
    kept, dropped, time_s = [], [], 3.0
    for texts, gap, loose, speaker, good in rows:
        words, word_s = [], time_s
        for text, hundredths, pause in texts:
            words.append(Word(text, word_s, word_s + hundredths / 100, 0.9))
            word_s += (hundredths + pause) / 100
        # A segment's borders are the diarizer's: before, at or inside of the words.
        start_s, end_s = time_s - loose / 100, max(words[-1].end_s + loose / 100, time_s - loose / 100 + 0.05)
        if good:
            kept.append(spoken("", start_s, end_s, speaker, words))
        else:
            dropped.append(gone(start_s, end_s, speaker))
        time_s = max(end_s + gap / 100, start_s + 0.1)
    spans = chunk_recording(NOISE, kept, dropped, rule)

    in_turns = sorted(kept, key=lambda turn: (min(turn.start_s, turn.words[0].start_s), _end_s(turn), turn.speaker))
    given_words = [word for turn in in_turns for word in turn.words]
    found_words = [word for span in spans for word in span.words]
    assert [word.text for word in found_words] == [word.text for word in given_words]
    if rule.slack_s == 0:  # then no word gives way: each is where it was, and whole
        for found, word in zip(found_words, given_words, strict=True):
            assert (found.start_s, found.end_s) == pytest.approx((word.start_s, word.end_s), abs=1e-4)
    if isinstance(rule, Sentences) and rule.max_s is not None and rule.slack_s == 0:
        for span in spans:
            assert len(span.words) == 1 or span.words[-1].end_s - span.words[0].start_s <= rule.max_s + 1e-3
    for span in spans:
        assert 0 <= span.start_s < span.end_s <= 80
        assert all(span.start_s <= word.start_s <= word.end_s <= span.end_s for word in span.words)
        assert span.start_s * SAMPLE_RATE_HZ == pytest.approx(round(span.start_s * SAMPLE_RATE_HZ), abs=1e-6)
    assert [(span.document, span.index) for span in spans] == sorted((span.document, span.index) for span in spans)
    for one, next_one in pairwise(spans):
        assert next_one.index == (one.index + 1 if one.document == next_one.document else 0)


def _end_s(turn: Transcript) -> float:
    return max(turn.end_s, turn.words[-1].end_s)
