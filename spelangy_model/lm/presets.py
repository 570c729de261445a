"""Shapes of language models that are trained from scratch, as parameters of their Hugging Face configurations.

Put here: sizes. Do not put here: vocabularies (tokenizer/vocab.py), weights, or training settings. A recipe that starts
from an existing checkpoint needs no preset.

| preset | parameters without embeddings | like |
|---|---|---|
| tiny  | 1.8 M | trained in minutes on one CPU core |
| small | 85 M  | GPT-2 small's depth and width, SwiGLU |
| 3.8b  | 2.8 B | the LM of the paper's 3.8B model (the other 1 B is its speech tokenizer); the shape of Llama 3.2 3B |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spelangy_model.rng import stable_seed
from spelangy_model.tokenizer.vocab import Layout

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedModel

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 6,
        "max_position_embeddings": 2048,
    },
    "small": {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 12,
        "max_position_embeddings": 16384,
    },
    "3.8b": {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "max_position_embeddings": 16384,
    },
}


def preset_config(name: str, layout: Layout) -> LlamaConfig:
    """Return the configuration of a preset with the layout's vocabulary. Raises ValueError for an unknown name."""
    from transformers import LlamaConfig

    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return LlamaConfig(
        vocab_size=layout.size,
        bos_token_id=layout.bos,
        eos_token_id=layout.eos,
        pad_token_id=layout.pad,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        **PRESETS[name],
    )


def new_model(name: str, layout: Layout, seed: int) -> PreTrainedModel:
    """Return a preset with fresh fp32 weights that depend on (name, layout, seed) alone."""
    import torch
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_seed(seed, "new_model", name) % 2**63)
        return LlamaForCausalLM(preset_config(name, layout))
