"""What a user would take instead of a run: a cascade answers by its transcript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from spelangy_model.audio.asr import AsrError, FasterWhisper, WindowResult
from spelangy_model.audio.windows import Window
from spelangy_model.eval.generate import answer_prompts
from spelangy_model.eval.multiple_choice import score_prompts
from spelangy_model.eval.prompts import text_prompt
from spelangy_model.eval.systems import Asked, Cascade, GeneratingSystem, SystemUnavailable
from spelangy_model.lm.forward import load_model
from spelangy_model.lm.presets import new_model
from spelangy_model.records import Word
from spelangy_model.tokenizer.text import load_text_tokenizer, save_text_tokenizer, train_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=300, codebook_size=0)
OPTIONS = ("word one", "number two", "the answer", "four")


@dataclass(frozen=True)
class Loud:
    """A recognizer that returns "loud" or "quiet" in each second, by how loud it is."""

    name: str = "loud"
    joins_recordings: bool = True

    def locate(self, cache_dir: Path) -> Path:
        return cache_dir

    def load(self, cache_dir: Path, device: str = "cpu") -> Loud:
        return self

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        return [
            WindowResult(
                [
                    Word(
                        "loud" if np.abs(window.samples[piece.window_start :][: piece.length]).max() > 0.5 else "quiet",
                        piece.window_start / 16000,
                        (piece.window_start + piece.length) / 16000,
                        1.0,
                    )
                    for piece in window.pieces
                ],
                "en",
                1.0,
            )
            for window in windows
        ]


@pytest.fixture(scope="module")
def text_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text_lm")
    new_model("tiny", LAYOUT, seed=0).save_pretrained(folder)
    save_text_tokenizer(train_text_tokenizer([f"The answer is word number {i}." for i in range(50)], 300), folder)
    LAYOUT.save(folder)
    return folder


def test_a_cascade_scores_the_options_after_its_transcript(text_lm: Path, tmp_path: Path) -> None:
    system = Cascade(Loud()).load(tmp_path, "cpu", text_lm)
    asked = [
        Asked("q1", np.full(16000, 0.9, np.float32), OPTIONS),
        Asked("q2", np.full(16000, 0.1, np.float32), OPTIONS),
        Asked("q3", np.full(8000, 0.9, np.float32), OPTIONS),
    ]
    answers = system.answer(asked)
    assert [answer.transcript for answer in answers] == ["loud", "quiet", "loud"]
    tokenizer = load_text_tokenizer(text_lm)
    prompts = [text_prompt(LAYOUT, tokenizer, text, "The answer is", OPTIONS) for text in ("loud", "quiet")]
    expected = score_prompts(load_model(text_lm), prompts, LAYOUT.pad)
    assert answers[0].scores.raw == pytest.approx(expected[0].raw, abs=1e-5)
    assert answers[1].scores.raw == pytest.approx(expected[1].raw, abs=1e-5)
    assert answers[0].scores.raw == pytest.approx(answers[2].scores.raw, abs=1e-5)


def test_a_cascade_answers_in_words_after_its_transcript(text_lm: Path, tmp_path: Path) -> None:
    system = Cascade(Loud()).load(tmp_path, "cpu", text_lm)
    assert isinstance(system, GeneratingSystem)
    answers = system.generate([Asked("q", np.full(16000, 0.9, np.float32), OPTIONS)], 6)
    prompt = text_prompt(LAYOUT, load_text_tokenizer(text_lm), "loud", "The answer is", ())
    tokenizer = load_text_tokenizer(text_lm)
    assert answers == answer_prompts(load_model(text_lm), LAYOUT, tokenizer, [prompt], "The answer is", 6)


def test_a_cascade_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SystemUnavailable, match="none/such"):
        Cascade(FasterWhisper(name="x", model="none/such")).check(tmp_path, "cpu")
    with pytest.raises(AsrError):
        FasterWhisper(name="x", model="none/such").locate(tmp_path)
    with pytest.raises(ValueError, match="text LM"):
        Cascade(Loud()).load(tmp_path, "cpu", None)
