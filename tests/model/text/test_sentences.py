"""Sentence ends in written text."""

from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.text.sentences import _ONE_SENTENCE, MAX_PIECE_CHARACTERS, _segmenter, split_sentences


def test_abbreviations_initials_and_decimals_end_no_sentence():
    text = "Dr. Smith paid $3.50 to J. K. Rowling at 5 p.m. on Jan. 5. It was fine! Was it? See Fig. 3 for U.S. data."
    assert split_sentences(text) == [
        "Dr. Smith paid $3.50 to J. K. Rowling at 5 p.m. on Jan. 5.",
        "It was fine!",
        "Was it?",
        "See Fig. 3 for U.S. data.",
    ]


def test_lines_are_never_joined():
    assert split_sentences("A heading\nA sentence that begins here\nand goes on.") == [
        "A heading",
        "A sentence that begins here",
        "and goes on.",
    ]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abc XY.?!\"'()\n\t0123\u201c\u201d\u2026", max_size=200))
def test_no_letter_is_lost_or_made(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_a_line_without_end_is_cut_and_kept_whole():
    line = "word " * (MAX_PIECE_CHARACTERS // 2)
    assert "".join("".join(split_sentences(line)).split()) == "".join(line.split())
    assert "".join(split_sentences("x" * (3 * MAX_PIECE_CHARACTERS + 7))) == "x" * (3 * MAX_PIECE_CHARACTERS + 7)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["Mr", "U", "S", "no", "12", "3,5", "it's", "a", "I", "vs", "--", "*", "page", "e-mail"]))
)
def test_what_needs_no_segmenter_is_what_it_would_leave_whole(words):
    line = " ".join(words)
    for mark in ("", ".", "?", "!"):
        if line and _ONE_SENTENCE.fullmatch(line + mark):
            assert [part.strip() for part in _segmenter().segment(line + mark)] == [line + mark]
