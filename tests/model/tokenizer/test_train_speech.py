"""Training of the speech tokenizer: it learns, repeats itself to the bit, and says what it cannot use."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer import train_speech
from spelangy_model.tokenizer.features import SAMPLE_RATE_HZ
from spelangy_model.tokenizer.speech import SpeechTokenizerConfig, preset_config
from spelangy_model.tokenizer.speech_health import codebook_health
from spelangy_model.tokenizer.speech_schedule import SpeechTraining, batches, learning_rate_share
from spelangy_model.tokenizer.train_speech import (
    Example,
    TrainedSpeechTokenizer,
    correlation,
    make_example,
    round_trip,
    train_speech_tokenizer,
)

LETTERS = "abcdefgh"


def tone_language(count: int, seed: int) -> list[tuple[np.ndarray, str]]:
    """Utterances in which each letter is a tone of its own, 0.16 s long: a language that the audio alone shows."""
    rng = np.random.default_rng(seed)
    spoken = []
    for _ in range(count):
        text = "".join(rng.choice(list(LETTERS), int(rng.integers(3, 8))))
        time_s = np.arange(int(0.16 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        tones = [np.sin(2 * np.pi * (250 * 1.35 ** LETTERS.index(c)) * time_s) * np.hanning(len(time_s)) for c in text]
        sound = np.concatenate(tones) + 0.02 * rng.standard_normal(len(time_s) * len(text))
        spoken.append((sound.astype(np.float32), text))
    return spoken


@pytest.fixture(scope="module")
def small() -> SpeechTokenizerConfig:
    config = preset_config("tiny")
    encoder = {**config.encoder, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 1}
    return SpeechTokenizerConfig(encoder={**encoder, "subsampling_conv_channels": 16}, head_size=16)


def examples_of(spoken: list[tuple[np.ndarray, str]], config: SpeechTokenizerConfig) -> list[Example]:
    made = [make_example(sound, text, config) for sound, text in spoken]
    return [example for example in made if example is not None]


def test_the_same_literals_give_the_same_weights_whatever_torch_drew_before(small: SpeechTokenizerConfig) -> None:
    examples = examples_of(tone_language(40, 0), small)
    training = SpeechTraining(steps=6, unquantized_steps=3, warmup_steps=2, batch_s=10)
    torch.manual_seed(1)
    first = train_speech_tokenizer(examples, small, training).model.state_dict()
    torch.manual_seed(2)
    again = train_speech_tokenizer(examples, small, training).model.state_dict()
    other = train_speech_tokenizer(examples, small, dataclasses.replace(training, seed=1)).model.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["to_latent.weight"], other["to_latent.weight"])


@pytest.mark.parametrize("died_at", [4, 5, 7])
def test_a_training_that_was_cut_off_goes_on_to_the_same_weights(
    small: SpeechTokenizerConfig, tmp_path: Path, died_at: int
) -> None:
    """A checkpoint every 2 steps: at most those two are done again, and the result is equal to the bit."""
    examples = examples_of(tone_language(40, 0), small)
    training = SpeechTraining(steps=8, unquantized_steps=3, warmup_steps=2, batch_s=10)
    whole = train_speech_tokenizer(examples, small, training)

    class Killed(BaseException):
        pass

    steps: list[int] = []

    def die_once(*arguments: object) -> np.random.Generator:
        steps.append(int(str(arguments[2])))
        if steps[-1] == died_at and steps.count(died_at) == 1:
            raise Killed
        return stable_rng(*arguments)  # type: ignore[arg-type]

    def train() -> TrainedSpeechTokenizer:
        return train_speech_tokenizer(examples, small, training, work=tmp_path, checkpoint_every_steps=2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_speech, "stable_rng", die_once)
        with pytest.raises(Killed):
            train()
        first_run = len(steps)
        resumed = train()
    assert steps[first_run] == died_at - died_at % 2
    weights, again = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert (resumed.curve, resumed.audio_seen_h) == (whole.curve, whole.audio_seen_h)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_of_another_training_is_never_believed(small: SpeechTokenizerConfig, tmp_path: Path) -> None:
    examples = examples_of(tone_language(20, 0), small)
    training = SpeechTraining(steps=3, unquantized_steps=1, warmup_steps=1, batch_s=10)
    train_speech_tokenizer(examples, small, training, work=tmp_path, checkpoint_every_steps=2)
    other = dataclasses.replace(training, seed=1)
    lines: list[str] = []
    again = train_speech_tokenizer(examples, small, other, lines.append, tmp_path, 2).model.state_dict()
    assert not any(line.startswith("going on") for line in lines)
    fresh = train_speech_tokenizer(examples, small, other).model.state_dict()
    assert all(torch.equal(fresh[name], again[name]) for name in fresh)


def test_correlation_is_none_for_independent_dimensions_and_whole_for_equal_ones() -> None:
    independent = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0))
    assert float(correlation(independent)) < 1e-3
    assert float(correlation(independent[:, :1].repeat(1, 4) * torch.tensor([1.0, -2.0, 3.0, 0.5]))) > 0.99
    assert float(correlation(independent[:, :1])) == 0  # one dimension has nothing to be alike to


@pytest.mark.slow
def test_a_small_model_learns_a_language_of_tones(small: SpeechTokenizerConfig) -> None:
    training = SpeechTraining(
        steps=260, unquantized_steps=120, warmup_steps=20, batch_s=15, learning_rate=4e-3, time_masks=0, mel_masks=0
    )
    trained = train_speech_tokenizer(examples_of(tone_language(400, 1), small), small, training)
    sounds, texts = zip(*tone_language(40, 2), strict=True)
    result = round_trip(trained.model, sounds, texts)
    assert result.character_error_rate < 0.2
    assert result.utterances == 40
    assert codebook_health(trained.model.encode(sounds), 1000).used_codes > 30
    assert trained.curve[-1][1] < trained.curve[0][1] / 4


def test_a_text_that_is_too_long_for_its_time_is_left_out(small: SpeechTokenizerConfig) -> None:
    sound = np.random.default_rng(0).standard_normal(2560).astype(np.float32)  # 2 tokens, 8 steps
    assert make_example(sound, "abcdefgh", small) is not None
    assert make_example(sound, "abcdeffg", small) is None  # a blank is needed between the equal letters
    assert make_example(sound, "123 ...", small) is None


def test_no_speech_is_an_error(small: SpeechTokenizerConfig) -> None:
    with pytest.raises(ValueError, match="no speech"):
        train_speech_tokenizer([], small, SpeechTraining())


def test_every_utterance_comes_once_an_epoch_and_batches_keep_their_budget() -> None:
    rng = np.random.default_rng(0)
    lengths = [int(n) for n in rng.integers(30, 400, 500)]
    training = SpeechTraining(batch_s=20)
    seen: list[int] = []
    for batch in batches(lengths, training):
        assert len(batch) * max(lengths[i] for i in batch) <= 2000
        seen.extend(batch)
        if len(seen) >= 500:
            break
    assert sorted(seen) == list(range(500))
    assert seen != sorted(seen)


def test_an_utterance_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    first = [next(iterator) for iterator in [batches([5000, 10, 10], SpeechTraining(batch_s=20))] for _ in range(2)]
    assert sorted(map(tuple, map(sorted, first))) == [(0,), (1, 2)]


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    training = SpeechTraining(steps=100, warmup_steps=10)
    shares = [learning_rate_share(step, training) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == pytest.approx(1.0)
    assert shares[100] == pytest.approx(0.0)
    assert all(a >= b for a, b in itertools.pairwise(shares[10:]))
