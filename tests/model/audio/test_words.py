"""Words: how they are compared, spread over an utterance and kept in order of time."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.audio.words import in_order, normalized, spread, text_of
from spelangy_model.records import Word

times = st.floats(0, 100, allow_nan=False)
words = st.lists(st.builds(Word, st.sampled_from(["a", "b"]), times, times, st.just(1.0)), max_size=12)


def test_words_are_compared_without_case_and_punctuation():
    assert normalized("Don't,") == normalized("don’t") == "dont"
    assert normalized("$5") != normalized("5")
    assert normalized("Straße") == normalized("STRASSE")
    assert normalized("--") == ""
    assert normalized("नमस्ते।") == "नमस्ते"


@given(words)
def test_times_in_order_never_overlap_and_words_keep_their_order(loose: list[Word]):
    tidy = in_order(loose)
    assert [word.text for word in tidy] == [word.text for word in loose]
    assert all(word.start_s <= word.end_s for word in tidy)
    assert all(left.end_s <= right.start_s for left, right in itertools.pairwise(tidy))


@given(words)
def test_times_that_are_in_order_are_left_alone(loose: list[Word]):
    tidy = in_order(loose)
    assert in_order(tidy) == tidy


def test_a_word_that_overlaps_the_next_meets_it_in_the_middle():
    tidy = in_order([Word("one", 0.0, 1.2, 1.0), Word("two", 1.0, 2.0, 1.0)])
    assert [(word.start_s, word.end_s) for word in tidy] == [(0.0, 1.1), (1.1, 2.0)]


def test_spread_gives_each_word_its_share_of_the_characters():
    spoken = spread("ab  cdef g", 10.0, 19.0)
    assert text_of(spoken) == "ab cdef g"
    assert [(word.start_s, word.end_s) for word in spoken] == [(10.0, 12.0), (13.0, 17.0), (18.0, 19.0)]
    assert spread("  ", 0.0, 1.0) == []
