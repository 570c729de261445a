"""Models of speech quality: the mean opinion score that listeners would give a sound, from 1 (bad) to 5 (excellent).

Put here: the protocol, its result and error, and its adapters. Do not put here: measures that need no model
(audio/measures.py), or limits on a score (stages/measure_speech.py).
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.extras import missing


class SpeechQualityError(Exception):
    """A model is not available; the text states what is missing and how to get it."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """Mean opinion scores of a sound, 1 to 5: overall, of the speech, and of the background (5: not intrusive)."""

    overall: float
    speech: float
    background: float


class QualityModel(Protocol):
    """The configuration of a model in a recipe.

    `locate` raises SpeechQualityError where it cannot be loaded. `load` returns what scores float32 samples (n,) at
    16 kHz in [-1, 1], n > 0.
    """

    @property
    def name(self) -> str: ...

    def locate(self, cache_dir: Path) -> None: ...

    def load(self, cache_dir: Path, device: str = "cpu") -> Callable[[np.ndarray], Opinion]: ...


_WINDOW, _HOP = round(9.01 * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ
# From what the network returns to scores of listeners: polynomials for speech, background and overall, highest power
# first, as published with the weights.
_CALIBRATION = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)


@dataclass(frozen=True)
class Dnsmos:
    """DNSMOS P.835 (Reddy, Gopal and Cutler, ICASSP 2022), with the weights that the package speechmos carries.

    It scores windows of 9 s, one a second, and gives their mean; shorter sound is doubled until it fills one. Only the
    weights are used: the package's own code also runs the older model P.808, and imports librosa for it.
    """

    name: str = "dnsmos-p835"

    def locate(self, cache_dir: Path) -> None:
        for module in ("speechmos", "onnxruntime"):
            if cure := missing(module):
                raise SpeechQualityError(f"{self.name}: {cure}")

    def load(self, cache_dir: Path, device: str = "cpu") -> Callable[[np.ndarray], Opinion]:
        self.locate(cache_dir)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One thread: waiting threads burn the time of other workers, and sums do not depend on their number.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        weights = importlib.resources.files("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx"
        session = onnxruntime.InferenceSession(weights.read_bytes(), options, providers=["CPUExecutionProvider"])

        def score(samples: np.ndarray) -> Opinion:
            sound = np.clip(samples, -1.0, 1.0).astype(np.float32)
            while len(sound) < _WINDOW:
                sound = np.concatenate([sound, sound])
            starts = range(0, len(sound) - _WINDOW + 1, _HOP)
            inputs = [{"input_1": sound[None, start : start + _WINDOW]} for start in starts]
            raw = [np.asarray(session.run(None, one)[0])[0] for one in inputs]
            found = [
                np.polyval(powers, column).mean()
                for powers, column in zip(_CALIBRATION, zip(*raw, strict=True), strict=True)
            ]
            speech, background, overall = map(float, found)
            return Opinion(overall, speech, background)

        return score
