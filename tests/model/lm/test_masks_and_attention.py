"""A document's logits are the same packed and alone, under the mask and under document attention alike."""

import copy

import pytest
import torch

from spelangy_model.lm.attention import documents_of, use_document_attention
from spelangy_model.lm.forward import hidden_states, logits
from spelangy_model.lm.masks import block_diagonal_mask, branching_mask
from spelangy_model.lm.presets import PRESETS, new_model, preset_config
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=90, codebook_size=10)
LENGTHS = ((40, 60, 28), (128,), (5, 33, 32, 58))


@pytest.fixture(scope="module")
def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    positions = torch.stack([torch.cat([torch.arange(length) for length in row]) for row in LENGTHS])
    return torch.randint(0, LAYOUT.size, positions.shape, generator=generator), positions


@pytest.fixture(scope="module")
def model():
    return new_model("tiny", LAYOUT, seed=0)


@pytest.fixture(scope="module")
def grouped_query_model():
    from transformers import LlamaForCausalLM

    config = preset_config("tiny", LAYOUT)
    config.num_key_value_heads = 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config)


def test_block_diagonal_mask_of_two_documents() -> None:
    mask = block_diagonal_mask(torch.tensor([[0, 1, 0]]))
    assert mask.shape == (1, 1, 3, 3)
    assert mask[0, 0].int().tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_branching_mask_of_two_continuations() -> None:
    mask = branching_mask(torch.tensor([[0, 0, 1, 1, 2, -1]]))[0, 0].int().tolist()
    assert mask == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("name", ["model", "grouped_query_model"])
def test_logits_are_equal_packed_and_alone(name: str, rows: tuple, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    ids, positions = rows
    by_document = copy.deepcopy(model)
    use_document_attention(by_document)
    with torch.inference_mode():
        masked = logits(model, hidden_states(model, ids, positions, block_diagonal_mask(positions)))
        grouped = by_document(input_ids=ids, position_ids=positions, documents=documents_of(positions)).logits
        for row, lengths in enumerate(LENGTHS):
            start = 0
            for length in lengths:
                part = slice(start, start + length)
                alone = model(input_ids=ids[row : row + 1, part]).logits[0]
                assert torch.allclose(masked[row, part], alone, atol=1e-5)
                assert torch.allclose(grouped[row, part], alone, atol=1e-5)
                start += length


def test_gradients_are_those_of_the_mask(model, rows: tuple) -> None:
    ids, positions = rows
    by_document = copy.deepcopy(model)
    use_document_attention(by_document)
    weights = torch.randn(*ids.shape, 192, generator=torch.Generator().manual_seed(1))
    (hidden_states(model, ids, positions, block_diagonal_mask(positions)) * weights).sum().backward()
    documents = documents_of(positions)
    hidden = by_document.model(input_ids=ids, position_ids=positions, documents=documents).last_hidden_state
    (hidden * weights).sum().backward()
    for expected, found in zip(model.parameters(), by_document.parameters(), strict=True):
        assert torch.allclose(found.grad, expected.grad, atol=1e-5 * float(expected.grad.abs().max()))
    model.zero_grad()


def test_document_attention_does_not_run_without_documents(model, rows: tuple) -> None:
    by_document = copy.deepcopy(model)
    use_document_attention(by_document)
    with pytest.raises(ValueError, match="needs documents="):
        by_document(input_ids=rows[0], position_ids=rows[1])


@pytest.mark.parametrize(
    ("name", "low", "high"), [("tiny", 1.7e6, 1.9e6), ("small", 80e6, 90e6), ("3.8b", 2.75e9, 2.85e9)]
)
def test_presets_have_the_stated_parameters_without_embeddings(name: str, low: float, high: float) -> None:
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(preset_config(name, LAYOUT))
    embeddings = LAYOUT.size * PRESETS[name]["hidden_size"]
    assert low <= sum(parameter.numel() for parameter in model.parameters()) - embeddings <= high


def test_a_new_model_depends_on_its_arguments_alone() -> None:
    torch.manual_seed(1)
    first = new_model("tiny", LAYOUT, seed=3).get_input_embeddings().weight
    torch.manual_seed(2)
    second = new_model("tiny", LAYOUT, seed=3).get_input_embeddings().weight
    assert torch.equal(first, second)
    assert not torch.equal(first, new_model("tiny", LAYOUT, seed=4).get_input_embeddings().weight)
    with pytest.raises(ValueError, match="no preset 'huge'"):
        preset_config("huge", LAYOUT)
