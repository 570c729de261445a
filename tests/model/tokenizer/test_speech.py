"""The speech tokenizer as a function: rate, independence of the batch, round trip to disk, clear errors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spelangy_model.tokenizer.features import frame_count
from spelangy_model.tokenizer.speech import (
    CTC_CHARACTERS,
    SpeechTokenizer,
    batch_shape,
    ctc_labels,
    ctc_text,
    greedy_text,
    preset_config,
    save_checkpoint,
    token_count,
)
from spelangy_model.tokenizer.train_speech import initialize


@pytest.fixture(scope="module")
def tokenizer() -> SpeechTokenizer:
    """The tiny preset with random weights and latents that spread over the levels, as training leaves them."""
    torch.manual_seed(3)
    model = SpeechTokenizer(preset_config("tiny"))
    initialize(model)
    with torch.no_grad():
        model.train()
        features = torch.randn(4, 200, 40, generator=torch.Generator().manual_seed(0))
        for _ in range(30):
            model(features, torch.full((4,), 200))
    return model.eval()


def sounds(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(800, 60_000, count)
    return [(rng.standard_normal(n) * np.sin(np.arange(n) / 700) * 0.1).astype(np.float32) for n in lengths]


@pytest.mark.parametrize(("samples", "tokens"), [(1, 1), (160, 1), (1280, 1), (1281, 2), (16_000, 13), (160_000, 125)])
def test_codes_come_at_12_and_a_half_hertz(tokenizer: SpeechTokenizer, samples: int, tokens: int) -> None:
    noise = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    assert token_count(samples) == tokens
    (codes,) = tokenizer.encode([noise])
    assert codes.shape == (tokens,)
    assert codes.dtype == np.int32
    assert codes.min() >= 0
    assert codes.max() < tokenizer.codebook_size == 1000


def test_codes_depend_neither_on_neighbours_nor_on_order_nor_on_number(tokenizer: SpeechTokenizer) -> None:
    utterances = sounds(32)
    together = tokenizer.encode(utterances)
    assert len(np.unique(np.concatenate(together))) > 100  # else equality would say little
    order = np.random.default_rng(1).permutation(len(utterances))
    for position, codes in zip(order, tokenizer.encode([utterances[i] for i in order]), strict=True):
        np.testing.assert_array_equal(codes, together[position])
    for position in range(0, 32, 7):
        np.testing.assert_array_equal(tokenizer.encode([utterances[position]])[0], together[position])


def test_the_network_itself_masks_padding_and_neighbours(tokenizer: SpeechTokenizer) -> None:
    """Not by fixed shapes alone: the same utterance in a longer, fuller batch gives the same latents."""
    features = torch.randn(3, 200, 40, generator=torch.Generator().manual_seed(5))
    frames = torch.tensor([70, 200, 133])
    for row, count in enumerate(frames):
        features[row, count:] = 0
    with torch.inference_mode():
        together, mask = tokenizer.latents(features, frames)
        for row, count in enumerate(frames.tolist()):
            alone, alone_mask = tokenizer.latents(features[row : row + 1, :count], frames[row : row + 1])
            assert bool(alone_mask.all())
            torch.testing.assert_close(together[row][mask[row]], alone[0], atol=1e-4, rtol=1e-4)


def test_the_shape_follows_from_the_length_alone_and_holds_it() -> None:
    for frames in range(1, 4000, 13):
        rows, width = batch_shape(frames)
        assert rows >= 1
        assert frames <= width <= frames * 1.13 + 32


def test_a_checkpoint_gives_the_same_codes_again(tokenizer: SpeechTokenizer, tmp_path: Path) -> None:
    save_checkpoint(tokenizer, tmp_path)
    loaded = SpeechTokenizer.from_pretrained(tmp_path)
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert (tmp_path / "model.safetensors").stat().st_size < 4_000_000
    utterances = sounds(10, seed=4)
    expected = tokenizer.encode(utterances)
    for codes, again in zip(expected, loaded.encode(utterances), strict=True):
        np.testing.assert_array_equal(codes, again)
    assert loaded.transcribe_codes(expected) == tokenizer.transcribe(utterances)


def test_the_number_of_threads_is_left_as_it_was_and_changes_nothing(tokenizer: SpeechTokenizer) -> None:
    utterances = sounds(5, seed=6)
    before = torch.get_num_threads()
    one = tokenizer.encode(utterances)
    torch.set_num_threads(2)
    try:
        two = tokenizer.encode(utterances)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for codes, again in zip(one, two, strict=True):
        np.testing.assert_array_equal(codes, again)


def test_nothing_to_encode_gives_nothing(tokenizer: SpeechTokenizer) -> None:
    assert tokenizer.encode([]) == []


def test_an_unusable_utterance_is_named(tokenizer: SpeechTokenizer) -> None:
    good = sounds(1)[0]
    with pytest.raises(ValueError, match="utterance 1 is empty"):
        tokenizer.encode([good, np.zeros(0, np.float32)])
    with pytest.raises(ValueError, match=r"utterance 0 .*mono"):
        tokenizer.encode([np.zeros((2, 5), np.float32)])
    with pytest.raises(ValueError, match=r"utterance 1: .*finite"):
        tokenizer.encode([good, np.full(500, np.nan, np.float32)])
    with pytest.raises(ValueError, match=r"utterance 1 lasts 301\.0 s"):
        tokenizer.encode([good, np.zeros(301 * 16_000, np.float32)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("What IS it?", "what is it"), ("Caf\u00e9 - it\u2019s \u4e2d 3x", "cafe it's x"), ("...", "")],
)
def test_text_is_brought_to_the_heads_characters(text: str, expected: str) -> None:
    assert ctc_text(text) == expected
    assert "".join(CTC_CHARACTERS[i - 1] for i in ctc_labels(text)) == expected


def test_greedy_reading_merges_repeats_and_drops_blanks() -> None:
    letters = {c: i + 1 for i, c in enumerate(CTC_CHARACTERS)}
    path = [0, letters["s"], letters["s"], letters["e"], 0, letters["e"], 0, letters[" "], letters[" "], 0]
    assert greedy_text(torch.nn.functional.one_hot(torch.tensor(path), 29).float()) == "see"


def test_presets_have_the_sizes_that_they_are_called_by() -> None:
    with torch.device("meta"):
        sizes = {
            name: sum(p.numel() for p in SpeechTokenizer(preset_config(name)).parameters()) for name in ("tiny", "1b")
        }
    assert 1.6e6 < sizes["tiny"] < 2.0e6
    assert 0.95e9 < sizes["1b"] < 1.15e9
    with pytest.raises(ValueError, match="there are 1b, tiny"):
        preset_config("huge")


def test_frames_and_tokens_agree(tokenizer: SpeechTokenizer) -> None:
    """The encoder's own subsampling gives as many tokens as `token_count` promises."""
    for samples in (1, 1279, 1280, 1281, 2561, 100_000):
        frames = frame_count(samples)
        with torch.inference_mode():
            latents, _ = tokenizer.latents(torch.zeros(1, frames, 40), torch.tensor([frames]))
        assert latents.shape[1] == token_count(samples)
