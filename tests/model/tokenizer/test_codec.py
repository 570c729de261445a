"""Two backends behind one protocol: which one a folder holds, and that Mimi's codes are Mimi's own."""

import json
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

from spelangy_model.tokenizer.codec import CodecError
from spelangy_model.tokenizer.mimi import MimiCodec
from spelangy_model.tokenizer.open_codec import open_codec
from spelangy_model.tokenizer.speech import SpeechTokenizer, preset_config, save_checkpoint, token_count


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Noise that swells and fades, as speech does."""
    swell = np.sin(np.arange(samples) / 1500) ** 4
    return (np.random.default_rng(seed).standard_normal(samples) * swell).astype(np.float32)


def test_a_folder_says_which_backend_it_is(tiny_mimi: Path, tmp_path: Path) -> None:
    save_checkpoint(SpeechTokenizer(preset_config("tiny")), tmp_path)
    assert type(open_codec(tmp_path)) is SpeechTokenizer
    assert type(open_codec(tiny_mimi)) is MimiCodec
    for codec, size in ((open_codec(tmp_path), 1000), (open_codec(tiny_mimi), 64)):
        assert codec.codebook_size == size
        (codes,) = codec.encode([noise(20_000)])
        assert (codes.shape, codes.dtype) == ((16,), np.int32)


def test_another_model_is_refused_by_its_file(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"config.json: no readable configuration"):
        open_codec(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "encodec"}))
    with pytest.raises(CodecError, match=r"config.json is of a model of type 'encodec'"):
        open_codec(tmp_path)


def test_mimi_has_as_many_codes_as_the_own_tokenizer(tiny_mimi: Path) -> None:
    codec = open_codec(tiny_mimi)
    for samples in (1, 1279, 1280, 1281, 16_000, 33_333):
        (codes,) = codec.encode([noise(samples)])
        assert codes.shape == (token_count(samples),), samples
        assert codes.min() >= 0
        assert codes.max() < 64


def test_mimis_codes_are_those_of_its_semantic_codebook_alone(tiny_mimi: Path) -> None:
    from transformers import MimiModel

    sounds = [noise(n, seed) for seed, n in enumerate((12_800, 51_200, 25_600))]
    model = MimiModel.from_pretrained(tiny_mimi)
    codec = open_codec(tiny_mimi)
    together = codec.encode(sounds)
    assert len(np.unique(np.concatenate(together))) > 10  # else equality would say little
    for sound, codes in zip(sounds, together, strict=True):
        wave = torch.from_numpy(soxr.resample(sound, 16_000, 24_000))[None, None]
        with torch.inference_mode():
            all_books = model.encode(wave).audio_codes
        assert all_books.shape[1] == 4
        np.testing.assert_array_equal(codes, all_books[0, 0].numpy())
        np.testing.assert_array_equal(codec.encode([sound])[0], codes)


def test_mimi_names_an_unusable_utterance(tiny_mimi: Path) -> None:
    codec = open_codec(tiny_mimi)
    with pytest.raises(ValueError, match="utterance 1 is empty"):
        codec.encode([noise(2000), np.zeros(0, np.float32)])
    with pytest.raises(ValueError, match=r"utterance 0: .*finite"):
        codec.encode([np.full(500, np.nan, np.float32)])


def test_a_mimi_of_another_rate_is_refused(tiny_mimi: Path) -> None:
    config = json.loads((tiny_mimi / "config.json").read_text())
    config["sampling_rate"] = 48_000
    (tiny_mimi / "config.json").write_text(json.dumps(config))
    with pytest.raises(CodecError, match="25 frames a second"):
        open_codec(tiny_mimi)
