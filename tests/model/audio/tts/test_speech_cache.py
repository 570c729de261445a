"""A synthesizer that remembers: asked once, the same bits, not fooled by another voice, model or a torn file."""

import numpy as np
import pytest

from spelangy_model.audio.tts.espeak import VOICES, EspeakSynthesizer
from spelangy_model.audio.tts.protocol import Unspeakable, Voice
from spelangy_model.audio.tts.speech_cache import RememberingSynthesizer


class Counting:
    """Speaks through espeak-ng and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Voice]] = []
        self._engine = EspeakSynthesizer()

    def speak(self, text, voice):
        self.asked.append((text, voice))
        return self._engine.speak(text, voice)


def test_a_sentence_in_a_voice_is_spoken_once_even_by_the_next_process(tmp_path):
    engine = Counting()
    first = RememberingSynthesizer(engine, tmp_path, "m").speak("The harp is old.", VOICES[0])
    again = RememberingSynthesizer(engine, tmp_path, "m").speak("The harp is old.", VOICES[0])
    assert len(engine.asked) == 1
    assert again.dtype == first.dtype == np.float32
    assert again.tobytes() == first.tobytes() == EspeakSynthesizer().speak("The harp is old.", VOICES[0]).tobytes()


def test_another_text_voice_pitch_or_model_is_another_utterance(tmp_path):
    engine = Counting()
    asks = [
        ("m", "The harp is old.", VOICES[0]),
        ("m", "The harp is new.", VOICES[0]),
        ("m", "The harp is old.", VOICES[1]),
        ("m", "The harp is old.", Voice(VOICES[0].name, VOICES[0].accent, pitch=70)),
        ("n", "The harp is old.", VOICES[0]),
    ]
    for model, text, voice in asks * 2:
        RememberingSynthesizer(engine, tmp_path, model).speak(text, voice)
    assert len(engine.asked) == 5


def test_a_torn_file_is_spoken_again_and_mended(tmp_path):
    engine = Counting()
    remembering = RememberingSynthesizer(engine, tmp_path, "m")
    whole = remembering.speak("The harp is old.", VOICES[0])
    (file,) = tmp_path.rglob("*.npy")
    for torn in (b"", file.read_bytes()[:200]):
        file.write_bytes(torn)
        assert remembering.speak("The harp is old.", VOICES[0]).tobytes() == whole.tobytes()
    assert len(engine.asked) == 3
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".npy"]


def test_what_cannot_be_spoken_is_not_remembered(tmp_path):
    engine = Counting()
    for _ in range(2):
        with pytest.raises(Unspeakable):
            RememberingSynthesizer(engine, tmp_path, "m").speak("...", VOICES[0])
    assert len(engine.asked) == 2
    assert not list(tmp_path.rglob("*.npy"))
