"""What was spoken once need not be spoken again: a synthesizer that remembers, by content, on disk.

Put here: that memory. Do not put here: an engine. It pays where a model speaks (coqui: a tenth of a second a sentence
and more); espeak-ng speaks a sentence in the time in which a file is opened, and has none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spelangy_model.audio.tts.protocol import Samples, Synthesizer, Unspeakable, Voice, speak_all
from spelangy_model.rng import stable_hash


class RememberingSynthesizer:
    """Caches the speech of another synthesizer: the same text and voice give the same samples, bit for bit.

    `folder` holds a .npy file for each utterance, named by the digest of model, voice and text. Concurrent writers may
    do the same work twice, without harm. If a file is unreadable, its text is spoken again. A failure to speak a text
    is not cached.
    """

    def __init__(self, synthesizer: Synthesizer, folder: Path, model: str):
        """`model` identifies all else that determines the samples: weights, configuration, device."""
        self._synthesizer = synthesizer
        self._folder = folder
        self._model = model

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return `text` in `voice`; see `Synthesizer.speak`."""
        (spoken,) = self.speak_batch([(text, voice)])
        if isinstance(spoken, Unspeakable):
            raise spoken
        return spoken

    def speak_batch(self, lines: Sequence[tuple[str, Voice]]) -> list[Samples | Unspeakable]:
        """Return the speech of each line; see `BatchSynthesizer.speak_batch`."""
        paths = [self._path(text, voice) for text, voice in lines]
        known = {place: sound for place, path in enumerate(paths) if (sound := _load(path)) is not None}
        missing = [place for place in range(len(lines)) if place not in known]
        spoken: dict[int, Samples | Unspeakable] = {**known}
        for place, sound in zip(missing, speak_all(self._synthesizer, [lines[i] for i in missing]), strict=True):
            spoken[place] = sound
            if not isinstance(sound, Unspeakable):
                _save(paths[place], sound)
        return [spoken[place] for place in range(len(lines))]

    def _path(self, text: str, voice: Voice) -> Path:
        name = stable_hash("speech", self._model, voice.name, voice.rate_wpm, voice.pitch, text)
        return self._folder / name[:2] / f"{name}.npy"


def _load(path: Path) -> Samples | None:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # never spoken, or half written when the machine stopped


def _save(path: Path, samples: Samples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.stem}.{os.getpid()}.part")
    with draft.open("wb") as file:
        np.save(file, samples, allow_pickle=False)
    draft.replace(path)
