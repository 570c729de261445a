"""Filters: each reason, on a transcript made to meet it and on one that just does not."""

from dataclasses import replace

import pytest

from spelangy_model.audio.filters import FilterLimits, first_drop, longest_repeat
from spelangy_model.audio.words import spread
from spelangy_model.records import Segment, Stretch, Transcript

LIMITS = FilterLimits()


def transcript(text: str = "this is what was said here", duration_s: float = 2.0, **changes: object) -> Transcript:
    good = Transcript(
        segment_id="s",
        recording_id="r",
        speaker="a",
        start_s=1.0,
        end_s=1.0 + duration_s,
        language="en",
        text=text,
        words=spread(text, 1.0, 1.0 + duration_s),
        systems=["one", "two"],
        votes=[],
        agreement=0.9,
        confidence=0.9,
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def segment_of(item: Transcript, **changes: object) -> Segment:
    sound = [Stretch(item.start_s, item.end_s)]
    good = Segment(item.segment_id, "r", item.start_s, item.end_s, "a", overlap_s=0.0, snr_db=20.0, sound=sound)
    return replace(good, **changes)  # type: ignore[arg-type]


def reason(item: Transcript, **changes: object) -> str | None:
    drop = first_drop(item, segment_of(item, **changes), LIMITS)
    return drop.reason if drop else None


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (transcript(language="de"), "language"),
        (transcript(""), "empty"),
        (transcript("..."), "empty"),
        (transcript("hm", duration_s=0.25), "too_short"),
        (transcript("word " * 60, duration_s=31.0), "too_long"),
        (transcript("Thanks for watching!"), "hallucinated_phrase"),
        (transcript("you"), "hallucinated_phrase"),
        (transcript("no no no no no"), "loop"),
        (transcript("I think so, I think so, I think so. I think so I think so", duration_s=4), "loop"),
        (transcript("a b c a b a c a b c b a", duration_s=4.0), "loop"),
        (transcript("that was so fun ha" + 10 * "ha", duration_s=4.0), "loop"),
        (transcript("oh n" + 11 * "o", duration_s=4.0), "loop"),
        (transcript("this is so much more than people could ever say in so short a time"), "too_fast"),
        (transcript("hello there", duration_s=20.0), "too_sparse"),
        (transcript(agreement=0.4), "low_agreement"),
        (transcript(confidence=0.4), "low_confidence"),
    ],
)
def test_each_reason(bad: Transcript, why: str):
    assert reason(bad) == why


@pytest.mark.parametrize(
    "good",
    [
        transcript(),
        transcript(language="und"),
        transcript("no no no no", duration_s=1.0),
        transcript("very very very good"),
        transcript("she laughed " + 10 * "ha", duration_s=4.0),
        transcript("it cost 1" + 12 * "0", duration_s=4.0),
        transcript("hi", duration_s=0.4),
        transcript("hello there", duration_s=2.9),
        transcript("thanks for watching the game with us"),
        transcript("Thanks for watching!", systems=["given"]),
    ],
)
def test_what_is_good_enough_is_kept(good: Transcript):
    assert reason(good) is None


def test_talk_over_more_than_half_of_the_segment_is_dropped():
    assert reason(transcript(), overlap_s=1.0) is None
    assert reason(transcript(), overlap_s=1.1) == "overlapped"


def test_a_segment_that_hardly_rises_above_the_noise_is_dropped():
    assert reason(transcript(), snr_db=3.1) is None
    assert reason(transcript(), snr_db=2.9) == "low_snr"
    assert reason(transcript(), snr_db=float("nan")) is None


def test_words_on_silence_are_dropped_and_given_ones_are_not():
    half = [Stretch(1.0, 2.0)]  # six words from 1 to 3 s
    assert reason(transcript(), sound=half) is None
    assert reason(transcript(), sound=[Stretch(1.0, 1.5)]) == "text_on_silence"
    assert reason(transcript(), sound=[]) == "text_on_silence"
    assert reason(transcript(systems=["given"]), sound=[]) is None


def test_a_foreign_stretch_without_a_transcript_is_foreign_and_not_empty():
    assert reason(transcript("", language="fr")) == "language"


def test_a_drop_says_what_was_measured():
    bad = transcript(agreement=0.4)
    drop = first_drop(bad, segment_of(bad), LIMITS)
    assert drop is not None
    assert drop.detail == "0.40 < 0.5"


@pytest.mark.parametrize(
    ("words", "size", "repeats"),
    [
        ("a a a", 1, 3),
        ("a b a b a b", 2, 3),
        ("a b a b a", 2, 2),
        ("a b c", 1, 1),
        ("a", 2, 0),
        ("x a a y a a a", 1, 3),
    ],
)
def test_repeats_are_counted(words: str, size: int, repeats: int):
    assert longest_repeat(words.split(), size) == repeats
