"""A model is asked one question: it answers as in the evaluation, and what does not fit is refused."""

from __future__ import annotations

import dataclasses
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode
from spelangy_model.eval.ask import AskedModel, AskError, open_model
from spelangy_model.eval.generate import answer_prompts
from spelangy_model.eval.multiple_choice import score_prompts
from spelangy_model.eval.prompts import spoken_prompt, text_prompt

OPTIONS = ("word number 3", "Rome")


@pytest.fixture(scope="module")
def model(model_folder: Path, project_dir: Path) -> AskedModel:
    return open_model("small/run", model_folder, project_dir / "spelangy_assets" / "tokenizer_checkpoint")


def wav(samples: np.ndarray, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def sweep(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return 0.4 * np.sin(2 * np.pi * (200 + 300 * t % 2000) * t)


def test_a_spoken_question_is_answered_as_the_evaluation_answers_its_codes(model: AskedModel) -> None:
    model.ask(sweep(0.5).astype(np.float32))  # what is imported with the first question belongs to loading
    started = time.process_time()
    reply = model.ask(model.read(wav(sweep(1.5))), OPTIONS)
    assert time.process_time() - started < 3
    (codes,) = model.codec.encode([decode(wav(sweep(1.5))).samples])
    parts = model.layout, model.tokenizer
    prompt = spoken_prompt(*parts, codes.tolist(), model.answer_prefix, OPTIONS)
    assert [reply.answer] == answer_prompts(model.model, *parts, [prompt], model.answer_prefix, 32)
    assert reply.options.raw == pytest.approx(score_prompts(model.model, [prompt], model.layout.pad)[0].raw)


def test_a_written_question_is_answered_without_likelihoods_where_no_options_are_given(model: AskedModel) -> None:
    reply = model.ask(" What is number 3? \n")
    prompt = text_prompt(model.layout, model.tokenizer, "What is number 3?", model.answer_prefix, ())
    assert [reply.answer] == answer_prompts(
        model.model, model.layout, model.tokenizer, [prompt], model.answer_prefix, 32
    )
    assert reply.options is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"no sound at all", "undecodable: "),
        (b"", "empty: the file holds no byte"),
        (wav(np.zeros(SAMPLE_RATE_HZ)), "silent: "),
        (Path("/no/such/file.wav"), "not a file: "),
    ],
    ids=("no sound", "no byte", "silence", "no file"),
)
def test_what_is_no_question_is_named(source: Any, words: str, model: AskedModel) -> None:
    with pytest.raises(AskError, match=f"^{words}"):
        model.read(source)


def test_sound_beyond_the_context_is_refused_and_not_read_whole(
    model: AskedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AskError, match=r"too long: it lasts more than 16\d.\d s; .*2048 positions of small/run, which"):
        model.read(wav(sweep(600.0)))
    monkeypatch.setattr(model.model.config, "max_position_embeddings", 80)
    longest = model.longest_s()
    assert 2 < longest < 80 / 12.5
    model.ask(sweep(longest - 0.01).astype(np.float32))
    with pytest.raises(AskError, match=r"too long: it lasts \d.\d s; .* 80 positions"):
        model.ask(sweep(longest + 0.1).astype(np.float32))
    with pytest.raises(AskError, match="too long: its prompt has"):
        model.ask("word " * 50)


def test_a_model_without_a_speech_tokenizer_is_asked_in_text(model: AskedModel, model_folder: Path) -> None:
    alone = dataclasses.replace(model, codec=None)
    assert alone.ask("What is number 3?").answer == model.ask("What is number 3?").answer
    with pytest.raises(AskError, match="small/run has no speech tokenizer beside it: ask it in text"):
        alone.read(wav(sweep(1.0)))
    of_text = dataclasses.replace(model, layout=dataclasses.replace(model.layout, codebook_size=0))
    with pytest.raises(AskError, match="small/run knows no speech: ask it in text"):
        of_text.ask(sweep(1.0))


def test_a_question_and_an_option_have_text(model: AskedModel) -> None:
    with pytest.raises(AskError, match="at least one word"):
        model.ask("  ")
    with pytest.raises(AskError, match="' ' is no option"):
        model.ask("Who?", ("Ann", " "))


def test_codes_of_another_speech_tokenizer_are_refused(model_folder: Path, tiny_mimi: Path) -> None:
    with pytest.raises(AskError, match=r"run knows 1000 speech codes, the speech tokenizer of .* has 64: take the one"):
        open_model("run", model_folder, tiny_mimi)
