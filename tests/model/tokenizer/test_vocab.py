"""The joint vocabulary: ids, widening of a model and a tokenizer, and the refusal of another layout."""

from pathlib import Path

import pytest
import torch

from spelangy_model.lm.forward import load_model
from spelangy_model.lm.presets import new_model
from spelangy_model.tokenizer.text import save_text_tokenizer, train_text_tokenizer
from spelangy_model.tokenizer.vocab import (
    Layout,
    LayoutError,
    check_checkpoint,
    extend_model,
    extend_tokenizer,
    tokenizer_digest,
)

LAYOUT = Layout(text_size=300, codebook_size=20)


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    save_text_tokenizer(train_text_tokenizer([f"word number {i} of many words" for i in range(99)], 300), folder)
    return folder


def test_ids_are_text_then_markers_then_codes() -> None:
    markers = [LAYOUT.bos, LAYOUT.eos, LAYOUT.speech_start, LAYOUT.speech_end, LAYOUT.pad]
    assert markers == [300, 301, 302, 303, 304]
    assert (LAYOUT.first_code, LAYOUT.size) == (305, 325)


def test_a_tokenizer_gets_the_ids_of_the_layout_in_one_step_or_two(text_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = extend_tokenizer(AutoTokenizer.from_pretrained(text_folder), Layout(300, 0))
    tokenizer.save_pretrained(tmp_path)
    tokenizer = extend_tokenizer(AutoTokenizer.from_pretrained(tmp_path), LAYOUT)
    assert tokenizer.convert_tokens_to_ids("<|speech_7|>") == LAYOUT.first_code + 7
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (300, 301, 304)
    tokenizer.save_pretrained(tmp_path)
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == LAYOUT.size
    assert tokenizer_digest(tmp_path) == tokenizer_digest(text_folder)


def test_a_tokenizer_of_another_size_is_refused(text_folder: Path) -> None:
    from transformers import AutoTokenizer

    with pytest.raises(LayoutError, match="the layout wants"):
        extend_tokenizer(AutoTokenizer.from_pretrained(text_folder), Layout(299, 0))


def test_widening_keeps_known_rows_and_draws_new_ones_like_them() -> None:
    model = new_model("tiny", Layout(300, 0), seed=0)
    before = model.get_input_embeddings().weight.detach().clone()
    extend_model(model, LAYOUT, known_size=305, seed=1)
    after = model.get_input_embeddings().weight.detach()
    assert after.shape == (LAYOUT.size, 192)
    assert torch.equal(after[:305], before)
    assert after[305:].std() == pytest.approx(float(before.std()), rel=0.1)
    again = new_model("tiny", Layout(300, 0), seed=0)
    extend_model(again, LAYOUT, known_size=305, seed=1)
    assert torch.equal(again.get_input_embeddings().weight, after)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_xavier_normal_draws_by_the_number_of_new_rows_and_their_width_alone() -> None:
    layout = Layout(300, 500)
    spread = []
    for scale in (1.0, 30.0):
        model = new_model("tiny", Layout(300, 0), seed=0)
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(scale).add_(scale)
        before = model.get_input_embeddings().weight.detach().clone()
        extend_model(model, layout, known_size=305, seed=1, rule="xavier_normal")
        weight = model.get_input_embeddings().weight.detach()
        assert torch.equal(weight[:305], before)
        spread.append(weight[305:])
    assert torch.equal(*spread)
    assert spread[0].std() == pytest.approx((2 / (500 + 192)) ** 0.5, rel=0.02)
    assert spread[0].mean() == pytest.approx(0.0, abs=1e-3)


def test_a_rule_of_new_embeddings_has_a_name() -> None:
    model = new_model("tiny", Layout(300, 0), seed=0)
    with pytest.raises(LayoutError, match="mean_and_spread or xavier_normal, not 'zeros'"):
        extend_model(model, LAYOUT, known_size=305, seed=1, rule="zeros")  # type: ignore[arg-type]


def test_a_foreign_models_padding_rows_count_as_new() -> None:
    model = new_model("tiny", Layout(395, 0), seed=0)  # 400 rows for a text of 300 ids
    before = model.get_input_embeddings().weight.detach().clone()
    extend_model(model, LAYOUT, known_size=300, seed=1)
    after = model.get_input_embeddings().weight.detach()
    assert torch.equal(after[:300], before[:300])
    assert not torch.equal(after[300:], before[300:325])


def test_a_checkpoint_with_another_layout_is_refused(tmp_path: Path) -> None:
    model = new_model("tiny", LAYOUT, seed=0)
    model.save_pretrained(tmp_path)
    with pytest.raises(LayoutError, match="no readable vocabulary layout"):
        check_checkpoint(model, tmp_path)
    LAYOUT.save(tmp_path)
    assert check_checkpoint(load_model(tmp_path), tmp_path, LAYOUT) == LAYOUT
    with pytest.raises(LayoutError, match="this run needs"):
        check_checkpoint(model, tmp_path, Layout(310, 10))
    Layout(300, 19).save(tmp_path)
    with pytest.raises(LayoutError, match="325 embeddings"):
        check_checkpoint(model, tmp_path)
