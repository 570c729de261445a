"""CTC models of Hugging Face transformers: Parakeet CTC, Wav2Vec2 and similar ones.

Put here: that adapter. Do not put here: transducers (transformers_transducer.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spelangy_model.audio.asr.pieces import ctc_words
from spelangy_model.audio.asr.protocol import Recognizer, WindowResult
from spelangy_model.audio.asr.transformers_model import TransformersRecognizer, locate
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window


@dataclass(frozen=True)
class TransformersCtc:
    """The parameters; decoded greedily, `batch_windows` at once.

    Every window is taken as the first of `languages`. Word times are those of the frames of its tokens, which CTC
    places late and short; a word's confidence is the mean of its tokens' peak probabilities. Models without an
    attention mask process the padding of a batch: for them `batch_windows` stays 1.
    """

    name: str
    model: str
    languages: tuple[str, ...] = ("en",)
    batch_windows: int = 1

    joins_recordings = False  # its time grows with the sound

    def locate(self, cache_dir: Path) -> Path:
        return locate(self, "a CTC model")

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        return _Recognizer(self, self.locate(cache_dir), device)


class _Recognizer(TransformersRecognizer):
    def __init__(self, system: TransformersCtc, model_path: Path, device: str) -> None:
        super().__init__(system, "AutoModelForCTC", model_path, device)
        self._blank: int = self._model.config.pad_token_id

    def _inputs(self, windows: Sequence[Window]) -> Any:
        sounds = [window.samples for window in windows]
        padding = {"padding": "longest"} if len(sounds) > 1 else {}
        return self._features(sounds, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", **padding)

    def _recognize_batch(self, windows: Sequence[Window], inputs: Any) -> list[WindowResult]:
        import torch

        with torch.inference_mode():
            probabilities, ids = self._model(**inputs.to(self._device)).logits.float().softmax(-1).max(-1)
        longest = max(len(window.samples) for window in windows)
        results = []
        for row, window in enumerate(windows):
            frames = max(1, round(ids.shape[1] * len(window.samples) / longest))
            path, peaks = ids[row, :frames].tolist(), probabilities[row, :frames].tolist()
            duration_s = len(window.samples) / SAMPLE_RATE_HZ
            words = ctc_words(
                self._tokenizer.convert_ids_to_tokens(path), path, peaks, self._blank, duration_s / frames
            )
            results.append(self._result(window, words))
        return results
