"""Whisper through whisper-timestamped and openai-whisper, window by window.

Put here: that adapter. Do not put here: Whisper through CTranslate2 (ct2_whisper.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spelangy_model.audio.asr.protocol import (
    PACKAGED,
    AsrError,
    Recognizer,
    WindowResult,
    local_safetensors,
    need,
    packaged,
    tidy,
)
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window
from spelangy_model.pretrained import pickles_of, tensors_only
from spelangy_model.records import Word
from spelangy_model.weights import whisper_openai, whisper_package


@dataclass(frozen=True)
class WhisperTimestamped:
    """The parameters; in float32, greedy.

    A window whose language is not known beforehand is taken as the first of `languages`. `initial_prompt` is text that
    the model takes as spoken before each window.
    """

    name: str
    model: str
    languages: tuple[str, ...] = ("en",)
    initial_prompt: str = ""

    joins_recordings = True

    def locate(self, cache_dir: Path) -> Path:
        need("whisper_timestamped", self.name)
        if self.model.startswith(PACKAGED):
            return packaged(whisper_package, self.model, self.name)
        folder = local_safetensors(self.model, self.name)
        if pickles := pickles_of(folder):  # whisper-timestamped takes them before safetensors
            raise AsrError(f"{self.name}: no pickle is opened: take {', '.join(pickles)} out of {folder}")
        return folder

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        path = self.locate(cache_dir)
        if self.model.startswith(PACKAGED):
            path = packaged(whisper_openai, self.model, self.name, cache_dir)
        return _Recognizer(self, path, device)


class _Recognizer:
    def __init__(self, system: WhisperTimestamped, model_path: Path, device: str) -> None:
        import torch
        import whisper
        import whisper_timestamped

        torch.set_num_threads(1)
        self._system = system
        self._transcribe: Any = whisper_timestamped.transcribe_timestamped
        with tensors_only():
            self._model: Any = whisper_timestamped.load_model(str(model_path), device=device)
        if system.model.startswith(PACKAGED):
            # whisper knows the heads that follow the audio by a model's name, not by its file.
            heads: Any = vars(whisper)["_ALIGNMENT_HEADS"]
            self._model.set_alignment_heads(heads[system.model.removeprefix(PACKAGED)])

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        return [self._recognize(window) for window in windows]

    def _recognize(self, window: Window) -> WindowResult:
        language = (window.language or self._system.languages[0]) if self._model.is_multilingual else "en"
        result = self._transcribe(
            self._model,
            window.samples,
            language=language,
            temperature=0.0,
            condition_on_previous_text=False,
            initial_prompt=self._system.initial_prompt or None,
            fp16=False,
            verbose=None,
        )
        words = [
            Word(word["text"], float(word["start"]), float(word["end"]), float(word["confidence"]))
            for segment in result["segments"]
            for word in segment.get("words", ())
        ]
        return WindowResult(tidy(words, len(window.samples) / SAMPLE_RATE_HZ), language, 1.0)
