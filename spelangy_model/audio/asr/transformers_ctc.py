"""CTC models of Hugging Face transformers: Parakeet CTC, Wav2Vec2 and their like.

Put here: that adapter. Do not put here: transducers (transformers_transducer.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spelangy_model.audio.asr.pieces import ctc_words
from spelangy_model.audio.asr.protocol import (
    PACKAGED,
    AsrError,
    Recognizer,
    WindowResult,
    batches,
    local,
    need,
    tidy,
)
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window


@dataclass(frozen=True)
class TransformersCtc:
    """The literals; decoded greedily, `batch_windows` at once.

    Every window is taken as the first of `languages`. Word times are those of the frames that spoke, which CTC
    places late and short; a word's confidence is the mean of its tokens' peak probabilities. Models without an
    attention mask hear the padding of a batch: for them `batch_windows` stays 1.
    """

    name: str
    model: str
    languages: tuple[str, ...] = ("en",)
    batch_windows: int = 1

    joins_recordings = False  # its time grows with the sound

    def locate(self, cache_dir: Path) -> Path:
        need("transformers", "transformers", self.name)
        if self.model.startswith(PACKAGED):
            raise AsrError(f"{self.name}: no package carries a CTC model; name a Hugging Face id or a folder")
        return local(self.model, self.name)

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        return _Recognizer(self, self.locate(cache_dir), device)


class _Recognizer:
    def __init__(self, system: TransformersCtc, model_path: Path, device: str) -> None:
        import torch
        from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer

        torch.set_num_threads(1)
        self._system = system
        self._device = device
        self._features: Any = AutoFeatureExtractor.from_pretrained(model_path, local_files_only=True)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(model_path, local_files_only=True)
        self._model: Any = AutoModelForCTC.from_pretrained(model_path, local_files_only=True).to(device).eval()
        self._blank: int = self._model.config.pad_token_id

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        return [
            result for batch in batches(windows, self._system.batch_windows) for result in self._recognize_batch(batch)
        ]

    def _recognize_batch(self, windows: Sequence[Window]) -> list[WindowResult]:
        import torch

        sounds = [window.samples for window in windows]
        padding = {"padding": "longest"} if len(sounds) > 1 else {}
        inputs = self._features(sounds, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", **padding).to(self._device)
        with torch.inference_mode():
            probabilities, ids = self._model(**inputs).logits.float().softmax(-1).max(-1)
        longest = max(len(sound) for sound in sounds)
        results = []
        for row, window in enumerate(windows):
            frames = max(1, round(ids.shape[1] * len(window.samples) / longest))
            path, peaks = ids[row, :frames].tolist(), probabilities[row, :frames].tolist()
            duration_s = len(window.samples) / SAMPLE_RATE_HZ
            words = ctc_words(
                self._tokenizer.convert_ids_to_tokens(path), path, peaks, self._blank, duration_s / frames
            )
            results.append(WindowResult(tidy(words, duration_s), window.language or self._system.languages[0], 1.0))
        return results
