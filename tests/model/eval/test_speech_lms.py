"""SpeechLMs of others: tiny models of their own classes, with random weights, scored as one forward per option does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spelangy_model.eval.answers import first_answer
from spelangy_model.eval.speech_lms import SpeechLM, option_log_likelihoods
from spelangy_model.eval.systems import Asked, SystemUnavailable
from spelangy_model.tokenizer.text import train_text_tokenizer

OPTIONS = ("red wine", "number 17", "the", "a much longer answer")
MARKS = ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|im_start|>", "<|im_end|>"]
AUDIO = {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "d_model": 32, "num_mel_bins": 80}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def sound(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, 16000).astype(np.float32)


@pytest.fixture(scope="module")
def qwen2_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as Qwen2-Audio is published, as small as it gets."""
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    folder = tmp_path_factory.mktemp("qwen2_audio")
    bpe = train_text_tokenizer([f"The answer is number {i}." for i in range(50)], 300)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, clean_up_tokenization_spaces=False)
    tokenizer.add_tokens(MARKS, special_tokens=True)
    tokenizer.pad_token = "<|im_end|>"
    Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=80), tokenizer).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = Qwen2AudioConfig(
            audio_config={"model_type": "qwen2_audio_encoder", "max_source_positions": 1500, **AUDIO},
            text_config={"model_type": "qwen2", "vocab_size": len(tokenizer), **TEXT},
            audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
        )
        Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    return folder


@torch.inference_mode()
def one_forward_per_option(model: Any, inputs: dict[str, Any], options: list[list[int]]) -> list[float]:
    found = []
    for ids in options:
        whole = torch.cat([inputs["input_ids"], torch.tensor([ids])], 1)
        log_probs = model(**{**inputs, "input_ids": whole, "attention_mask": torch.ones_like(whole)}).logits[0]
        log_probs = log_probs.double().log_softmax(-1)
        first = inputs["input_ids"].shape[1] - 1
        found.append(sum(float(log_probs[first + step, token]) for step, token in enumerate(ids)))
    return found


@pytest.mark.parametrize("prompt", ["text", "chat"])
def test_options_are_scored_after_the_sound(qwen2_audio: Path, tmp_path: Path, prompt: Any) -> None:
    literals = SpeechLM(str(qwen2_audio), prompt=prompt, precision="float32")
    literals.check(tmp_path, "cpu")
    system: Any = literals.load(tmp_path, "cpu", None)
    asked = [Asked(f"q{seed}", sound(seed), OPTIONS) for seed in (1, 2)]
    answers = system.answer(asked)
    ids = [system._option_ids(option) for option in OPTIONS]
    assert [system._processor.tokenizer.decode(option) for option in ids] == [f" {option}" for option in OPTIONS]
    for question, answer in zip(asked, answers, strict=True):
        expected = one_forward_per_option(system._model, system._inputs(question.samples), ids)
        assert answer.scores.raw == pytest.approx(expected, abs=1e-4)
        assert answer.scores.per_token == pytest.approx(np.divide(expected, [len(option) for option in ids]), abs=1e-4)
        assert answer.transcript is None
    assert answers[0].scores.raw != pytest.approx(answers[1].scores.raw, abs=1e-5)  # it listens
    text = system._processor.tokenizer.decode(system._inputs(sound(1))["input_ids"][0])
    assert text.endswith("The answer is")
    assert ("<|im_start|>assistant" in text) == (prompt == "chat")


@pytest.mark.parametrize("prompt", ["text", "chat"])
def test_an_answer_in_words_is_the_greedy_one_after_the_sound(qwen2_audio: Path, tmp_path: Path, prompt: Any) -> None:
    system: Any = SpeechLM(str(qwen2_audio), prompt=prompt, precision="float32").load(tmp_path, "cpu", None)
    asked = [Asked(f"q{seed}", sound(seed), OPTIONS) for seed in (1, 2)]
    answers = system.generate(asked, 5)
    for question, answer in zip(asked, answers, strict=True):
        inputs = system._inputs(question.samples)
        before = inputs["input_ids"].shape[1]
        for _ in range(5):
            with torch.inference_mode():
                token = system._model(**inputs).logits[0, -1].argmax()[None, None]
            inputs["input_ids"] = torch.cat([inputs["input_ids"], token], 1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            if int(token) in system._ends():
                break
        ids = inputs["input_ids"][0, before:].tolist()
        written = system._processor.tokenizer.decode(ids, skip_special_tokens=True)
        assert (answer.text, answer.tokens) == (first_answer("The answer is", written), len(ids))


def test_voxtral_continues_its_prompt_as_it_would_read_it_whole() -> None:
    from transformers import VoxtralConfig, VoxtralForConditionalGeneration

    with torch.random.fork_rng():
        torch.manual_seed(4)
        config = VoxtralConfig(
            audio_config={"model_type": "voxtral_encoder", "max_source_positions": 1500, "intermediate_size": 128}
            | {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_mel_bins": 80},
            text_config={"model_type": "llama", "vocab_size": 60, **TEXT},
            audio_token_id=24,
        )
        model = VoxtralForConditionalGeneration(config).eval()
        features = torch.randn(1, 80, 3000)
    ids = torch.tensor([[1, 3, 25, *[24] * 375, 4, 30, 31]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "input_features": features}
    options = [[40, 41, 42], [43], [44, 45]]
    found = option_log_likelihoods(model, inputs, options)
    assert found == pytest.approx(one_forward_per_option(model, inputs, options), abs=1e-4)
    other = option_log_likelihoods(model, {**inputs, "input_features": features.flip(-1)}, options)
    assert found != pytest.approx(other, abs=1e-5)


def test_what_is_missing_is_named_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SystemUnavailable, match="hf download Qwen/Qwen2-Audio-7B"):
        SpeechLM("Qwen/Qwen2-Audio-7B").check(tmp_path, "cpu")
    with pytest.raises(SystemUnavailable, match="holds no transformers model"):
        SpeechLM(str(tmp_path)).check(tmp_path, "cpu")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "voxtral"}))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemUnavailable, match="pip install 'mistral-common"):
        SpeechLM(str(tmp_path)).check(tmp_path, "cpu")
