"""Other systems that answer spoken questions, behind one protocol: the alternatives to a run.

Put here: the protocol, and the cascade of ASR and a text LM. Do not put here: external models (speech_lms.py), or
questions as records (stages/score_system.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from spelangy_model.audio.asr import AsrError, AsrSystem, Recognizer
from spelangy_model.audio.round_trip import Sound, transcribe

if TYPE_CHECKING:
    from spelangy_model.eval.generate import GeneratedText
    from spelangy_model.eval.multiple_choice import OptionScores


class SystemUnavailable(RuntimeError):
    """A system that is not available; the text states what is missing and how to get it."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A spoken question: samples (n,) float32 mono at 16 kHz, and its options. Ids differ."""

    question_id: str
    samples: npt.NDArray[np.float32]
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The scores of the options, and the system's transcript; None for a system without one."""

    scores: OptionScores
    transcript: str | None = None


class LoadedSystem(Protocol):
    """A loaded system: one answer for each question, in order."""

    def answer(self, asked: Sequence[Asked]) -> list[Answered]: ...


@runtime_checkable
class GeneratingSystem(Protocol):
    """A loaded system that can also answer in words: greedily, one answer for each question, in order."""

    def generate(self, asked: Sequence[Asked], max_answer_tokens: int) -> list[GeneratedText]: ...


class AnsweringSystem(Protocol):
    """The configuration of a system in a recipe. `reads_text_lm`: whether it works on a text LM of the recipe.

    One whose loaded system is a GeneratingSystem states it with `generates = True`.
    """

    @property
    def reads_text_lm(self) -> bool: ...

    def check(self, cache_dir: Path, device: str) -> None:
        """Raise SystemUnavailable, with the cure, when a model or package is missing. Cheap."""
        ...

    def load(self, cache_dir: Path, device: str, text_lm: Path | None) -> LoadedSystem: ...


@dataclass(frozen=True)
class Cascade:
    """A recognizer transcribes the question, and a text LM scores the options after the transcript."""

    recognizer: AsrSystem
    answer_prefix: str = "The answer is"

    @property
    def reads_text_lm(self) -> bool:
        return True

    @property
    def generates(self) -> bool:
        return True

    def check(self, cache_dir: Path, device: str) -> None:
        try:
            self.recognizer.locate(cache_dir)
        except AsrError as error:
            raise SystemUnavailable(str(error)) from error

    def load(self, cache_dir: Path, device: str, text_lm: Path | None) -> LoadedSystem:
        if text_lm is None:
            raise ValueError("a cascade needs a text LM")
        return _LoadedCascade(self, self.recognizer.load(cache_dir, device), text_lm, device)


class _LoadedCascade:
    def __init__(self, cascade: Cascade, recognizer: Recognizer, text_lm: Path, device: str):
        from spelangy_model.lm.forward import load_model
        from spelangy_model.tokenizer.text import load_text_tokenizer
        from spelangy_model.tokenizer.vocab import check_checkpoint

        self._cascade = cascade
        self._recognizer = recognizer
        self._model: Any = load_model(text_lm)
        self._model.to(device)
        self._layout = check_checkpoint(self._model, text_lm)
        self._tokenizer = load_text_tokenizer(text_lm)

    def answer(self, asked: Sequence[Asked]) -> list[Answered]:
        from spelangy_model.eval.multiple_choice import score_prompts
        from spelangy_model.eval.prompts import text_prompt

        transcripts = self._transcribe(asked)
        prompts = [
            text_prompt(self._layout, self._tokenizer, text, self._cascade.answer_prefix, question.options)
            for text, question in zip(transcripts, asked, strict=True)
        ]
        scores = score_prompts(self._model, prompts, self._layout.pad)
        return [Answered(score, text) for score, text in zip(scores, transcripts, strict=True)]

    def generate(self, asked: Sequence[Asked], max_answer_tokens: int) -> list[GeneratedText]:
        from spelangy_model.eval.generate import answer_prompts
        from spelangy_model.eval.prompts import text_prompt

        prefix = self._cascade.answer_prefix
        prompts = [text_prompt(self._layout, self._tokenizer, text, prefix, ()) for text in self._transcribe(asked)]
        return answer_prompts(self._model, self._layout, self._tokenizer, prompts, prefix, max_answer_tokens)

    def _transcribe(self, asked: Sequence[Asked]) -> list[str]:
        sounds = [Sound(question.question_id, question.samples) for question in asked]
        return transcribe(self._cascade.recognizer.name, self._recognizer, sounds)
