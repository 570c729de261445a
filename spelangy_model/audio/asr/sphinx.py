"""CMU PocketSphinx: a recognizer without a neural network, so that its errors differ from those of neural ones.

Put here: that adapter. Do not put here: forced alignment.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spelangy_model.audio.asr.protocol import PACKAGED, AsrError, Recognizer, WindowResult, need, tidy
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window
from spelangy_model.records import Word

_FRAME_S = 0.01
_FILLER = re.compile(r"<.*>|\[.*\]|\+\+.*\+\+")
_PRONUNCIATION = re.compile(r"\(\d+\)$")


@dataclass(frozen=True)
class PocketSphinx:
    """The parameters. `model` is "package:en-us" (the wheel's own) or a folder with en-us, en-us.lm.bin and a .dict.

    Every window is taken as English. A word's confidence is its posterior on the lattice. `flat_pass` searches a second
    time over the words of the first; on read and telephone speech that took a quarter more time and gained nothing.
    """

    name: str
    model: str = "package:en-us"
    flat_pass: bool = False

    joins_recordings = False  # it adapts to a channel, and its time grows with the sound

    def locate(self, cache_dir: Path) -> Path:
        need("pocketsphinx", self.name)
        if self.model == PACKAGED + "en-us":
            return Path(str(importlib.resources.files("pocketsphinx"))) / "model/en-us"
        if self.model.startswith(PACKAGED):
            raise AsrError(f"{self.name}: pocketsphinx carries no model {self.model!r}; there is: package:en-us")
        folder = Path(self.model)
        for part in ("en-us", "en-us.lm.bin"):
            if not (folder / part).exists():
                raise AsrError(f"{self.name}: {folder} holds no {part}; name the folder of a pocketsphinx model")
        return folder

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        return _Recognizer(self, self.locate(cache_dir))


class _Recognizer:
    def __init__(self, system: PocketSphinx, folder: Path) -> None:
        from pocketsphinx import Decoder

        self._decoder = Decoder(
            hmm=str(folder / "en-us"),
            lm=str(folder / "en-us.lm.bin"),
            dict=str(min(folder.glob("*.dict"))),
            samprate=SAMPLE_RATE_HZ,
            fwdflat=system.flat_pass,
            loglevel="FATAL",
        )
        # The first utterance of a new decoder has other posteriors; from the second on equal sound has equal ones.
        self._decode(np.zeros(SAMPLE_RATE_HZ // 10, np.float32))

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        return [self._recognize(window) for window in windows]

    def _recognize(self, window: Window) -> WindowResult:
        self._decode(window.samples)
        words = [
            Word(
                _PRONUNCIATION.sub("", part.word),
                part.start_frame * _FRAME_S,
                (part.end_frame + 1) * _FRAME_S,
                float(part.prob),
            )
            for part in self._decoder.seg() or ()
            if not _FILLER.fullmatch(part.word)
        ]
        return WindowResult(tidy(words, len(window.samples) / SAMPLE_RATE_HZ), "en", 1.0)

    def _decode(self, samples: np.ndarray) -> None:
        # The decoder adapts to channel and noise: without a reset, the result would depend on the window before.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw((np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
