"""Whisper through faster-whisper and CTranslate2, many windows at once.

Put here: that adapter. Do not put here: Whisper through its own library (openai_whisper.py).

faster-whisper's own batched pipeline drops the words of a window after its last timestamp, and lets the times of a
window depend on the one before. So the stack of windows is encoded and decoded here at once, each window is timed by
itself, and one that its decoder left unfinished is decoded again from where it stopped, as faster-whisper does one by
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spelangy_model.ahead import read_ahead
from spelangy_model.audio.asr.protocol import (
    PACKAGED,
    Recognizer,
    WindowResult,
    batches,
    feature_threads,
    local,
    need,
    packaged,
    tidy,
)
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window
from spelangy_model.records import Word
from spelangy_model.weights import whisper_ct2, whisper_package


@dataclass(frozen=True)
class FasterWhisper:
    """The parameters.

    A multilingual model finds the language of each window from the same encoding from which it decodes. A window of a
    language that is not in `languages`, detected with at least `certain_language_probability`, is not decoded; an empty
    `languages` decodes all. An English-only model takes every window as English. `initial_prompt` is text that the
    model takes as spoken before each window, `hotwords` are words that it should expect. `batch_windows` windows are
    encoded and decoded at once.
    """

    name: str
    model: str
    beam_size: int = 5
    precision: str = "int8"
    languages: tuple[str, ...] = ("en",)
    certain_language_probability: float = 0.8
    initial_prompt: str = ""
    hotwords: str = ""
    batch_windows: int = 8

    joins_recordings = True

    def locate(self, cache_dir: Path) -> Path:
        need("faster_whisper", self.name)
        if self.model.startswith(PACKAGED):
            return packaged(whisper_package, self.model, self.name)
        return local(self.model, self.name)

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        path = self.locate(cache_dir)
        if self.model.startswith(PACKAGED):
            path = packaged(whisper_ct2, self.model, self.name, cache_dir)
        return _Recognizer(self, path, device)


class _Recognizer:
    def __init__(self, system: FasterWhisper, model_path: Path, device: str) -> None:
        from ctranslate2 import StorageView
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        class TakesEncodings(WhisperModel):
            """Takes an encoding as it is: language and words come from one and the same."""

            def encode(self, features: Any) -> Any:
                return features if isinstance(features, StorageView) else super().encode(features)

        self._system = system
        self._feature_threads = feature_threads(device)
        # Attention over all frames of a window takes 72 MB in Whisper base. A CPU encodes windows at once no faster
        # than one by one, and has that much for each; the encodings are equal to the bit.
        self._encodes_alone = device == "cpu"
        self._model: Any = TakesEncodings(
            str(model_path), device=device, compute_type=system.precision, cpu_threads=1, local_files_only=True
        )
        self._batched: Any = BatchedInferencePipeline(self._model)

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        ready = read_ahead(self._features, batches(windows, self._system.batch_windows), self._feature_threads)
        return [result for batch, features in ready for result in self._recognize_batch(batch, features)]

    def _features(self, windows: Sequence[Window]) -> np.ndarray:
        from faster_whisper.audio import pad_or_trim

        return np.stack([pad_or_trim(self._model.feature_extractor(window.samples)[..., :-1]) for window in windows])

    def _recognize_batch(self, windows: Sequence[Window], features: np.ndarray) -> list[WindowResult]:
        encoded = self._encode(features)
        languages = self._languages(windows, encoded)
        wanted, certain = self._system.languages, self._system.certain_language_probability
        results = [
            WindowResult([], language, probability, decoded=not wanted or language in wanted or probability < certain)
            for language, probability in languages
        ]
        for language in sorted({result.language for result in results if result.decoded}):
            rows = [i for i, result in enumerate(results) if result.decoded and result.language == language]
            spoken = self._decode([windows[i] for i in rows], _rows(encoded, rows), language)
            for i, words in zip(rows, spoken, strict=True):
                results[i].words.extend(words)
        return results

    def _encode(self, features: np.ndarray) -> Any:
        """Return the encodings (windows, frames, width) of features (windows, bins, frames)."""
        from ctranslate2 import StorageView

        if not self._encodes_alone:
            return self._model.encode(features)
        alone = [np.asarray(self._model.encode(features[place : place + 1])) for place in range(len(features))]
        return StorageView.from_array(np.concatenate(alone))

    def _languages(self, windows: Sequence[Window], encoded: Any) -> list[tuple[str, float]]:
        if not self._model.model.is_multilingual:
            return [("en", 1.0)] * len(windows)
        if all(window.language for window in windows):
            return [(window.language, 1.0) for window in windows]
        found = []
        for window, ranked in zip(windows, self._model.model.detect_language(encoded), strict=True):
            token, probability = ranked[0]
            code = token.removeprefix("<|").removesuffix("|>")
            found.append((window.language, 1.0) if window.language else (code, float(probability)))
        return found

    def _decode(self, windows: Sequence[Window], encoded: Any, language: str) -> list[list[Word]]:
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_suppressed_tokens

        tokenizer = Tokenizer(
            self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=language
        )
        options = self._options(get_suppressed_tokens(tokenizer, (-1,)) or ())
        _, outputs = self._batched.generate_segment_batched(encoded, tokenizer, options)
        spoken = []
        for row, (window, output) in enumerate(zip(windows, outputs, strict=True)):
            if output["no_speech_prob"] > options.no_speech_threshold and (
                output["avg_logprob"] < options.log_prob_threshold
            ):
                spoken.append([])
                continue
            duration_s = len(window.samples) / SAMPLE_RATE_HZ
            frames = min(int(duration_s * self._model.frames_per_second), 3000)
            parts, reached, _ = self._model._split_segments_by_timestamps(
                tokenizer, output["tokens"], 0.0, frames, duration_s, 0
            )
            segments = [
                {**part, "text": tokenizer.decode(part["tokens"]), "seek": 0}
                for part in parts
                if part["start"] != part["end"] and tokenizer.decode(part["tokens"]).strip()
            ]
            words: list[Word] = []
            if segments:
                self._model.add_word_timestamps(
                    [segments],
                    tokenizer,
                    _rows(encoded, [row]),
                    frames,
                    options.prepend_punctuations,
                    options.append_punctuations,
                    0.0,
                )
                words = _words(segments)
            if reached < frames:
                words += self._rest(window, reached / self._model.frames_per_second, words, language)
            spoken.append(tidy(words, duration_s))
        return spoken

    def _rest(self, window: Window, from_s: float, before: Sequence[Word], language: str) -> list[Word]:
        """Decode the rest of a window from `from_s` on, where its decoder stopped before the end."""
        begin_s = max([from_s, *(word.end_s for word in before)])
        if len(window.samples) / SAMPLE_RATE_HZ - begin_s < 0.2:
            return []
        segments, _ = self._model.transcribe(
            window.samples[round(begin_s * SAMPLE_RATE_HZ) :],
            language=language,
            beam_size=self._system.beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            initial_prompt=self._system.initial_prompt or None,
            hotwords=self._system.hotwords or None,
        )
        return [
            Word(word.word, begin_s + float(word.start), begin_s + float(word.end), float(word.probability))
            for segment in segments
            for word in segment.words or ()
        ]

    def _options(self, suppressed: Sequence[int]) -> Any:
        from faster_whisper.transcribe import TranscriptionOptions

        # One temperature: the fallback to others samples, and is neither cheap nor repeatable. Whisper decodes its
        # timestamps too: without them it adds text after the last word ("Thank you.").
        return TranscriptionOptions(
            beam_size=self._system.beam_size,
            best_of=1,
            patience=1,
            length_penalty=1,
            repetition_penalty=1,
            no_repeat_ngram_size=0,
            log_prob_threshold=-1.0,
            no_speech_threshold=0.6,
            compression_ratio_threshold=2.4,
            condition_on_previous_text=False,
            prompt_reset_on_temperature=0.5,
            temperatures=[0.0],
            initial_prompt=self._system.initial_prompt or None,
            prefix=None,
            suppress_blank=True,
            suppress_tokens=list(suppressed),
            without_timestamps=False,
            max_initial_timestamp=1.0,
            word_timestamps=True,
            prepend_punctuations="\"'“¿([{-",
            append_punctuations="\"'.。,，!！?？:：”)]}、",
            multilingual=False,
            max_new_tokens=None,
            clip_timestamps="0",
            hallucination_silence_threshold=None,
            hotwords=self._system.hotwords or None,
        )


def _rows(encoded: Any, rows: Sequence[int]) -> Any:
    """Return some rows of a stack of encodings (windows, frames, width)."""
    from ctranslate2 import Device, StorageView

    if list(rows) == list(range(encoded.shape[0])):
        return encoded
    here = encoded if encoded.device == "cpu" else encoded.to_device(Device.cpu)  # the model takes it from there
    return StorageView.from_array(np.ascontiguousarray(np.asarray(here)[list(rows)]))


def _words(segments: Sequence[dict[str, Any]]) -> list[Word]:
    return [
        Word(word["word"], float(word["start"]), float(word["end"]), float(word["probability"]))
        for segment in segments
        for word in segment["words"]
    ]
