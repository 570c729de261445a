"""Scoring by log-likelihood: equal to one forward per option, whatever stands beside; prompts; the modality gap."""

import numpy as np
import pytest
import torch

from spelangy_model.eval.gap import reverse_kl
from spelangy_model.eval.multiple_choice import Prompt, score_prompts
from spelangy_model.eval.prompts import spoken_prompt, text_prompt
from spelangy_model.lm.presets import new_model
from spelangy_model.tokenizer.text import encode_texts, train_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=300, codebook_size=20)


@pytest.fixture(scope="module")
def model():
    return new_model("tiny", LAYOUT, seed=0)


@pytest.fixture(scope="module")
def tokenizer():
    return train_text_tokenizer([f"The answer is word number {i}." for i in range(50)], 300)


def random_prompts(count: int) -> list[Prompt]:
    rng = np.random.default_rng(0)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.integers(0, 300, rng.integers(low, high)).tolist())

    return [Prompt(ids(1, 40), tuple(ids(1, 6) for _ in range(4))) for _ in range(count)]


@torch.inference_mode()
def one_forward_per_option(model, prompt: Prompt) -> list[float]:
    likelihoods = []
    for option in prompt.options:
        log_probs = model(input_ids=torch.tensor([[*prompt.ids, *option]])).logits[0].log_softmax(-1)
        steps = range(len(prompt.ids) - 1, len(prompt.ids) + len(option) - 1)
        likelihoods.append(sum(float(log_probs[step, token]) for step, token in zip(steps, option, strict=True)))
    return likelihoods


def test_scores_are_those_of_one_forward_per_option(model) -> None:
    prompts = random_prompts(30)
    for prompt, score in zip(prompts, score_prompts(model, prompts, LAYOUT.pad), strict=True):
        assert score.option_log_likelihoods == pytest.approx(one_forward_per_option(model, prompt), abs=1e-4)
        assert score.best == int(np.argmax(score.option_log_likelihoods))
        assert np.exp(score.next_log_probs).sum() == pytest.approx(1.0, abs=1e-4)


def test_scores_do_not_depend_on_neighbours(model) -> None:
    prompts = random_prompts(100)
    together = score_prompts(model, prompts, LAYOUT.pad)
    for index in (0, 17, 99):
        alone = score_prompts(model, prompts[index : index + 1], LAYOUT.pad)[0]
        assert together[index].option_log_likelihoods == pytest.approx(alone.option_log_likelihoods, abs=1e-5)


def test_an_empty_option_is_refused(model) -> None:
    with pytest.raises(ValueError, match="one id in each option"):
        score_prompts(model, [Prompt((1,), ((2,), ()))], LAYOUT.pad)


def test_prompts_have_the_format_of_training_sequences(tokenizer) -> None:
    prefix, word = encode_texts(tokenizer, ["The answer is", "word"])
    spoken = spoken_prompt(LAYOUT, tokenizer, [3, 4], "The answer is", ["word", "number"])
    markers = (LAYOUT.bos, LAYOUT.speech_start)
    assert spoken.ids == (*markers, LAYOUT.first_code + 3, LAYOUT.first_code + 4, LAYOUT.speech_end, *prefix)
    assert spoken.options[0] == tuple(word)
    question = encode_texts(tokenizer, ["Which word?"])[0]
    written = text_prompt(LAYOUT, tokenizer, "Which word?", "The answer is", ["word", "number"])
    assert written.ids == (LAYOUT.bos, *question, *prefix)
    assert written.options == spoken.options
    with pytest.raises(ValueError, match=r"codes in 0\.\.19"):
        spoken_prompt(LAYOUT, tokenizer, [20], "The answer is", ["word"])


def test_reverse_kl_is_that_of_scipy_over_text_ids() -> None:
    from scipy.special import log_softmax, rel_entr, softmax

    rng = np.random.default_rng(0)
    speech, text = rng.normal(size=325), rng.normal(size=325)
    found = reverse_kl(log_softmax(speech), log_softmax(text), 300)
    assert found == pytest.approx(rel_entr(softmax(speech[:300]), softmax(text[:300])).sum())
    assert reverse_kl(log_softmax(speech), log_softmax(speech), 300) == 0
