"""The languages' vote of ear and text."""

import pytest

from spelangy_model.audio.language import LanguageVote, language_code, vote_language

GERMAN = "Das ist ein ganz gewöhnlicher deutscher Satz, der lang genug ist."
ENGLISH = "This is a quite ordinary English sentence that is long enough to tell."
VOTE = LanguageVote(text_weight=0.75, min_text_characters=40)


def test_a_sure_ear_wins_over_the_text_and_an_unsure_one_does_not():
    assert vote_language("en", 0.9, GERMAN, VOTE)[0] == "en"
    assert vote_language("en", 0.5, GERMAN, VOTE) == ("de", pytest.approx(0.75 / 1.25))
    assert vote_language("nn", 0.3, ENGLISH, VOTE)[0] == "en"


def test_agreement_is_unanimous():
    assert vote_language("en", 0.6, ENGLISH, VOTE) == ("en", 1.0)


def test_a_short_text_has_no_vote():
    assert vote_language("en", 0.2, "Ja, genau.", VOTE) == ("en", 1.0)
    assert vote_language("", 0.0, "Ja, genau.", VOTE) == ("und", 0.0)


def test_without_a_language_of_the_audio_the_text_decides():
    assert vote_language("", 0.0, GERMAN, VOTE) == ("de", 1.0)


def test_a_tie_goes_to_the_language_of_the_audio():
    assert vote_language("en", 0.75, GERMAN, VOTE)[0] == "en"


@pytest.mark.parametrize(("tag", "code"), [("en", "en"), ("en-GB", "en"), (" EN_us ", "en"), ("", "")])
def test_a_tag_that_came_with_a_recording_says_a_language(tag: str, code: str):
    assert language_code(tag) == code
