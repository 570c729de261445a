"""Everything that is not words is spelled out; plain sentences come back as they are."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.text.normalize import normalize
from spelangy_model.text.spoken import spoken_form

READINGS = Path(__file__).with_name("spoken_readings.tsv")


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


@pytest.mark.parametrize("half", ["before", "beside"])
def test_the_table_of_readings(half):
    """The half "before" was written before the rules, "beside" with them; several readings of one text may be right."""
    with READINGS.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if row["half"] == half]
    assert len(rows) > 150
    wrong = [
        (row["written"], spoken_form(row["written"]))
        for row in rows
        if normalize(spoken_form(row["written"])) not in {normalize(one) for one in row["spoken"].split(" || ")}
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("written", "glued"),
    [
        ("12:18Gavin said so.", "Gavin"),
        ("Disks of 8GB/512GB.", "slash"),
        ("Sizes 3,5 and 7;9.", "five"),
        ("A 1.5-inch nail.", "five"),
        ("Germany\u2032s past.", "Germany's"),
        ("2019;322:53-60.", "fifty"),
    ],
)
def test_words_are_not_glued(written, glued):
    spoken = spoken_form(written)
    assert glued in re.split(r"[ ,;:.-]+", spoken), spoken


def test_text_that_looks_like_a_numeral_is_left():
    for text in ("Alexander Vindman and I met.", "Size XL fits Mary.", "Charles I think so.", "Vitamin C is in it."):
        assert spoken_form(text) == text


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
    "US$5",
    "5%-10%",
    "10^5",
    "x^2",
    "12/25/2023",
    "9/11",
    "1 000 000",
    "v1.2.3",
    "14:05:30",
    "1\u00bd",
    "\u215e",
    "\u2163",
    "\u2460",
    "10\u207b\u2079",
    "m\u00b2",
    "5\u20326\u2033",
    "[1]",
    "U.S.",
    "Louis XIV",
    "Part V",
    "Nov. 4-6",
    "18 Nov",
    "9 am\u20135 pm",
    "978-3-16-148410-0",
    "+44 20 7946 0958",
    "EUR 5",
    "5/month",
    "1st-3rd",
    "no.",
    "A$",
    ":",
    "/",
]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([" ", "  "])), max_size=8))
def test_no_digit_is_left_and_the_result_is_its_own_spoken_form(pieces):
    spoken = spoken_form("".join(piece + gap for piece, gap in pieces))
    assert not re.search(r"\d", spoken)
    assert spoken_form(spoken) == spoken


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text):
    assert not re.search(r"\d", spoken_form(text))


@pytest.mark.timeout(10)  # a minute, if any rule took the square of a text
def test_long_texts_take_linear_time():
    spoken_form("It cost $3.50 in 1984, i.e. 12% more than 5 km of ---- 1111111 ..... " * 120)
    for sign in ("1", "1-", "1.", "1 ", "1/", "1:", "$1", "[1]", "V", "I ", "x^", "a.", "a-", "A."):
        spoken_form(sign * 4_000)
