"""A document's logits are the same packed and alone, under the mask and under document attention alike."""

import copy
import itertools

import pytest
import torch

from spelangy_model.lm.attention import choose_backend, documents_of, use_document_attention
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


def reference_varlen_attention(query, key, value, ends, _, longest, __, *, scale, window_size, enable_gqa):
    """What FlashAttention computes over cumulative lengths, document by document."""
    assert ends.dtype == torch.int32 and window_size == (-1, 0) and int(torch.diff(ends).max()) <= longest
    parts = []
    for start, end in itertools.pairwise(ends.tolist()):
        q, k, v = (states[start:end].transpose(0, 1).unsqueeze(0) for states in (query, key, value))
        seen = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scale, enable_gqa=enable_gqa
        )
        parts.append(seen[0].transpose(0, 1))
    return torch.cat(parts)


@pytest.mark.parametrize("backend", ["sdpa", "flex", "flash"])
@pytest.mark.parametrize("name", ["model", "grouped_query_model"])
def test_logits_are_equal_packed_and_alone(
    name: str, backend: str, rows: tuple, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.nn.attention import varlen  # imports the whole compiler, 4 s: here alone

    # FlashAttention's kernel needs a GPU: here its arguments are checked, below the kernel itself where there is one.
    monkeypatch.setattr(varlen, "varlen_attn", reference_varlen_attention)
    model = request.getfixturevalue(name)
    ids, positions = rows
    by_document = copy.deepcopy(model)
    use_document_attention(by_document)
    with torch.inference_mode():
        masked = logits(model, hidden_states(model, ids, positions, block_diagonal_mask(positions)))
        documents = documents_of(positions, backend)  # type: ignore[arg-type]
        grouped = by_document(input_ids=ids, position_ids=positions, documents=documents).logits
        for row, lengths in enumerate(LENGTHS):
            start = 0
            for length in lengths:
                part = slice(start, start + length)
                alone = model(input_ids=ids[row : row + 1, part]).logits[0]
                assert torch.allclose(masked[row, part], alone, atol=1e-5)
                assert torch.allclose(grouped[row, part], alone, atol=1e-5)
                start += length


def test_the_backend_follows_from_device_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    capability = (9, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    gpu = torch.device("cuda")
    assert choose_backend(torch.device("cpu"), torch.bfloat16) == "sdpa"
    assert choose_backend(gpu, torch.bfloat16) == "flash"
    assert choose_backend(gpu, torch.float32) == "flex"
    capability = (7, 5)
    assert choose_backend(gpu, torch.float16) == "flex"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="FlashAttention and compiled FlexAttention need a GPU")
@pytest.mark.parametrize("backend", ["flash", "flex"])
def test_the_gpu_backends_compute_what_the_mask_says(backend: str, grouped_query_model, rows: tuple) -> None:
    ids, positions = (tensor.cuda() for tensor in rows)
    model = copy.deepcopy(grouped_query_model).cuda()
    by_document = copy.deepcopy(model)
    use_document_attention(by_document)
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
        masked = hidden_states(model, ids, positions, block_diagonal_mask(positions))
        documents = documents_of(positions, backend)  # type: ignore[arg-type]
        found = by_document.model(input_ids=ids, position_ids=positions, documents=documents).last_hidden_state
    assert torch.allclose(found.float(), masked.float(), atol=0.1)


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
    assert low <= parameters_of(name, LAYOUT) - LAYOUT.size * PRESETS[name]["hidden_size"] <= high


def parameters_of(name: str, layout: Layout) -> int:
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in LlamaForCausalLM(preset_config(name, layout)).parameters())


def test_small_has_about_100_million_parameters_and_3_8b_3_8_billion_with_its_tokenizer() -> None:
    from spelangy_model.tokenizer.speech import SpeechTokenizer
    from spelangy_model.tokenizer.speech import preset_config as speech_preset

    assert 95e6 < parameters_of("small", Layout(text_size=16_000, codebook_size=1000)) < 115e6
    with torch.device("meta"):
        speech = sum(parameter.numel() for parameter in SpeechTokenizer(speech_preset("1b")).parameters())
    embeddings = LAYOUT.size * PRESETS["3.8b"]["hidden_size"]
    assert 3.7e9 < parameters_of("3.8b", LAYOUT) - embeddings + speech < 3.9e9


def test_a_new_model_depends_on_its_arguments_alone() -> None:
    torch.manual_seed(1)
    first = new_model("tiny", LAYOUT, seed=3).get_input_embeddings().weight
    torch.manual_seed(2)
    second = new_model("tiny", LAYOUT, seed=3).get_input_embeddings().weight
    assert torch.equal(first, second)
    assert not torch.equal(first, new_model("tiny", LAYOUT, seed=4).get_input_embeddings().weight)
    with pytest.raises(ValueError, match="no preset 'huge'"):
        preset_config("huge", LAYOUT)
