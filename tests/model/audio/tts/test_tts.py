"""What every synthesizer's sound goes through, and how voices are chosen."""

import collections

import numpy as np
import pytest

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.measures import measure_signal
from spelangy_model.audio.tts import (
    LoudnessSynthesizer,
    SpeechLimits,
    SynthesizerSpec,
    Voice,
    check_synthesizer,
    choose_voice,
)
from spelangy_model.audio.tts import protocol as tts
from spelangy_model.audio.tts.protocol import finish, speech_fault

ROSTER = [Voice("a1", "a"), Voice("a2", "a"), Voice("a3", "a"), Voice("b1", "b")]


def tone(duration_s: float, amplitude: float = 0.3) -> np.ndarray:
    time_s = np.arange(int(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (amplitude * np.sin(2 * np.pi * 220 * time_s)).astype(np.float32)


def silence(duration_s: float) -> np.ndarray:
    return np.zeros(int(duration_s * SAMPLE_RATE_HZ), np.float32)


def test_a_voice_depends_on_seed_and_keys_alone_and_lies_inside_its_jitter():
    drawn = [choose_voice(ROSTER, 7, "document", number) for number in range(400)]
    assert drawn == [choose_voice(list(reversed(ROSTER))[::-1], 7, "document", number) for number in range(400)]
    assert drawn != [choose_voice(ROSTER, 8, "document", number) for number in range(400)]
    assert {voice.rate_wpm for voice in drawn} <= set(range(175, 216))
    assert {voice.pitch for voice in drawn} <= set(range(35, 66))
    assert len({voice.rate_wpm for voice in drawn}) > 30
    assert all(voice.rate_jitter_wpm == voice.pitch_jitter == 0 for voice in drawn)


def test_accents_are_equally_likely_whatever_the_number_of_their_voices():
    counts = collections.Counter(choose_voice(ROSTER, 1, number).accent for number in range(2000))
    assert abs(counts["b"] - 1000) < 4 * np.sqrt(500)


def test_no_voice_to_choose_from_is_an_error():
    with pytest.raises(ValueError, match="at least one voice"):
        choose_voice([], 1)


def test_finish_trims_to_the_literals_and_levels_speech():
    loud, quiet = (
        finish(np.concatenate([silence(0.7), tone(1.0, amplitude), silence(0.9)])) for amplitude in (0.5, 0.01)
    )
    assert len(loud) / SAMPLE_RATE_HZ == pytest.approx(tts.LEAD_S + 1.0 + tts.TAIL_S, abs=0.02)
    level_dbfs = 20 * np.log10(np.sqrt(np.mean(loud[1600:-3200] ** 2)))
    assert level_dbfs == pytest.approx(tts.TARGET_LEVEL_DBFS, abs=0.2)
    np.testing.assert_allclose(quiet, loud, atol=1e-4)


def test_finish_does_not_clip_peaks():
    clicks = 0.01 * tone(1.0, 1.0)
    clicks[5000] = 1.0
    assert np.abs(finish(clicks)).max() <= tts.PEAK_LIMIT + 1e-6


@pytest.mark.parametrize("samples", [silence(0.0), silence(0.005), silence(1.0)], ids=["none", "short", "zeros"])
def test_finish_of_nothing_is_empty(samples):
    assert finish(samples).size == 0


class Saying:
    def __init__(self, samples: np.ndarray):
        self.samples = samples

    def speak(self, text: str, voice: Voice) -> np.ndarray:
        return self.samples


@pytest.mark.parametrize("amplitude", [0.02, 0.2])
def test_speech_is_brought_to_one_loudness(amplitude):
    spoken = LoudnessSynthesizer(Saying(tone(2.0, amplitude)), -23.0).speak("a", ROSTER[0])
    assert spoken.dtype == np.float32
    assert measure_signal(spoken).loudness_lufs == pytest.approx(-23.0, abs=0.2)


def test_loudness_does_not_clip_and_leaves_alone_what_is_too_short_to_have_one():
    peaks = LoudnessSynthesizer(Saying(tone(2.0, 0.5)), 0.0).speak("a", ROSTER[0])
    assert np.abs(peaks).max() == pytest.approx(tts.PEAK_LIMIT, abs=1e-3)
    short = tone(0.2)
    np.testing.assert_array_equal(LoudnessSynthesizer(Saying(short), -40.0).speak("a", ROSTER[0]), short)


TEXT = "the river flows through the quiet valley"


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (silence(1.0), "silent"),
        (np.full(16000, np.nan, np.float32), "not_finite"),
        (np.sign(tone(2.0)), "clipped"),
        (tone(30.0), "too_long"),
        (tone(0.3), "spoken_too_fast"),
        (tone(20.0), "spoken_too_slow"),
        (np.concatenate([tone(1.0), silence(2.5), tone(1.0)]), "long_silence"),
        (np.concatenate([tone(1.0), silence(0.5), tone(1.0)]), None),
    ],
)
def test_speech_fault_names_what_is_wrong(samples, reason):
    fault = speech_fault(samples.astype(np.float32), TEXT, SpeechLimits())
    assert (fault and fault[0]) == reason


def test_an_unknown_backend_is_named():
    with pytest.raises(tts.TtsUnavailable, match="'melo'"):
        check_synthesizer(SynthesizerSpec("melo"), ROSTER)
