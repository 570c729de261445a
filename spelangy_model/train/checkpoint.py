"""Checkpoints: a Hugging Face folder, and the state for an exact resume.

Put here: writing and reading of model folders and of the running state. Do not put here: the loop.

    FOLDER/config.json model.safetensors ...   loads with AutoModelForCausalLM (float32)
           tokenizer.json ...                  loads with AutoTokenizer
           vocabulary_layout.json              verified on load
           adapters.safetensors                with LoRA in place of the model: the base is where it was (running only)
           optimizer.safetensors               AdamW's moments by parameter name (running checkpoints only)
           state.json                          the step, the spec's digest (running checkpoints only)

The learning rate and the data position are functions of the step, and nothing draws random numbers while training,
so only the step is saved. A running checkpoint is written to a temporary folder and renamed, so it is either complete
or absent.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor

from spelangy_model.tokenizer.vocab import Layout
from spelangy_model.train.lora import trained_parameters
from spelangy_model.train.parallel import spread_like, whole

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_ADAPTERS = "adapters.safetensors"
_NAME = re.compile(r"checkpoint-(\d{8})")


def whole_weights(model: PreTrainedModel) -> dict[str, torch.Tensor] | None:
    """Return the weights of a model that is spread over processes, on the CPU; None for one that is whole.

    Every process must call it. A tied weight is included once.
    """
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return None
    return {name: whole(parameter.detach()).cpu() for name, parameter in model.named_parameters()}


def save_model(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    layout: Layout,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a model folder that any Hugging Face user can load; `weights` where the model is not whole."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # a log is no terminal
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    layout.save(folder)


def save_running(
    work: Path,
    step: int,
    digest: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    layout: Layout,
    optimizer: torch.optim.Optimizer,
    writes: bool = True,
) -> None:
    """Write the checkpoint after `step` steps into `work`, then remove the older ones.

    Every process must call it; one `writes`.
    """
    folder = work / f"checkpoint-{step:08d}"
    draft = work / f".{folder.name}"
    weights = whole_weights(model)
    moments: dict[str, torch.Tensor] = {}
    parameters = trained_parameters(model)
    for name, parameter in parameters.items():
        state = optimizer.state[parameter]
        for key in ("exp_avg", "exp_avg_sq", "step"):
            moment = whole(torch.as_tensor(state[key]).detach())
            if writes:
                moments[f"{name}|{key}"] = moment.cpu().contiguous()
    if not writes:
        return
    shutil.rmtree(draft, ignore_errors=True)
    if len(parameters) == sum(1 for _ in model.parameters()):
        save_model(draft, model, tokenizer, layout, weights)
    else:
        draft.mkdir()
        save_file({name: one.detach().cpu().contiguous() for name, one in parameters.items()}, draft / _ADAPTERS)
    save_file(moments, draft / "optimizer.safetensors")
    (draft / "state.json").write_text(json.dumps({"step": step, "spec_digest": digest}))
    draft.rename(folder)
    for old in work.iterdir():
        if _NAME.fullmatch(old.name) and old != folder:
            shutil.rmtree(old)


def find_running(work: Path, digest: str) -> tuple[Path, int] | None:
    """Return the newest checkpoint of this run in `work` and its step; checkpoints of other specs are ignored."""
    if not work.is_dir():
        return None
    for folder in sorted((item for item in work.iterdir() if _NAME.fullmatch(item.name)), reverse=True):
        state = json.loads((folder / "state.json").read_text())
        if state["spec_digest"] == digest:
            return folder, int(state["step"])
    return None


def restore_adapters(folder: Path, model: PreTrainedModel) -> None:
    """Restore the adapters of a checkpoint, bit for bit."""
    saved = load_file(folder / _ADAPTERS)
    with torch.no_grad():
        for name, parameter in trained_parameters(model).items():
            parameter.copy_(saved[name])


def restore_optimizer(folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> None:
    """Restore the moments of a checkpoint, bit for bit."""
    moments = load_file(folder / "optimizer.safetensors")
    for name, parameter in trained_parameters(model).items():
        optimizer.state[parameter] = {
            key: moments[f"{name}|{key}"] if key == "step" else spread_like(moments[f"{name}|{key}"], parameter)
            for key in ("step", "exp_avg", "exp_avg_sq")
        }
