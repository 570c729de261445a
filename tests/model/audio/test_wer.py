"""Word error rate with Whisper's English normalizer."""

import pytest

from spelangy_model.audio.wer import WordErrors, normalize_english, word_errors


def test_writing_is_not_an_error():
    errors = word_errors(["Mr. Lee doesn't like colour 23."], ["mister lee does not like color twenty three"])
    assert errors == WordErrors(0, 0, 0, reference_words=7)
    assert normalize_english("I'm the twenty-first, OK?") == "i am the 21st ok"


def test_errors_are_summed_over_the_set():
    errors = word_errors(["the cat sat", "on a mat"], ["the hat sat", "on mat too"])
    assert (errors.substitutions + errors.deletions + errors.insertions, errors.reference_words) == (3, 6)
    assert errors.rate == pytest.approx(0.5)


def test_words_over_silence_are_insertions():
    assert word_errors(["", "yes"], ["thank you", "yes"]) == WordErrors(0, 0, 2, 1)
    assert word_errors([""], [""]).rate == 0.0
    assert word_errors([""], ["hello"]).rate == 1.0


def test_unequal_numbers_are_refused():
    with pytest.raises(ValueError, match="2 references for 1"):
        word_errors(["a", "b"], ["a"])
