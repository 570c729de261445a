"""CTM and SRT: what they hold, and what they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.audio.ctm import Caption, CtmError, captions_of, read_ctm, write_ctm, write_srt
from spelangy_model.records import Word

WORDS = [Word("Yes,", 0.5, 0.9, 0.75), Word("really", 1.0, 1.4, 1.0)]


def test_a_ctm_line_has_file_channel_times_word_and_confidence():
    assert write_ctm({"talk": WORDS}) == "talk 1 0.500 0.400 Yes, 0.750000\ntalk 1 1.000 0.400 really 1.000000\n"


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 2000), st.integers(0, 1000)), max_size=6))
def test_words_to_the_millisecond_survive_ctm(items: list[tuple[int, int, int]]):
    words = [Word("w", start / 1000, (start + length) / 1000, share / 1000) for start, length, share in items]
    back = read_ctm(write_ctm({"f": words})).get("f", [])
    expected = sorted((round(w.start_s, 3), round(w.end_s, 3)) for w in words)
    assert [(round(w.start_s, 3), round(w.end_s, 3)) for w in back] == expected
    assert sorted(w.confidence for w in back) == sorted(w.confidence for w in words)


def test_comments_channels_and_missing_confidences_are_read():
    found = read_ctm(";; made by hand\n\nb A 1.0 0.5 two\na 1 3 0.25 three 0.5\nb B 0.0 0.5 one 0.9\n")
    assert found == {
        "b": [Word("one", 0.0, 0.5, 0.9), Word("two", 1.0, 1.5, 1.0)],
        "a": [Word("three", 3.0, 3.25, 0.5)],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a 1 0.0 0.5\n", "line 1: 4 fields"),
        ("a 1 0.0 0.5 x 1\na 1 * * <ALT_BEGIN>\n", "line 2: start, duration and confidence are numbers"),
        ("a 1 -1 0.5 x\n", "line 1: start -1 and duration 0.5 are no time"),
        ("a 1 nan 0.5 x\n", "are no time"),
    ],
)
def test_what_is_not_ctm_is_named_by_its_line(text: str, words: str):
    with pytest.raises(CtmError) as caught:
        read_ctm(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(("name", "word"), [("two words", "x"), ("", "x"), ("f", "two words"), ("f", "")])
def test_names_and_words_with_spaces_are_refused(name: str, word: str):
    with pytest.raises(CtmError, match="hold no spaces"):
        write_ctm({name: [Word(word, 0.0, 1.0, 1.0)]})


def test_srt_is_numbered_in_order_of_time():
    captions = [Caption(3661.5, 3662.25, "later"), Caption(0.0, 1.5, "first")]
    assert write_srt(captions) == (
        "1\n00:00:00,000 --> 00:00:01,500\nfirst\n\n2\n01:01:01,500 --> 01:01:02,250\nlater\n"
    )
    assert write_srt([]) == ""


def test_captions_hold_whole_words_within_length_and_time():
    words = [Word(f"word{i:02d}", 0.5 * i, 0.5 * i + 0.4, 1.0) for i in range(40)]
    captions = captions_of(words, "A", max_characters=42, max_s=3.0)
    assert " ".join(caption.text.removeprefix("[A] ") for caption in captions) == " ".join(w.text for w in words)
    assert all(len(c.text) <= 42 + 4 and c.end_s - c.start_s <= 3.0 and c.text.startswith("[A] ") for c in captions)
    assert captions_of([]) == []
    long = [Word("x" * 100, 0.0, 9.0, 1.0)]
    assert [caption.text for caption in captions_of(long)] == ["x" * 100]  # never broken
