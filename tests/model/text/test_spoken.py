"""Everything that is not words is spelled out; plain sentences come back as they are."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.text.spoken import spoken_form


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("She has 3 cats and 1,204 books.", "She has three cats and one thousand two hundred and four books."),
        ("It grew by 12.5% to 0.75.", "It grew by twelve point five percent to zero point seven five."),
        ("In 1984 and 2005.", "In nineteen eighty-four and two thousand and five."),
        ("2,005 cats", "two thousand and five cats"),
        ("The 1990s, the '80s and the 50s.", "The nineteen nineties, the eighties and the fifties."),
        ("from 1914-1918", "from nineteen fourteen to nineteen eighteen"),
        ("World War II began.", "World War Two began."),
        ("the 21st of 102nd", "the twenty-first of one hundred and second"),
        ("on 2024-05-17.", "on May seventeenth twenty twenty-four."),
        ("at 10:05 a.m., 9:00 or 18:30", "at ten oh five A M, nine o'clock or eighteen thirty"),
        ("$3.50, $1, $0.99", "three dollars and fifty cents, one dollar, ninety-nine cents"),
        ("$4 million", "four million dollars"),
        ("\u00a35bn or \u20ac2.5", "five billion pounds or two point five euros"),
        ("5 km at 1 m/s and -5 \u00b0C", "five kilometers at one meter per second and minus five degrees Celsius"),
        ("1/2 cup and 3/4 or 2/3", "one half cup and three quarters or two thirds"),
        ("Dr. Smith vs. Mr. Jones, etc.", "Doctor Smith versus Mister Jones, et cetera."),
        ("St. Mary lives in 5th St.", "Saint Mary lives in fifth Street."),
        ("See Fig. 3 of No. 7. No. Never.", "See figure three of number seven. No. Never."),
        ("www.example.com/a_b or joe@site.org", "example dot com slash a underscore b or joe at site dot org"),
        ("Read https://example.org/page?x=1.", "Read example dot org slash page."),
        ("A & B + C = D", "A and B plus C equals D"),
        ("H2O, B12 and COVID-19", "H two O, B twelve and COVID nineteen"),
        ("agent 007; 555-123-4567", "agent zero zero seven; five five five one two three four five six seven"),
        ("version 1.2.3", "version one point two point three"),
        ("e=mc\u00b2 and \u00bd", "e equals mc squared and one half"),
        ("a *bold* _word_ \u2122", "a bold word"),
        ("10x or 3 x 4", "ten times or three times four"),
        ("apples, pears, etc.", "apples, pears, et cetera."),
    ],
)
def test_spells_out(written, spoken):
    assert spoken_form(written) == spoken


@pytest.mark.parametrize(
    "sentence",
    [
        "The river flows through the quiet valley.",
        "Where does the well-known writer's sister live?",
        'He said: "No, not today!" (and left).',
        "No. It is over.",
        "A\u00efda saw the fa\u00e7ade \u2014 twice.",
        "",
    ],
)
def test_plain_sentences_stay_as_they_are(sentence):
    assert spoken_form(sentence) == sentence


def test_whitespace_becomes_one_space():
    assert spoken_form(" two\n\twords \u00a0 here ") == "two words here"


PIECES = [
    "1984",
    "3.5",
    "-7",
    "1,000",
    "$4",
    "£1.50",
    "12%",
    "21st",
    "90s",
    "10:05",
    "5km",
    "1/2",
    "B12",
    "2024-05-17",
    "555-1234",
    "1.2.3",
    "Dr.",
    "etc.",
    "e.g.",
    "No.",
    "&",
    "@",
    "x",
    "http://a.bc/d_1",
    "a@b.co",
    "(",
    ")",
    "-",
    "–",
    ",",
    ".",
    "?",
    "½",
    "²",
    "007",
    "word",
    "Word",
    "and",
    "1-2",
    "'80s",
    "٣",
    "99999999999999999999",
    "$",
    "m",
    "km/h",
    "II",
    "World",
    "War",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([" ", "  "])), max_size=8))
def test_no_digit_is_left_and_the_result_is_its_own_spoken_form(pieces):
    spoken = spoken_form("".join(piece + gap for piece, gap in pieces))
    assert not re.search(r"\d", spoken)
    assert spoken_form(spoken) == spoken


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text):
    assert not re.search(r"\d", spoken_form(text))


def test_long_texts_take_linear_time():
    started = time.process_time()
    spoken_form("It cost $3.50 in 1984, i.e. 12% more than 5 km of ---- 1111111 ..... " * 300)
    assert time.process_time() - started < 5
