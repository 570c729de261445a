"""Run a causal LM under an explicit mask, with the output layer only at the needed positions.

Put here: the two steps that training and scoring share. Do not put here: losses or masks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from spelangy_model.pretrained import load_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Configuration fields by which a model changes its logits after the output layer; `logits` does not do that.
_LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling")


def load_model(folder: Path) -> PreTrainedModel:
    """Load a causal LM from a folder in fp32 with SDPA attention.

    Raises ValueError for a model that changes its logits after the output layer (see `logits`), whose folder lacks
    weights, which transformers would make up, or that is not loaded for its form (see pretrained.py).
    """
    from transformers import AutoModelForCausalLM

    loaded: Any = load_weights(
        AutoModelForCausalLM, folder, dtype=torch.float32, attn_implementation="sdpa", output_loading_info=True
    )
    model, found = loaded
    if lacking := sorted(found["missing_keys"]):
        raise ValueError(f"{folder} lacks {len(lacking)} weights, {lacking[0]} for one: save the whole model again")
    changed = [name for name in _LOGIT_CHANGES if getattr(model.config, name, None) not in (None, 1.0)]
    if changed:
        raise ValueError(f"{folder}: models with {changed} are not supported; choose one with plain logits")
    return model


def hidden_states(
    model: PreTrainedModel, input_ids: torch.Tensor, position_ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Return the last hidden states (rows, row_length, width) under a boolean 4D mask (see masks.py)."""
    return model.base_model(
        input_ids=input_ids, position_ids=position_ids, attention_mask=mask, use_cache=False
    ).last_hidden_state


def logits(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """Return the logits (..., vocabulary) of hidden states (..., width)."""
    head: Any = model.get_output_embeddings()
    return head(hidden)
