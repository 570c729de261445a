"""Number words become digits: against num2words, which writes them the other way round."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from num2words import num2words

from spelangy_model.text.normalize import words_of
from spelangy_model.text.numerals import fold_numbers, join_groups


def folded(text: str) -> str:
    return " ".join(fold_numbers(words_of(join_groups(text))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In nineteen sixty-nine they came", "in 1969 they came"),
        ("nineteen oh five, twenty twenty, twenty ten", "1905 2020 2010"),
        ("nineteen hundred and six", "1906"),
        ("a hundred and one miles", "a 101 miles"),
        ("3 million and 1,000,000 people", "3000000 and 1000000 people"),
        ("the twenty-first of May, the third and the 3rd", "the 21st of may the 3rd and the 3rd"),
        ("three point five, 3.5", "3 5 3 5"),
        ("one two three", "1 2 3"),
        ("five and six", "5 and 6"),
        ("two hundred and five thousand", "205000"),
        ("thousand, million and hundred", "1000 1000000 and 100"),
        ("the point is one", "the point is 1"),
        ("1,00 and 12,3456", "1 00 and 12 3456"),
        ("no number at all", "no number at all"),
        ("twenty", "20"),
        ("zero one", "0 1"),
    ],
)
def test_numbers_as_people_write_them(text: str, expected: str) -> None:
    assert folded(text) == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**12))
def test_cardinals_of_num2words_come_back(number: int) -> None:
    assert folded(f"they say {num2words(number)} here") == f"they say {number} here"
    assert folded(f"{number:,}") == str(number)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9999))
def test_ordinals_of_num2words_come_back(number: int) -> None:
    assert folded(f"the {num2words(number, to='ordinal')} time") == f"the {num2words(number, to='ordinal_num')} time"


@settings(max_examples=100, deadline=None)
@given(st.integers(1100, 2099).filter(lambda year: year % 100 >= 1 and not 2000 <= year < 2010))
def test_years_of_num2words_come_back(year: int) -> None:
    assert folded(f"in {num2words(year, to='year')} it was") == f"in {year} it was"


@given(st.lists(st.text("abcdefgh", min_size=1), max_size=20))
def test_words_that_are_no_numbers_stay(words: list[str]) -> None:
    assert fold_numbers(words) == words
