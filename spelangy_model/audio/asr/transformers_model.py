"""Code that recognizers of Hugging Face transformers share.

Put here: finding and loading a model with its feature extractor and tokenizer, batches. Do not put here: how CTC
(transformers_ctc.py) or transducers (transformers_transducer.py) turn a model's output into words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from spelangy_model.ahead import read_ahead
from spelangy_model.audio.asr.protocol import (
    PACKAGED,
    AsrError,
    WindowResult,
    batches,
    feature_threads,
    local_safetensors,
    need,
    tidy,
)
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window
from spelangy_model.pretrained import load_settings, load_weights
from spelangy_model.records import Word


class TransformersSystem(Protocol):
    """The parameters of all recognizers of transformers."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def languages(self) -> tuple[str, ...]: ...

    @property
    def batch_windows(self) -> int: ...


def locate(system: TransformersSystem, kind: str) -> Path:
    """Return the folder of a model of some kind ("a CTC model"). Raises AsrError, with the cure."""
    need("transformers", system.name)
    if system.model.startswith(PACKAGED):
        raise AsrError(f"{system.name}: no package carries {kind}; name a Hugging Face id or a folder")
    return local_safetensors(system.model, system.name)


class TransformersRecognizer(ABC):
    """A loaded model of transformers; a subclass transcribes one batch. `auto` names the class that loads it."""

    def __init__(self, system: TransformersSystem, auto: str, model_path: Path, device: str) -> None:
        import torch
        import transformers

        torch.set_num_threads(1)
        self._languages = system.languages
        self._batch_windows = system.batch_windows
        self._device = device
        self._features: Any = load_settings(transformers.AutoFeatureExtractor, model_path)
        self._tokenizer: Any = load_settings(transformers.AutoTokenizer, model_path)
        self._model: Any = load_weights(getattr(transformers, auto), model_path)
        self._model.to(device).eval()

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        ready = read_ahead(self._inputs, batches(windows, self._batch_windows), feature_threads(self._device))
        return [result for batch, inputs in ready for result in self._recognize_batch(batch, inputs)]

    @abstractmethod
    def _inputs(self, windows: Sequence[Window]) -> Any:
        """Return the features of a batch, on the CPU: with a GPU, those of the next batch are made while it works."""

    @abstractmethod
    def _recognize_batch(self, windows: Sequence[Window], inputs: Any) -> list[WindowResult]: ...

    def _result(self, window: Window, words: Sequence[Word]) -> WindowResult:
        """Return a window's words as a result, in its known language or else the first of the system's."""
        duration_s = len(window.samples) / SAMPLE_RATE_HZ
        return WindowResult(tidy(words, duration_s), window.language or self._languages[0], 1.0)
