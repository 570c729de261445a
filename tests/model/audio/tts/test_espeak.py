"""The espeak-ng adapter speaks, reproducibly, in five accents, fast and without a leak."""

import ctypes
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.tts import espeak
from spelangy_model.audio.tts.espeak import ACCENTS, VOICES, EspeakSynthesizer, check_voices, voices_of
from spelangy_model.audio.tts.protocol import TtsError, TtsUnavailable, Unspeakable, Voice

SENTENCE = "The river flows through the quiet valley."


def digest(samples: np.ndarray) -> str:
    return hashlib.sha256(samples.tobytes()).hexdigest()


def median_pitch_hz(samples: np.ndarray) -> float:
    """Median over loud 64 ms frames of the lag, between 61 and 500 Hz, at which the frame resembles itself most."""
    frames = [samples[start : start + 1024] for start in range(0, len(samples) - 1024, 512)]
    lags = [
        32 + np.correlate(frame, frame, "full")[1023 + 32 : 1023 + 260].argmax()
        for frame in frames
        if np.sqrt(np.mean(frame**2)) > 0.05
    ]
    return SAMPLE_RATE_HZ / float(np.median(lags))


def test_every_voice_speaks_for_a_plausible_time_and_no_two_sound_alike():
    synthesizer = EspeakSynthesizer()
    spoken = {voice.name: synthesizer.speak(SENTENCE, voice) for voice in VOICES}
    assert len(spoken) == 30
    assert {voice.accent for voice in VOICES} == set(ACCENTS)
    for samples in spoken.values():
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert 1.0 < len(samples) / SAMPLE_RATE_HZ < 4.0
        assert np.abs(samples).max() < 1.0
    assert len({digest(samples) for samples in spoken.values()}) == 30


def test_a_sentence_does_not_depend_on_what_was_spoken_before_it():
    synthesizer = EspeakSynthesizer()
    for voice in (VOICES[0], VOICES[4], Voice("en-us", "en-us"), Voice("en-029+croak", "en-029")):
        first = synthesizer.speak(SENTENCE, voice)
        synthesizer.speak("Something else, of another length and in another voice.", VOICES[13])
        assert digest(first) == digest(synthesizer.speak(SENTENCE, voice))


def test_another_process_says_the_same_bytes():
    code = (
        "import hashlib; from spelangy_model.audio.tts.espeak import *;"
        f"print(hashlib.sha256(EspeakSynthesizer().speak({SENTENCE!r}, VOICES[7]).tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == digest(EspeakSynthesizer().speak(SENTENCE, VOICES[7]))


def test_rate_and_pitch_are_obeyed():
    synthesizer = EspeakSynthesizer()
    slow = synthesizer.speak(SENTENCE, Voice("en-us+m3", "en-us", rate_wpm=120))
    fast = synthesizer.speak(SENTENCE, Voice("en-us+m3", "en-us", rate_wpm=240))
    assert len(slow) > 1.5 * len(fast)

    low = synthesizer.speak(SENTENCE, Voice("en-us+m3", "en-us", pitch=20))
    high = synthesizer.speak(SENTENCE, Voice("en-us+m3", "en-us", pitch=90))
    assert median_pitch_hz(high) > 1.3 * median_pitch_hz(low)


@pytest.mark.parametrize("text", ["", "   ", "...", "\n"])
def test_a_text_with_nothing_to_say_is_an_error(text):
    with pytest.raises(Unspeakable) as error:
        EspeakSynthesizer().speak(text, VOICES[0])
    assert error.value.reason == "nothing_to_say"


def test_a_nul_in_a_text_is_an_error_and_not_a_cut_sentence():
    with pytest.raises(Unspeakable, match="control_character"):
        EspeakSynthesizer().speak("The river\0 flows", VOICES[0])


@pytest.mark.parametrize("name", ["en-gb", "de", "en-us+missing", "en-us+", "", "../en"])
def test_an_unknown_voice_or_variant_is_named(name):
    with pytest.raises(TtsUnavailable, match="espeak-ng has no"):
        check_voices([Voice(name, "x")])
    with pytest.raises(TtsUnavailable, match="espeak-ng has no"):
        EspeakSynthesizer().speak(SENTENCE, Voice(name, "x"))


def test_voices_of_picks_accents_and_names_an_unknown_one():
    assert {voice.accent for voice in voices_of(["en-029", "en-us"])} == {"en-029", "en-us"}
    with pytest.raises(ValueError, match="en-au"):
        voices_of(["en-au"])


def test_a_library_that_somebody_else_holds_is_refused():
    handle = ctypes.CDLL(str(espeak._locate()[0]))
    try:
        with pytest.raises(TtsError, match="another part of this process"):
            EspeakSynthesizer().speak(SENTENCE, VOICES[0])
    finally:
        close = ctypes.CDLL(None).dlclose
        close.argtypes = [ctypes.c_void_p]
        close(handle._handle)
    assert EspeakSynthesizer().speak(SENTENCE, VOICES[0]).size


# In a process of its own: other tests' threads allocate in this one.
MEASURE_GROWTH = """
from pathlib import Path
from spelangy_model.audio.tts.espeak import VOICES, EspeakSynthesizer
from spelangy_model.audio.tts.protocol import choose_voice

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

synthesizer = EspeakSynthesizer()
for number in range(50):
    synthesizer.speak("Hello there.", choose_voice(VOICES, 0, number))
before = resident_bytes()
for number in range(3200):
    synthesizer.speak("Hello there.", choose_voice(VOICES, 1, number))
print(resident_bytes() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory from Linux's /proc")
def test_many_calls_do_not_leak():
    ended = subprocess.run([sys.executable, "-c", MEASURE_GROWTH], capture_output=True, text=True, check=True)
    # An utterance is 30 kB of samples. The bound is 1 kB a call; 0.3 were measured, and now and then 1 MB at once.
    assert int(ended.stdout) < 3_200_000
