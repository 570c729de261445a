"""The interface of recognizers, and code that their adapters share.

Put here: the protocol, its result and error, the search for a model on this machine. Do not put here: any system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from spelangy_model.audio.windows import Window
from spelangy_model.audio.words import in_order, spread
from spelangy_model.extras import missing
from spelangy_model.hub import ModelMissing, local_model
from spelangy_model.pretrained import CheckpointRefused, check_settings, weight_files
from spelangy_model.records import Word
from spelangy_model.weights import WeightsError

PACKAGED = "package:"


class AsrError(Exception):
    """A recognizer is not available or failed; the text states what is missing and how to get it."""


@dataclass(frozen=True, slots=True)
class WindowResult:
    """The words that a system recognized in a window.

    `words`: in order of time, times in seconds from the window's start, never overlapping, confidence 0 to 1.
    `language`: ISO 639-1 code of the window, `language_probability` 0 to 1 (1.0 where it was known beforehand).
    `decoded`: False when the window was skipped because the system surely does not know its language.
    """

    words: list[Word] = field(default_factory=list)
    language: str = ""
    language_probability: float = 0.0
    decoded: bool = True


class Recognizer(Protocol):
    """A loaded system. `recognize` returns one result for each window, in order."""

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]: ...


class AsrSystem(Protocol):
    """The configuration of a system in a recipe.

    `joins_recordings`: whether the system gains from windows with turns of several recordings. This is so if a call
    has the same cost at every length, and not if the system adapts to the sound of a recording.
    """

    @property
    def name(self) -> str: ...

    @property
    def joins_recordings(self) -> bool: ...

    def locate(self, cache_dir: Path) -> Path:
        """Return the path of its model. Raises AsrError, with the cure, when package or model is missing.

        Cheap, and nothing is written: `plan` asks, too.
        """
        ...

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer: ...


def recognize_all(system: str, recognizer: Recognizer, windows: Sequence[Window]) -> list[WindowResult]:
    """Return the recognizer's results; AsrError, naming the system, if their number is wrong."""
    results = recognizer.recognize(windows)
    if len(results) != len(windows):
        raise AsrError(f"{system} gave {len(results)} results for {len(windows)} windows; its adapter is broken")
    return results


# --- what adapters share ------------------------------------------------------------------------------------------


def need(module: str, system: str) -> None:
    """Raise AsrError unless a module is installed, without importing it."""
    if lacking := missing(module):
        raise AsrError(f"{system}: {lacking}")


def packaged(find: Callable[..., Path], model: str, system: str, *cache_dir: Path) -> Path:
    """Return the path of a package's Whisper, found or made by `find`."""
    try:
        return find(model.removeprefix(PACKAGED), *cache_dir)
    except (WeightsError, ValueError) as error:
        raise AsrError(f"{system}: {error}") from error


def local(model: str, system: str) -> Path:
    """Return the folder of a model that is a folder, or a Hugging Face id in the local cache. Never downloads."""
    try:
        return local_model(model)
    except ModelMissing as error:
        raise AsrError(f"{system}: {error}") from error


def local_safetensors(model: str, system: str) -> Path:
    """Return the folder of a model of transformers, as `local` does, after checking that it holds only data."""
    folder = local(model, system)
    try:
        check_settings(folder)
        weight_files(folder)
    except CheckpointRefused as error:
        raise AsrError(f"{system}: {error}") from error
    return folder


def batches(windows: Sequence[Window], size: int) -> Iterator[Sequence[Window]]:
    """Cut windows into batches of at most `size`."""
    for begin in range(0, len(windows), size):
        yield windows[begin : begin + size]


def feature_threads(device: str) -> int:
    """Return how many threads make the features of the next batch while the model works: none where both need a CPU."""
    return 0 if device == "cpu" else 1


def tidy(words: Sequence[Word], duration_s: float) -> list[Word]:
    """Return the words with text, unbroken, with times in order and inside the window."""
    inside = [
        Word(
            word.text,
            min(max(word.start_s, 0.0), duration_s),
            min(max(word.end_s, 0.0), duration_s),
            min(max(word.confidence, 0.0), 1.0),
        )
        for word in whole_words(words)
    ]
    return in_order(inside)


def whole_words(words: Sequence[Word]) -> list[Word]:
    """Return the written words: parts of one word are joined, and several words in one are split.

    Whisper's words begin with the space before them. Where a system's words do, one that does not begin with a space
    continues the word before it (" 42", "-line"; " $25", ".37"), with the mean of their confidences by characters. A
    word with a space inside ("have $25") is several words; their times are divided by characters.
    """
    spaced = any(word.text[:1].isspace() for word in words)
    joined: list[Word] = []
    ends_in_space = True
    for word in words:
        if not word.text:
            continue
        if joined and spaced and not ends_in_space and not word.text[:1].isspace():
            before = joined[-1]
            size, more = len(before.text.strip()), len(word.text.strip())
            confidence = (size * before.confidence + more * word.confidence) / (size + more)
            joined[-1] = Word(before.text + word.text, before.start_s, max(before.end_s, word.end_s), confidence)
        else:
            joined.append(word)
        ends_in_space = word.text[-1].isspace()
    parts: list[Word] = []
    for word in joined:
        several = word.text.split()
        if len(several) == 1:
            parts.append(Word(several[0], word.start_s, word.end_s, word.confidence))
        else:
            parts += spread(word.text, word.start_s, word.end_s, word.confidence)
    return parts
