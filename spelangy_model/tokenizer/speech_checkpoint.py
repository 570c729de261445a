"""Running checkpoints of the speech tokenizer's training: the state for an exact resume, and nothing else.

Put here: writing and reading that state. Do not put here: the loop (train_speech.py), or the finished checkpoint
(speech.save_checkpoint).

    FOLDER/step-00000400/weights.safetensors     of the model and the heads that only training has, in float32
                         optimizer.safetensors   AdamW's moments by parameter name
                         state.json              step, digest of what is trained, curve, frames seen

Learning rate, data position and masks are functions of the step, and nothing else is drawn while training. A checkpoint
is written to a temporary folder and renamed, so it is either complete or absent.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

_NAME = re.compile(r"step-(\d{8})")
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclasses.dataclass(frozen=True, slots=True)
class RunningState:
    """The state of a training after `step` steps; `digest` identifies the training."""

    digest: str
    step: int = 0
    curve: tuple[tuple[int, float, float], ...] = ()
    frames_seen: int = 0


def save(work: Path, state: RunningState, modules: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the checkpoint of `state` into `work`, then remove the older ones."""
    folder = work / f"step-{state.step:08d}"
    draft = work / f".{folder.name}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in modules.state_dict().items()}, draft / "weights.safetensors"
    )
    moments = {
        f"{name}|{key}": torch.as_tensor(optimizer.state[parameter][key]).contiguous()
        for name, parameter in modules.named_parameters()
        for key in _MOMENTS
    }
    save_file(moments, draft / "optimizer.safetensors")
    (draft / "state.json").write_text(json.dumps(dataclasses.asdict(state)))
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    for old in work.iterdir():
        if _NAME.fullmatch(old.name) and old != folder:
            shutil.rmtree(old)


def restore(work: Path, digest: str, modules: nn.Module, optimizer: torch.optim.Optimizer) -> RunningState:
    """Restore the newest checkpoint of this training, bit for bit; without one the state is that of step 0."""
    folders = [item for item in work.iterdir() if _NAME.fullmatch(item.name)] if work.is_dir() else []
    for folder in sorted(folders, reverse=True):
        found = json.loads((folder / "state.json").read_text())
        if found["digest"] != digest:
            continue
        modules.load_state_dict(load_file(folder / "weights.safetensors"))
        moments = load_file(folder / "optimizer.safetensors")
        for name, parameter in modules.named_parameters():
            optimizer.state[parameter] = {key: moments[f"{name}|{key}"] for key in _MOMENTS}
        curve = tuple((int(step), float(loss), float(used)) for step, loss, used in found["curve"])
        return RunningState(digest, int(found["step"]), curve, int(found["frames_seen"]))
    return RunningState(digest)
