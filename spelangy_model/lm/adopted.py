"""Adopt an external language model: add the vocabulary of this project, and check the model.

Put here: the conversion of a Hugging Face folder for training and scoring, and the checks. Do not put here: finding the
folder, or its digest (spelangy_assets/stages/adopt_checkpoint.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spelangy_model.lm.forward import load_model
from spelangy_model.pretrained import load_settings
from spelangy_model.tokenizer.text import encode_texts, load_text_tokenizer
from spelangy_model.tokenizer.vocab import (
    Layout,
    LayoutError,
    NewEmbeddings,
    check_checkpoint,
    extend_model,
    extend_tokenizer,
)

_SHARD = "2GB"  # who copies a model holds one of its files

# Plain English that any model of English finds likelier than chance.
_PROBE = (
    "The train was late this morning, so we walked to the station café and had a cup of coffee.",
    "She opened the window because it was warm in the room, and the noise of the street came in.",
    "Water boils at a lower temperature in the mountains than it does at the sea.",
    "He had forgotten where he left his keys and looked for them all over the house.",
)


@dataclass(frozen=True)
class Probe:
    """The results of a check: the numbers of parameters and of non-finite ones, and the loss on plain English.

    `nats_per_token` is over the tokens of a few sentences, `uniform_nats` is the loss of a uniform guess: the
    logarithm of the vocabulary's size.
    """

    parameters: int
    nonfinite_parameters: int
    nats_per_token: float
    uniform_nats: float


def widen(folder: Path, out: Path, seed: int, rule: NewEmbeddings = "mean_and_spread") -> Layout:
    """Write an external causal LM into `out` as a text-only model of this project, and return its layout.

    The text ids stay as they are; the markers come after them. <bos> and <eos> start as the model's own tokens for
    them where it has any, the other markers as `extend_model` draws them by the rule. Raises LayoutError when the
    tokenizer leaves no room for the markers or the model has fewer rows than it has ids, ValueError as `load_model`
    does.
    """
    from transformers import AutoTokenizer

    tokenizer: Any = load_settings(AutoTokenizer, folder)
    own = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    layout = Layout(max(load_text_tokenizer(folder).get_vocab(with_added_tokens=True).values()) + 1, 0)
    model: Any = load_model(folder)
    rows = model.get_input_embeddings().weight.shape[0]
    if rows < layout.text_size:
        raise LayoutError(f"{folder}: {rows} embeddings, but its tokenizer has {layout.text_size} ids")
    tokenizer = extend_tokenizer(tokenizer, layout)
    extend_model(model, layout, layout.text_size, seed, rule)
    tables = {id(t.weight): t.weight for t in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for weight in tables.values():
            for marker, known in zip((layout.bos, layout.eos), own, strict=True):
                if known is not None:
                    weight[marker] = weight[known]
    model.save_pretrained(out, max_shard_size=_SHARD)
    tokenizer.save_pretrained(out)
    layout.save(out)
    return layout


def probe(folder: Path, device: str = "cpu") -> Probe:
    """Check a model of this project. Raises LayoutError when its weights and its layout differ."""
    model: Any = load_model(folder)
    layout = check_checkpoint(model, folder)
    nonfinite = sum(int((~torch.isfinite(parameter)).sum()) for parameter in model.parameters())
    model.to(device).eval()
    nats, tokens = 0.0, 0
    for ids in encode_texts(load_text_tokenizer(folder), _PROBE):
        sequence = torch.tensor([[layout.bos, *ids]], device=device)
        with torch.no_grad():
            scores = model(input_ids=sequence, use_cache=False).logits[0, :-1].float()
        nats += float(torch.nn.functional.cross_entropy(scores, sequence[0, 1:], reduction="sum"))
        tokens += len(ids)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Probe(parameters, nonfinite, nats / tokens, math.log(layout.size))
