"""The options of a training run, and what its process reads: one JSON file.

Put here: each option of a training, declared and checked once, and the fields of the file. Do not put here: the loop
(run.py), or which run has which options (recipes). Paths, the device, the checkpoint interval and trackers are
not part of a run's identity. All other fields are, and are digested, so that a checkpoint of another run is never
continued.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spelangy_model.tokenizer.vocab import NEW_EMBEDDINGS, Layout, NewEmbeddings
from spelangy_model.train.schedule import SCHEDULES

_WHERE = ("rows", "tokenizer", "init_checkpoint", "out", "work", "device", "checkpoint_every", "trackers", "title")


class SpecError(ValueError):
    """A training spec that cannot be run; the text names the field."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a model is trained.

    A step takes `batch_rows` rows, `micro_rows` at a time on each process; the rows are read in order, and again from
    the first after the last. The learning rate rises over `warmup_steps`; with the schedule wsd (warm up, stay,
    decay) it falls to 0 over the last `decay_steps`, with cosine along half a cosine over all that is left, and
    `decay_steps` is 0. `precision` is float32 or bfloat16 (autocast; weights stay float32). `activation_checkpointing`
    computes a layer's activations again in the backward pass; `compile` compiles the decoder layers; `fused_loss` takes
    Liger's fused output layer and loss (GPUs). `new_embeddings` is the rule by which a base model gets the embeddings
    of new tokens (`new_rows` of tokenizer/vocab.py). SpecError for values that do not fit.
    """

    steps: int
    batch_rows: int
    micro_rows: int
    learning_rate: float
    warmup_steps: int
    decay_steps: int
    seed: int
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    precision: str = "bfloat16"
    schedule: str = "wsd"
    activation_checkpointing: bool = False
    compile: bool = False
    fused_loss: bool = False
    new_embeddings: NewEmbeddings = "mean_and_spread"

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_rows, self.micro_rows) < 1:
            raise SpecError("steps, batch_rows and micro_rows are at least 1")
        if self.precision not in ("float32", "bfloat16"):
            raise SpecError(f"precision is float32 or bfloat16, not {self.precision!r}")
        if self.schedule not in SCHEDULES:
            raise SpecError(f"schedule is one of {', '.join(SCHEDULES)}, not {self.schedule!r}")
        if self.new_embeddings not in NEW_EMBEDDINGS:
            raise SpecError(f"new_embeddings is one of {', '.join(NEW_EMBEDDINGS)}, not {self.new_embeddings!r}")
        if self.schedule == "cosine" and self.decay_steps:
            raise SpecError("the schedule cosine falls over all steps: decay_steps is 0 there")

    @property
    def training(self) -> dict[str, Any]:
        """The options of the training alone, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(TrainingOptions)}


@dataclass(frozen=True, kw_only=True)
class TrainSpec(TrainingOptions):
    """One training run, as its process reads it.

    It starts either from `init_checkpoint` (a Hugging Face folder: its own vocabulary is widened to the layout)
    or from `init_preset` with the text tokenizer in the folder `tokenizer`. `rows` are the shards, in order. `inputs`
    are the versions of the inputs, as part of the digest. The finished model is saved in `out`, checkpoints
    of the running training in `work`. `trackers` are experiment trackers by accelerate's names (wandb, mlflow), in
    which the run has the name `title`.
    """

    rows: tuple[str, ...]
    layout: Layout
    inputs: tuple[str, ...]
    out: str
    work: str
    init_preset: str = ""
    init_checkpoint: str = ""
    tokenizer: str = ""
    device: str = "cpu"
    checkpoint_every: int = 100
    trackers: tuple[str, ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.init_preset) == bool(self.init_checkpoint):
            raise SpecError("give exactly one of init_preset and init_checkpoint")
        if self.init_preset and not self.tokenizer:
            raise SpecError("init_preset needs the folder of the text tokenizer")
        if self.checkpoint_every < 1:
            raise SpecError("checkpoint_every is at least 1")

    @property
    def digest(self) -> str:
        """SHA-256 of the fields that identify the run."""
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in _WHERE}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, path: Path) -> TrainSpec:
        """Read a spec. Raises SpecError, naming the file, when it is not one."""
        try:
            fields = json.loads(Path(path).read_text())
            fields |= {name: tuple(fields.get(name, ())) for name in ("rows", "inputs", "trackers")}
            return cls(**{**fields, "layout": Layout(**fields["layout"])})
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise SpecError(f"{path}: not a training spec: {error}") from error
