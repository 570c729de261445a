"""From codes to sound: spectra that become speech again, and a decoder that learns them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.codec import CodecError
from spelangy_model.tokenizer.features import frame_count
from spelangy_model.tokenizer.mel_sound import SOUND_RMS, sound_mel, sound_of_mel
from spelangy_model.tokenizer.speech import (
    SpeechTokenizer,
    SpeechTokenizerConfig,
    preset_config,
    save_checkpoint,
    token_count,
)
from spelangy_model.tokenizer.speech_schedule import SpeechTraining
from spelangy_model.tokenizer.train_speech import make_example, reconstruction_loss, train_speech_tokenizer

DECODER = {"mel_bins": 20, "width": 16, "token_layers": 1, "frame_width": 16, "frame_layers": 1}


def chirp(seconds: float, seed: int = 0) -> np.ndarray:
    """A tone that glides and swells over faint noise."""
    rng = stable_rng(seed, "chirp")
    time_s = np.arange(int(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * (300 + 500 * time_s) * time_s) * np.abs(np.sin(3 * time_s + seed))
    return (0.3 * tone + 0.001 * rng.standard_normal(len(time_s))).astype(np.float32)


def small(decoder: dict[str, int] | None) -> SpeechTokenizerConfig:
    encoder = {**preset_config("tiny").encoder, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 1}
    encoder = {**encoder, "subsampling_conv_channels": 16}
    return SpeechTokenizerConfig(encoder=encoder, head_size=16, decoder=decoder)


@pytest.fixture(scope="module")
def tokenizer() -> SpeechTokenizer:
    torch.manual_seed(0)
    return SpeechTokenizer(small(DECODER)).eval()


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 16_000])
def test_a_spectrum_has_a_frame_for_each_10_ms_begun_and_its_level_left_out(samples: int) -> None:
    sound = chirp(1.0)[:samples]
    mel = sound_mel(sound, 20)
    assert mel.shape == (frame_count(samples), 20)
    torch.testing.assert_close(mel, sound_mel(sound * 0.1, 20), atol=1e-3, rtol=0)
    assert bool(torch.isfinite(sound_mel(np.zeros(samples, np.float32), 20)).all())


def test_sound_made_of_a_spectrum_has_that_spectrum() -> None:
    mel = sound_mel(chirp(1.0), 80)
    sound = sound_of_mel(mel)
    assert sound.shape == (16_000,)
    assert sound.dtype == np.float32
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(SOUND_RMS, rel=0.01)
    loud = mel > mel.max() - 5
    assert float((sound_mel(sound, 80) - mel)[loud].abs().mean()) < 0.5
    np.testing.assert_array_equal(sound, sound_of_mel(mel))


def test_codes_become_1280_samples_each_the_same_ones_each_time(tokenizer: SpeechTokenizer) -> None:
    utterances = [np.array([7, 0, 999, 4], np.int32), np.array([5], np.int32)]
    sounds = tokenizer.decode(utterances)
    assert [sound.shape for sound in sounds] == [(4 * 1280,), (1280,)]
    for first, again in zip(sounds, tokenizer.decode(utterances), strict=True):
        np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(sounds[1], tokenizer.decode(utterances[1:])[0])
    (encoded,) = tokenizer.encode([chirp(1.0)])
    assert len(tokenizer.decode([encoded])[0]) == token_count(16_000) * 1280
    assert tokenizer.decode([]) == []


@pytest.mark.parametrize("codes", [[], [-1], [1000], [[3]]])
def test_codes_that_are_none_are_named(tokenizer: SpeechTokenizer, codes: list[int]) -> None:
    with pytest.raises(ValueError, match="utterance 1: codes are at least one number of 0 to 999"):
        tokenizer.decode([np.array([3]), np.array(codes)])


def test_a_checkpoint_with_a_decoder_gives_the_same_sound_again(tokenizer: SpeechTokenizer, tmp_path: Path) -> None:
    save_checkpoint(tokenizer, tmp_path)
    loaded = SpeechTokenizer.from_pretrained(tmp_path)
    codes = [np.array([7, 0, 999, 4], np.int32)]
    assert loaded.decodable
    np.testing.assert_array_equal(loaded.decode(codes)[0], tokenizer.decode(codes)[0])


def test_a_checkpoint_without_a_decoder_is_as_it_was_and_says_that_it_cannot_be_decoded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(SpeechTokenizer(small(None)), tmp_path)
    assert '"decoder"' not in (tmp_path / "config.json").read_text()
    assert not [name for name in load_file(tmp_path / "model.safetensors") if "decoder" in name]
    loaded = SpeechTokenizer.from_pretrained(tmp_path)
    assert not loaded.decodable
    for decode in (loaded.decode, loaded.decode_mel):
        with pytest.raises(CodecError, match="has no decoder, so its codes cannot be made sound"):
            decode([np.array([1])])


def test_padding_counts_for_nothing_in_the_loss() -> None:
    wanted = [torch.zeros(3, 2), torch.ones(5, 2)]
    decoded = torch.zeros(2, 8, 2)
    assert float(reconstruction_loss(decoded, wanted)) == pytest.approx(5 / 8)
    decoded[0, 3:] = 9.0
    decoded[1, 5:] = 9.0
    assert float(reconstruction_loss(decoded, wanted)) == pytest.approx(5 / 8)


def test_training_with_a_reconstruction_loss_brings_the_decoded_spectrum_near_the_spoken_one() -> None:
    spoken = [(chirp(0.6 + 0.1 * seed, seed), "ab") for seed in range(6)]
    config = small(DECODER)
    examples = [example for sound, text in spoken if (example := make_example(sound, text, config))]
    assert len(examples) == 6
    training = SpeechTraining(
        steps=60, unquantized_steps=10, warmup_steps=5, batch_s=4, learning_rate=4e-3, reconstruction_loss_weight=1.0
    )

    def distance(steps: int) -> float:
        model = train_speech_tokenizer(examples, config, dataclasses.replace(training, steps=steps)).model
        mels = model.decode_mel(model.encode([sound for sound, _ in spoken]))
        wanted = [sound_mel(sound, 20) for sound, _ in spoken]
        return sum(float((mel[: len(own)] - own).abs().mean()) for mel, own in zip(mels, wanted, strict=True)) / 6

    assert distance(60) < 0.85 * distance(1)


def test_a_weight_without_a_decoder_and_a_decoder_without_a_weight_are_refused() -> None:
    for config, weight in ((small(None), 1.0), (small(DECODER), 0.0)):
        example = make_example(chirp(1.0), "ab", config)
        assert example is not None
        with pytest.raises(ValueError, match="a decoder and a reconstruction_loss_weight above 0 belong together"):
            train_speech_tokenizer([example], config, SpeechTraining(steps=1, reconstruction_loss_weight=weight))
