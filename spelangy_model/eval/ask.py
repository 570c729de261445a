"""Ask a model of this project one question, spoken or written, and get its answer in words.

Put here: opening a model with its speech tokenizer, the limit of its context, one question at a time. Do not put here:
generation (generate.py), likelihoods (multiple_choice.py), prompts (prompts.py), or where a model lies (store/runs.py).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError, decode
from spelangy_model.tokenizer.codec import CODES_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spelangy_model.eval.generate import GeneratedText
    from spelangy_model.eval.multiple_choice import OptionScores, Prompt
    from spelangy_model.tokenizer.codec import SpeechCodec
    from spelangy_model.tokenizer.vocab import Layout

ANSWER_PREFIX = "The answer is"
MAX_ANSWER_TOKENS = 32


class AskError(ValueError):
    """A question that a model cannot be asked; the text is one line with the reason."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in words, the likelihoods of the options where some were given, and the time that both took."""

    answer: GeneratedText
    options: OptionScores | None
    seconds: float


@dataclass(frozen=True, eq=False)
class AskedModel:
    """A language model with its vocabulary and, where it knows speech, its speech tokenizer. `name` is for messages.

    A question begins the training sequence that an answer ends (prompts.py); `answer_prefix` is the text with which the
    answer begins. `whole_reply` as in generate.py, for a model that learned to end its replies.
    """

    name: str
    model: Any
    layout: Layout
    tokenizer: Any
    codec: SpeechCodec | None
    answer_prefix: str = ANSWER_PREFIX
    max_answer_tokens: int = MAX_ANSWER_TOKENS
    whole_reply: bool = False

    def ask(self, question: str | np.ndarray, options: Sequence[str] = ()) -> Reply:
        """Return the answer to a text, or to sound: mono float32 samples (n,) at 16 kHz.

        Raises AskError for a question without words, sound that the model does not know, a question longer than its
        context, or an option without text.
        """
        from spelangy_model.eval.generate import answer_prompts
        from spelangy_model.eval.multiple_choice import score_prompts

        started = time.monotonic()
        if empty := [option for option in options if not option.strip()]:
            raise AskError(f"{empty[0]!r} is no option: an option has text")
        prompt = self._prompt(question, [option.strip() for option in options])
        limits = self.max_answer_tokens, self.whole_reply
        (answer,) = answer_prompts(self.model, self.layout, self.tokenizer, [prompt], self.answer_prefix, *limits)
        scores = score_prompts(self.model, [prompt], self.layout.pad)[0] if options else None
        return Reply(answer, scores, time.monotonic() - started)

    def as_message(self, question: str | np.ndarray) -> str:
        """Return a question as the content of a user's message, as a program that serves the model takes it."""
        from spelangy_model.eval.serving import spoken_message

        if isinstance(question, str):
            return question.strip()
        return spoken_message(self._speech_codec().encode([question])[0].tolist())

    def read(self, source: Path | bytes) -> np.ndarray:
        """Return the sound of a file, or of a file's bytes, as `ask` takes it.

        Raises AskError for a file that cannot be used, and for sound that is longer than the context; of a longer file
        no more than that is read.
        """
        self._speech_codec()
        try:
            return decode(source, max_s=self.longest_s()).samples
        except AudioError as error:
            if error.reason == "too_long":
                raise AskError(self._too_long(f"it lasts {error.detail}")) from error
            raise AskError(f"{error.reason.replace('_', ' ')}: {error.detail}") from error

    def longest_s(self, options: Sequence[str] = ()) -> float:
        """Return how many seconds of sound fit into the context with their answer."""
        fixed = len(self._spoken([0], options).ids) - 1 + self._answer_tokens(options)
        return max(0, self.positions() - fixed) / CODES_PER_S

    def positions(self) -> float:
        """Return the length of the model's context in positions; infinity for a model that states none."""
        return getattr(self.model.config, "max_position_embeddings", None) or math.inf

    def _prompt(self, question: str | np.ndarray, options: Sequence[str]) -> Prompt:
        from spelangy_model.eval.prompts import text_prompt

        if isinstance(question, str):
            if not question.strip():
                raise AskError("a question has at least one word")
            prompt = text_prompt(self.layout, self.tokenizer, question.strip(), self.answer_prefix, options)
            if len(prompt.ids) + self._answer_tokens(options) > self.positions():
                raise AskError(self._too_long(f"its prompt has {len(prompt.ids)} tokens"))
            return prompt
        codec = self._speech_codec()
        if len(question) > self.longest_s(options) * SAMPLE_RATE_HZ:
            raise AskError(self._too_long(f"it lasts {len(question) / SAMPLE_RATE_HZ:.1f} s"))
        return self._spoken(codec.encode([question])[0].tolist(), options)

    def _spoken(self, codes: Sequence[int], options: Sequence[str]) -> Prompt:
        from spelangy_model.eval.prompts import spoken_prompt

        return spoken_prompt(self.layout, self.tokenizer, codes, self.answer_prefix, options)

    def _answer_tokens(self, options: Sequence[str]) -> int:
        from spelangy_model.tokenizer.text import encode_texts

        return max([self.max_answer_tokens, *map(len, encode_texts(self.tokenizer, list(options)))])

    def _speech_codec(self) -> SpeechCodec:
        if self.layout.codebook_size == 0:
            raise AskError(f"{self.name} knows no speech: ask it in text")
        if self.codec is None:
            raise AskError(f"{self.name} has no speech tokenizer beside it: ask it in text")
        return self.codec

    def _too_long(self, why: str) -> str:
        longest = "" if self.codec is None else f", which is {self.longest_s():.0f} s of sound"
        return (
            f"too long: {why}; the question and {self.max_answer_tokens} tokens of its answer fit into the "
            f"{self.positions()} positions of {self.name}{longest}"
        )


def open_model(name: str, folder: Path, codec_folder: Path | None, device: str = "cpu", **options: Any) -> AskedModel:
    """Return the model of a folder with its speech tokenizer; `options` are further fields of AskedModel.

    Raises ValueError for a folder that holds no model of this project, or a speech tokenizer with other codes than the
    model's.
    """
    from spelangy_model.lm.forward import load_model
    from spelangy_model.tokenizer.open_codec import open_codec
    from spelangy_model.tokenizer.text import load_text_tokenizer
    from spelangy_model.tokenizer.vocab import Layout, check_checkpoint

    layout = Layout.load(folder)  # first: a folder of something else is refused in words
    model: Any = load_model(folder)
    model.to(device)
    check_checkpoint(model, folder, layout)
    codec = open_codec(codec_folder, device) if codec_folder is not None and layout.codebook_size else None
    if codec is not None and codec.codebook_size != layout.codebook_size:
        raise AskError(
            f"{name} knows {layout.codebook_size} speech codes, the speech tokenizer of {codec_folder} has "
            f"{codec.codebook_size}: take the one that it was trained on"
        )
    return AskedModel(name, model.eval(), layout, load_text_tokenizer(folder), codec, **options)
