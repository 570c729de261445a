"""Low-rank adapters (LoRA, Hu et al. 2021) beside the linear layers of a model, by the package `peft`.

Put here: putting adapters in and merging them. Do not put here: the loop, which trains whatever has a gradient. TRL is
not used: its trainer makes rows and masks of its own, and the rows of this project are packed and masked before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from spelangy_model.rng import stable_seed

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def add_adapters(model: PreTrainedModel, rank: int, alpha: int, seed: int) -> Any:
    """Put adapters beside all linear layers but the output layer, in place; return what merges them.

    Only they have gradients then. Their draw depends on `seed` alone.
    """
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_seed(seed, "lora") % 2**63)
        return get_peft_model(model, LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear"))


def merge_adapters(adapted: Any) -> PreTrainedModel:
    """Return the model with its adapters added to its weights: a plain model again."""
    return adapted.merge_and_unload()


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that have a gradient, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
