"""Loss on the next sentence of talk: equal to one forward a context, and lower after the right speech."""

import numpy as np
import pytest
import torch

from spelangy_model.eval.passages import TokenizedPassage, passage_losses
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


def random_passages(count: int) -> list[TokenizedPassage]:
    rng = np.random.default_rng(0)
    return [
        TokenizedPassage(
            tuple(tuple(rng.integers(0, 20, rng.integers(1, 30)).tolist()) for _ in range(3)),
            tuple(f"It is number {rng.integers(1000)} of {rng.integers(1000)}."[: rng.integers(8, 30)] for _ in "1234"),
        )
        for _ in range(count)
    ]


@torch.inference_mode()
def one_forward(model, context: list[int], text: list[int]) -> float:
    ids = [LAYOUT.bos, *context, *text]
    log_probs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return -sum(float(log_probs[len(context) + step, token]) for step, token in enumerate(text))


def speech(passage: TokenizedPassage, count: int) -> list[int]:
    codes = [LAYOUT.first_code + code for sentence in passage.codes[:count] for code in sentence]
    return [LAYOUT.speech_start, *codes, LAYOUT.speech_end]


def test_losses_are_those_of_one_forward_a_context(model, tokenizer) -> None:
    passages = random_passages(8)
    swaps = [(at + 3) % 8 for at in range(8)]
    for at, found in enumerate(passage_losses(model, LAYOUT, tokenizer, passages, swaps)):
        texts = encode_texts(tokenizer, list(passages[at].sentences))
        assert found.tokens == [len(text) for text in texts[1:]]
        for count in (1, 2, 3):
            text = texts[count]
            written = [token for before in texts[:count] for token in before]
            for nats, context in (
                (found.alone, []),
                (found.spoken, speech(passages[at], count)),
                (found.written, written),
                (found.swapped, speech(passages[swaps[at]], count)),
            ):
                assert nats[count - 1] == pytest.approx(one_forward(model, context, text), abs=2e-4)


def test_a_passage_that_stands_in_for_itself_gains_nothing(model, tokenizer) -> None:
    for found in passage_losses(model, LAYOUT, tokenizer, random_passages(4), range(4)):
        assert found.swapped == pytest.approx(found.spoken, abs=1e-4)


def test_passages_that_are_none_are_refused(model, tokenizer) -> None:
    good = TokenizedPassage(((1,), (2,), (3,)), ("A.", "B.", "C.", "D."))
    for bad in (
        TokenizedPassage(((1,), (2,), (3,)), ("A.", "B.", "C.")),
        TokenizedPassage((), ("A.",)),
        TokenizedPassage(((1,),), ("A.", "B.")),
    ):
        with pytest.raises(ValueError, match="one sentence more"):
            passage_losses(model, LAYOUT, tokenizer, [good, bad], [0, 0])
    for codes in (((1,), (), (3,)), ((1,), (20,), (3,)), ((1,), (-1,), (3,))):
        with pytest.raises(ValueError, match=r"codes in 0\.\.19"):
            passage_losses(model, LAYOUT, tokenizer, [good, TokenizedPassage(codes, good.sentences)], [0, 0])
