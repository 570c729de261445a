"""What was spoken once need not be spoken again: a synthesizer that remembers, by content, on disk.

Put here: that memory. Do not put here: an engine. It pays where a model speaks (coqui: a tenth of a second a sentence
and more); espeak-ng speaks a sentence in the time in which a file is opened, and has none.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from spelangy_model.audio.tts import Samples, Synthesizer, Voice
from spelangy_model.rng import stable_hash


class RememberingSynthesizer:
    """Gives what another synthesizer said to a text in a voice, to the bit, and asks it once only.

    `folder` holds a .npy file an utterance, named by the digest of model, voice and text; whoever speaks there at the
    same time may do the same work twice and harms nothing. A file that cannot be read is spoken again. A text that
    cannot be spoken is not remembered.
    """

    def __init__(self, synthesizer: Synthesizer, folder: Path, model: str):
        """`model` stands for all that the samples depend on beside voice and text: weights, configuration, device."""
        self._synthesizer = synthesizer
        self._folder = folder
        self._model = model

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return `text` in `voice`; see `Synthesizer.speak`."""
        name = stable_hash("speech", self._model, voice.name, voice.rate_wpm, voice.pitch, text)
        path = self._folder / name[:2] / f"{name}.npy"
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            pass  # never spoken, or half written when the machine stopped
        samples = self._synthesizer.speak(text, voice)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{name}.{os.getpid()}.part")
        with draft.open("wb") as file:
            np.save(file, samples, allow_pickle=False)
        draft.replace(path)
        return samples
