"""What a training process is told: one JSON file.

Put here: its fields and their checks. Do not put here: the loop (run.py). Paths, the device and the checkpoint interval
say where and how; everything else bears the identity of the run and is digested, so that a checkpoint of
another run is never continued.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spelangy_model.tokenizer.vocab import Layout
from spelangy_model.train.schedule import SCHEDULES

_WHERE = ("rows", "tokenizer", "init_checkpoint", "out", "work", "device", "checkpoint_every")


class SpecError(ValueError):
    """A training spec that cannot be run; the text names the field."""


@dataclass(frozen=True)
class TrainSpec:
    """One training run.

    It starts either from `init_checkpoint` (a Hugging Face folder: its own vocabulary is widened to the layout)
    or from `init_preset` with the text tokenizer in the folder `tokenizer`. One step takes `batch_rows` rows in
    the order of the shards `rows`, `micro_rows` at a time on each process. `precision` is float32 or bfloat16
    (autocast; weights stay float32). `schedule` is wsd or cosine. `activation_checkpointing` computes a layer's
    activations again in the backward pass; `compile` compiles the decoder layers; `fused_loss` takes Liger's fused
    output layer and loss (GPUs). `inputs` are the versions of what is read: literals that enter the digest. The
    finished model goes to `out`, checkpoints of the running one to `work`.
    """

    rows: tuple[str, ...]
    layout: Layout
    steps: int
    batch_rows: int
    micro_rows: int
    learning_rate: float
    warmup_steps: int
    decay_steps: int
    weight_decay: float
    clip_norm: float
    precision: str
    seed: int
    inputs: tuple[str, ...]
    out: str
    work: str
    schedule: str = "wsd"
    activation_checkpointing: bool = False
    compile: bool = False
    fused_loss: bool = False
    init_preset: str = ""
    init_checkpoint: str = ""
    tokenizer: str = ""
    device: str = "cpu"
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        if bool(self.init_preset) == bool(self.init_checkpoint):
            raise SpecError("give exactly one of init_preset and init_checkpoint")
        if self.init_preset and not self.tokenizer:
            raise SpecError("init_preset needs the folder of the text tokenizer")
        if min(self.steps, self.batch_rows, self.micro_rows, self.checkpoint_every) < 1:
            raise SpecError("steps, batch_rows, micro_rows and checkpoint_every are at least 1")
        if self.precision not in ("float32", "bfloat16"):
            raise SpecError(f"precision is float32 or bfloat16, not {self.precision!r}")
        if self.schedule not in SCHEDULES:
            raise SpecError(f"schedule is one of {', '.join(SCHEDULES)}, not {self.schedule!r}")

    @property
    def digest(self) -> str:
        """SHA-256 of the fields that bear identity."""
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in _WHERE}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, path: Path) -> TrainSpec:
        """Read a spec. Raises SpecError, naming the file, when it is not one."""
        try:
            fields = json.loads(Path(path).read_text())
            fields |= {name: tuple(fields[name]) for name in ("rows", "inputs")}
            return cls(**{**fields, "layout": Layout(**fields["layout"])})
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise SpecError(f"{path}: not a training spec: {error}") from error
