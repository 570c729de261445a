"""Different writings of the same words: they fall into the same spoken words, and a vote gives one of them."""

import itertools

import pytest

from spelangy_model.audio.rover import RoverWeights, rover
from spelangy_model.audio.words import spread, text_of
from spelangy_model.audio.writings import fold, readings

ALIKE = {
    "dollars": ("I have 25 dollars", "I have $25", "I have twenty five dollars"),
    "hyphen": ("I have twenty-five dollars", "I have twenty five dollars", "I have 25 dollars"),
    "year": ("in 1969", "in nineteen sixty nine", "in nineteen sixty-nine"),
    "year with o": ("in 1905", "in nineteen oh five", "in nineteen o five"),
    "clock": ("at 10:30 p.m.", "at ten thirty PM", "at 1030 pm"),
    "contraction": ("don't know", "don\u2019t know", "do not know"),
    "is": ("It's over.", "it is over", "its over"),
    "going": ("I'm gonna go", "i am going to go", "im going to go"),
    "compound": ("an e-mail", "an email", "an e mail"),
    "two words": ("any one can", "anyone can", "any-one can"),
    "letters": ("the U.S.A. won", "the USA won", "the u s a won"),
    "and": ("one hundred and five miles", "105 miles", "one hundred five miles"),
    "a hundred": ("100 degrees", "a hundred degrees", "one hundred degrees"),
    "million": ("worth $25 million today", "worth 25 million dollars today", "worth twenty five million dollars today"),
    "sign apart": ("$ 25 now", "25 dollars now", "twenty-five dollars now"),
    "percent": ("about 50% of us", "about fifty percent of us", "about 50 per cent of us"),
    "date": ("on May 5th, 1969.", "on may fifth nineteen sixty nine", "on May 5, 1969"),
    "title": ("Mr. Smith can't", "mister smith cannot", "mister smith can not"),
    "point": ("3.14 is pi", "three point one four is pi", "3.14 is pi"),
    "ordinal": ("the 21st century", "the twenty first century", "the twenty-first century"),
    "Roman": ("World War II ended", "world war two ended", "World War 2 ended"),
    "spelling": ("the colour grey", "the color gray", "the colour gray"),
}


@pytest.mark.parametrize("texts", ALIKE.values(), ids=ALIKE)
def test_writings_of_the_same_words_agree_and_the_vote_gives_the_first(texts: tuple[str, ...]):
    names = [str(place) for place in range(len(texts))]
    for order in itertools.permutations(range(len(texts))):
        systems = [spread(texts[place], 0.0, 3.0, 0.9) for place in order]
        agreed = rover(systems, RoverWeights(written=tuple(names)), [names[place] for place in order])
        assert text_of(agreed.words) == texts[0]
        assert agreed.agreement == 1.0
        assert all("" not in vote.candidates for vote in agreed.votes)


@pytest.mark.parametrize("texts", [two for three in ALIKE.values() for two in itertools.combinations(three, 2)])
def test_two_systems_never_say_a_thing_twice(texts: tuple[str, str]):
    agreed = rover([spread(text, 0.0, 3.0, 0.9) for text in texts], RoverWeights())
    assert text_of(agreed.words) in texts


def test_different_words_stay_different():
    for one, other in [("25 men", "26 men"), ("he can", "he can't"), ("five dollars", "five pounds"), ("1969", "1970")]:
        (first, second) = fold([one.split(), other.split()])
        assert first != second


def test_a_number_is_written_by_the_system_whose_words_all_agree():
    texts = ("it was 25 then", "it was twenty six then", "it was 26 then")
    weights = RoverWeights(written=("a", "c", "b"))
    agreed = rover([spread(text, 0.0, 3.0, 0.9) for text in texts], weights, ["a", "b", "c"])
    assert text_of(agreed.words) == "it was 26 then"


def test_where_no_writing_says_what_won_the_place_is_one_systems_own():
    # twenty wins of twenty and thirty, six of six and five: no one wrote 26.
    texts = ("it was 25 then", "it was 36 then", "it was 20-6 then", "it was 20 then")
    agreed = rover([spread(text, 0.0, 3.0, 0.9) for text in texts[:2]], RoverWeights())
    assert text_of(agreed.words) in texts


def test_punctuation_alone_says_nothing_and_an_empty_system_is_read():
    assert readings("--") == ()
    assert fold([[], ["yes"]]) == [[], [("yes",)]]
