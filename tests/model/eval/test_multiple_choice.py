"""Scoring by log-likelihood: equal to one forward per option, whatever stands beside; prompts; the modality gap."""

import numpy as np
import pytest
import torch

from spelangy_model.eval.gap import position_gaps
from spelangy_model.eval.multiple_choice import SCORINGS, Prompt, PromptScore, score_prompts
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

    return [
        Prompt(ids(1, 40), tuple(ids(1, 6) for _ in range(4)), (3, 5, 8, 1), int(rng.integers(4))) for _ in range(count)
    ]


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
        assert score.raw == pytest.approx(one_forward_per_option(model, prompt), abs=1e-5)
        assert score.per_token == pytest.approx(np.divide(score.raw, [len(option) for option in prompt.options]))
        assert score.per_character == pytest.approx(np.divide(score.raw, [3, 5, 8, 1]))
        assert score.best("per_token") == int(np.argmax(score.per_token))
        followed = prompt.options[prompt.followed]
        assert score.followed_log_probs.shape == (len(followed), LAYOUT.size)
        along = score.followed_log_probs[range(len(followed)), followed].sum()
        assert along == pytest.approx(score.raw[prompt.followed], abs=1e-4)
        assert np.exp(score.followed_log_probs).sum(-1) == pytest.approx(1.0, abs=1e-4)


def test_scorings_can_disagree_and_the_first_of_equals_wins() -> None:
    score = PromptScore([-2.0, -3.0, -3.0], [-2.0, -1.0, -1.0], [-0.5, -0.6, -0.1], np.zeros((1, 3)))
    assert [score.best(scoring) for scoring in SCORINGS] == [0, 1, 2]


def test_scores_do_not_depend_on_neighbours(model) -> None:
    prompts = random_prompts(100)
    together = score_prompts(model, prompts, LAYOUT.pad)
    for index in (0, 17, 99):
        alone = score_prompts(model, prompts[index : index + 1], LAYOUT.pad)[0]
        assert together[index].raw == pytest.approx(alone.raw, abs=1e-5)


def test_an_empty_option_is_refused(model) -> None:
    with pytest.raises(ValueError, match="one id in each option"):
        score_prompts(model, [Prompt((1,), ((2,), ()), (1, 1))], LAYOUT.pad)
    with pytest.raises(ValueError, match="length in characters"):
        score_prompts(model, [Prompt((1,), ((2,), (3,)), (1,))], LAYOUT.pad)


def test_prompts_have_the_format_of_training_sequences(tokenizer) -> None:
    prefix, word = encode_texts(tokenizer, ["The answer is", "word"])
    spoken = spoken_prompt(LAYOUT, tokenizer, [3, 4], "The answer is", ["word", "number"])
    markers = (LAYOUT.bos, LAYOUT.speech_start)
    assert spoken.ids == (*markers, LAYOUT.first_code + 3, LAYOUT.first_code + 4, LAYOUT.speech_end, *prefix)
    assert spoken.options[0] == tuple(word)
    assert spoken.option_characters == (4, 6)
    question = encode_texts(tokenizer, ["Which word?"])[0]
    written = text_prompt(LAYOUT, tokenizer, "Which word?", "The answer is", ["word", "number"])
    assert written.ids == (LAYOUT.bos, *question, *prefix)
    assert written.options == spoken.options
    assert text_prompt(LAYOUT, tokenizer, "", "The answer is", ["word", "number"]).ids == (LAYOUT.bos, *prefix)
    with pytest.raises(ValueError, match=r"codes in 0\.\.19"):
        spoken_prompt(LAYOUT, tokenizer, [20], "The answer is", ["word"])


def test_both_divergences_are_those_of_scipy_over_text_ids() -> None:
    from scipy.special import log_softmax, rel_entr, softmax

    rng = np.random.default_rng(0)
    speech, text = rng.normal(size=(3, 325)), rng.normal(size=(3, 325))
    found = position_gaps(log_softmax(speech, -1), log_softmax(text, -1), 300)
    p, q = softmax(speech[:, :300], -1), softmax(text[:, :300], -1)
    assert [gap.reverse_kl for gap in found] == pytest.approx(rel_entr(p, q).sum(-1))
    assert [gap.forward_kl for gap in found] == pytest.approx(rel_entr(q, p).sum(-1))
    same = position_gaps(log_softmax(speech, -1), log_softmax(speech, -1), 300)
    assert [(gap.reverse_kl, gap.forward_kl) for gap in same] == [(0, 0)] * 3
    with pytest.raises(ValueError, match="do not pair"):
        position_gaps(speech, text[:2], 300)


def test_the_tokens_that_moved_most_are_named_with_both_probabilities() -> None:
    text = np.full(10, 0.05)
    speech = text.copy()
    text[2], speech[7] = 0.55, 0.55
    (gap,) = position_gaps(np.log(speech)[None], np.log(text)[None], 10, top=2)
    assert sorted(gap.moved) == [2, 7]
    moved = dict(zip(gap.moved, zip(gap.moved_speech, gap.moved_text, strict=True), strict=True))
    assert moved[2] == pytest.approx((0.05, 0.55))
    assert moved[7] == pytest.approx((0.55, 0.05))
