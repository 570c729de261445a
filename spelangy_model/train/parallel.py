"""One run on several processes: replicated (DDP) or sharded (FSDP2).

Put here: the distribution of a module and the gathering of whole tensors. Do not put here: the loop.

The launcher decides which one: `accelerate launch` with an FSDP configuration sets ACCELERATE_USE_FSDP.
Accelerate itself shards on accelerators only; here PyTorch's fully_shard is called, layer by layer, so that the same
code runs on two processes of a CPU.
"""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether parameters, gradients and optimizer state are spread over the processes."""
    return accelerator.num_processes > 1 and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def shard(module: Any, accelerator: Accelerator) -> None:
    """Spread a module's parameters over all processes, in place: each decoder layer a unit, the rest another."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    half = accelerator.mixed_precision == "bf16" and accelerator.device.type != "cpu"
    policy = MixedPrecisionPolicy(torch.bfloat16 if half else None, torch.float32)
    for layer in module.model.base_model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh, mp_policy=policy)


def without_sync(module: Any, accelerator: Accelerator) -> AbstractContextManager[None]:
    """Return a context in which gradients are summed up here and not yet over processes."""
    if not is_sharded(accelerator):
        return accelerator.no_sync(module)

    @contextlib.contextmanager
    def here() -> Any:
        module.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            module.set_requires_gradient_sync(True)

    return here()


def whole(tensor: Any) -> torch.Tensor:
    """Return a tensor that is spread over processes as one; every process must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def spread_like(tensor: torch.Tensor, parameter: nn.Parameter) -> torch.Tensor:
    """Return a whole tensor spread as a parameter is, or on its device."""
    if isinstance(parameter, DTensor):
        return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)
    return tensor.to(parameter.device)
