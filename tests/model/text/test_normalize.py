"""One plain form for comparing texts."""

from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.text.normalize import normalize, words_of


def test_case_marks_and_widths_do_not_count():
    assert normalize("  The \u201cCAF\u00c9\u201d isn't \uff12\uff10 km\u2014away! ") == "the caf\u00e9 isnt 20 km away"


@given(st.text())
def test_normalizing_twice_changes_nothing(text):
    assert normalize(normalize(text)) == normalize(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_has_the_words_of_the_rule_for_all_text(text):
    with_mark = words_of(f"\u00e9 {text}")  # one letter that is not ASCII: the other way
    assert with_mark[1:] == words_of(text)
