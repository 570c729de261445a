"""The vote's literals, fitted on speech whose text is known."""

import numpy as np
import pytest

from spelangy_model.audio.calibration import (
    KnownSpeech,
    errors_of,
    fit_calibration,
    fit_weights,
    right_words,
    voted,
)
from spelangy_model.audio.rover import RoverWeights, calibrated
from spelangy_model.audio.words import spread
from spelangy_model.records import Word
from spelangy_model.rng import stable_rng

VOCABULARY = ("otter", "italy", "plum", "river", "stone", "bridge", "winter", "garden", "letter", "window", "candle")


def test_a_word_is_right_where_it_stands_in_the_text_however_it_is_written():
    words = spread("I have $25 and a an e-mail -- now", 0.0, 4.0)
    right = right_words(words, "I have twenty-five dollars and an email, now.")
    assert dict(zip([word.text for word in words], right.tolist(), strict=True)) == {
        **dict.fromkeys(["I", "have", "$25", "and", "an", "e-mail", "now"], True),
        "a": False,
        "--": False,
    }


def test_the_curve_says_how_often_such_words_are_right():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.05, 0.95, 20_000)
    truth = 1 / (1 + np.exp(-(0.5 * np.log(confidences / (1 - confidences)) - 1.0)))
    right = rng.random(len(truth)) < truth
    curve = fit_calibration("a", confidences, right)
    assert (curve.slope, curve.intercept) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1.0, abs=0.05))
    assert calibrated(confidences, curve) == pytest.approx(truth, abs=0.03)
    few = fit_calibration("a", np.array([0.9]), np.array([True]))
    assert few.slope == pytest.approx(1.0, abs=0.2)  # a word says little


def speech(recordings: int, inserted: float = 0.0) -> list[KnownSpeech]:
    """Three systems that err in a tenth of the words; the second is as sure of its errors as of its words."""
    made = []
    for number in range(recordings):
        rng = stable_rng(number, "speech")
        truth = [VOCABULARY[int(rng.integers(len(VOCABULARY)))] for _ in range(20)]
        systems = []
        for system in range(3):
            words = []
            for place, text in enumerate(truth):
                wrong = rng.random() < 0.1
                recognized = VOCABULARY[int(rng.integers(len(VOCABULARY)))] if wrong else text
                sure = 0.9 if system == 1 else rng.uniform(0.2, 0.5) if wrong else rng.uniform(0.6, 0.99)
                words.append(Word(recognized, 0.4 * place, 0.4 * place + 0.2, float(sure)))
                if system == 0 and rng.random() < inserted:
                    words.append(Word("indeed", 0.4 * place + 0.25, 0.4 * place + 0.35, 0.9))
            systems.append(words)
        made.append(KnownSpeech(" ".join(truth), [systems]))
    return made


def test_fitted_weights_err_less_on_speech_that_they_have_not_seen_and_withstand_planted_words():
    names = ["a", "b", "c"]
    known = speech(40)
    fitted = fit_weights(known[:20], names, RoverWeights())
    assert fit_weights(known[:20], names, RoverWeights()) == fitted
    assert [one.system for one in fitted.calibrations] == names
    clean = errors_of(known[20:], names, fitted)
    assert clean <= errors_of(known[20:], names, RoverWeights())
    planted = errors_of(speech(40, inserted=0.1)[20:], names, fitted)
    assert planted <= clean + 4  # a hundredth of 400 words
    assert voted(known[0], names, fitted)


def test_speech_in_which_a_system_recognized_nothing_is_refused():
    silent = [KnownSpeech("yes", [[[], spread("yes", 0.0, 1.0)]])]
    with pytest.raises(ValueError, match="a recognized no word"):
        fit_weights(silent, ["a", "b"], RoverWeights())
