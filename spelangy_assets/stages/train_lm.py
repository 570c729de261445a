"""A training run: a language model from a mix, by a subprocess.

Put here: the literals of a run, the spec of the process, and the files kept from its output. Do not put here: the
training loop (spelangy_model/train), which runs alone so that Dagster's process never loads a model.

Inputs: `mix` (rows, vocabulary_layout.json), `text_tokenizer` (files), and `base_lm` (an artifact of this stage)
unless the model starts from a preset. With `matched`, another run, the steps are as many as see its loss tokens.
Output: a Hugging Face model folder at the root of the artifact, with
metrics.jsonl (one line a step) and, outside the data version, timing.jsonl. A killed run continues from its newest
checkpoint.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spelangy_assets.execution.dataset import DatasetKind
from spelangy_assets.execution.meter import watched
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly, stat
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.extras import missing
from spelangy_model.lm.presets import PRESETS
from spelangy_model.options import refuse_idle
from spelangy_model.records import PackedRow
from spelangy_model.tokenizer.vocab import LAYOUT_FILE, Layout
from spelangy_model.train.spec import TrainingOptions

if TYPE_CHECKING:
    import numpy as np

VERSION = "2"
TABLES: dict[str, type] = {}
LAUNCHES = True
_CHECKPOINT_EVERY = 100  # steps: the most that a kill may lose; its time does not change the result
_TIMING = "timing.jsonl"
_CLOSING_STEPS = 25


@dataclass(frozen=True, kw_only=True)
class Config(TrainingOptions):
    """One run: the options of a training, and `preset`, the shape of a new model; empty for one from `base_lm`."""

    preset: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preset and self.preset not in PRESETS:
            raise ValueError(f"no preset {self.preset!r}: choose one of {', '.join(PRESETS)}")
        if self.preset:
            refuse_idle(self, "for a new model, which draws all of its embeddings", "new_embeddings")
            refuse_idle(self, "for a new model, whose weights are all trained", "lora_rank")


CONTRACT = Contract(
    "run",
    f"""
    SELECT (SELECT count(*) FROM files WHERE path LIKE '%.safetensors' AND bytes > 0) AS weights,
           {stat("steps")} AS steps,
           CASE WHEN isfinite({stat("closing_loss_nats", missing="'nan'::DOUBLE")}) THEN 0 ELSE 1 END AS diverged,
           {stat("closing_loss_nats")} AS closing_loss_nats
    """,
    (
        Bound("weights", 1),
        Bound("steps", 1),
        exactly("diverged"),
        Bound("closing_loss_nats", 0, 8, "warn"),
    ),
)

KIND = DatasetKind(
    group="runs",
    description="A language model trained on {mix}.",
    contract=CONTRACT,
    kinds=("pytorch",),
    pool="gpu",
    cost="heaviest",
    takes={
        "mix": PackedRow,
        "base_lm": "language_model",
        "matched": "language_model",
        "text_tokenizer": "text_tokenizer",
    },
    makes="language_model",
)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError for a GPU, or a package for it, that is asked for and is not there."""
    if lacking := missing("accelerate"):  # else a process of its own would find out
        raise PreflightError(lacking)
    if config.lora_rank and (lacking := missing("peft")):
        raise PreflightError(f"lora_rank: {lacking}")
    for tracker in execution.trackers:
        if lacking := missing(tracker):
            raise PreflightError(f"SPELANGY_TRACKERS: {lacking}")
    if config.fused_loss:
        if not execution.device.startswith("cuda"):
            raise PreflightError("fused_loss runs on GPUs alone: set SPELANGY_DEVICE to cuda, or fused_loss to False")
        if lacking := missing("liger_kernel"):
            raise PreflightError(f"fused_loss: {lacking}")
    execution.check_device()


def run(ctx: StageContext, config: Config) -> None:
    """Train in one unit: the process's own checkpoints, in the scratch folder, are the resume points."""
    for unit, _ in ctx.out.pending(["run"]):
        mix, base = ctx.inputs["mix"], ctx.inputs.get("base_lm")
        options = _as_long_as(ctx.inputs["matched"], mix, config) if "matched" in ctx.inputs else config
        if (base is None) == (not config.preset):
            raise InputError("a run starts from base_lm or from a preset: give exactly one of them")
        with ctx.out.unit(unit) as out:
            model = ctx.out.scratch / "model"
            steps_done = partial(_lines, ctx.out.scratch / "running" / "metrics.jsonl")
            with watched(steps_done, options.steps, "steps", ctx.progress):
                out.took(
                    ctx.execution.launch("spelangy_model.train.run", _spec(ctx, options, mix, base), ctx.out.scratch)
                )
            for path in sorted(item for item in model.rglob("*") if item.is_file()):
                name = path.relative_to(model).as_posix()
                out.write_file(
                    name, path.read_bytes(), identity=name != _TIMING and not name.startswith("tensorboard/")
                )
            steps = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
            closing = steps[-_CLOSING_STEPS:]
            out.write_file("loss.md", _plot([step["loss"] for step in steps]).encode(), identity=False)
            out.read(mix.manifest.rows("rows"))
            out.kept(mix.manifest.rows("rows"))
            out.add("steps", len(steps))
            seen = sum(step["positions"] for step in steps)
            row_positions = mix.manifest.counts.stats["positions"] / mix.manifest.rows("rows")
            out.add("positions_seen", seen)
            out.add("padding_share", 1 - seen / (len(steps) * config.batch_rows * row_positions))
            out.add("loss_positions_seen", sum(step["loss_tokens"] for step in steps))
            out.add("row_epochs", len(steps) * config.batch_rows / mix.manifest.rows("rows"))
            out.add("closing_loss_nats", sum(step["loss"] for step in closing) / len(closing))
            for name, share in steps[-1]["share_by_source"].items():
                out.add(f"{name}.share", share)
            for name, amount in work_of(mix.manifest.counts.stats, steps[-1]["positions_by_source"]).items():
                out.add(name, amount)
        ctx.log(f"{len(steps)} steps, closing loss {sum(step['loss'] for step in closing) / len(closing):.4f} nats")


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _as_long_as(matched: Artifact, mix: Artifact, config: Config) -> Config:
    """Return the options with as many steps as it takes to see the loss tokens of another run; the schedule scales.

    InputError for a run that was trained elsewhere.
    """
    import numpy as np

    wanted = matched.manifest.counts.stats.get("loss_positions_seen")
    if wanted is None:
        raise InputError(f"{matched.uri} was trained elsewhere: how many loss tokens it saw is not known")
    counts: list[np.ndarray] = []
    for shard in mix.shards("rows"):
        masks = shard.table(["loss_mask"]).column("loss_mask").combine_chunks()
        counts.append(masks.flatten().to_numpy().reshape(len(masks), -1)[:, 1:].sum(1, dtype=np.int64))
    steps = steps_for(np.concatenate(counts), config.batch_rows, wanted)
    scale = steps / config.steps
    return replace(
        config,
        steps=steps,
        warmup_steps=int(config.warmup_steps * scale),
        decay_steps=int(config.decay_steps * scale),
    )


def steps_for(loss_tokens: np.ndarray, batch_rows: int, wanted: float) -> int:
    """Return the number of steps that comes nearest to so many loss tokens, at least 1.

    `loss_tokens` has one entry a row of the mix; rows are read in order, and again from the first.
    """
    import numpy as np

    times = int(wanted // max(1, loss_tokens.sum())) + 2
    rows = np.tile(loss_tokens, times)
    rows = rows[: len(rows) - len(rows) % batch_rows]
    reached = np.cumsum(rows.reshape(-1, batch_rows).sum(1))
    return int(np.abs(reached - wanted).argmin()) + 1


def work_of(mix: Mapping[str, float], tokens: Mapping[str, int]) -> dict[str, float]:
    """Return what a run saw of its mix: seconds of speech, share of text-only rows in tokens, epochs of each source.

    `tokens` are those that it saw of each source. A run that stops within its mix saw speech and documents of a source
    in the proportion of the source's tokens.
    """
    total = sum(tokens.values())
    parts = {name: count / mix[f"{name}.tokens"] for name, count in tokens.items() if mix.get(f"{name}.tokens")}
    return {
        "speech_s_seen": sum(part * mix.get(f"{name}.speech_s", 0.0) for name, part in parts.items()),
        "text_share_seen": sum(count for name, count in tokens.items() if name.startswith("text")) / total,
        **{f"{name}.epochs_seen": part * mix[f"{name}.epochs"] for name, part in parts.items()},
    }


def _plot(losses: list[float]) -> str:
    """Return the loss over steps as a picture in Markdown, which the asset's page shows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(losses) + 1), losses, linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats a token")
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return f"![loss over steps](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})\n"


def _spec(ctx: StageContext, config: Config, mix: Artifact, base: Artifact | None) -> dict[str, object]:
    cache_dir = ctx.execution.cache_dir
    rows = mix.local_folder(cache_dir)
    layout = Layout(**json.loads(mix.read_file(LAYOUT_FILE)))
    text_tokenizer = ctx.inputs["text_tokenizer"].local_folder(cache_dir)
    if base is not None:
        from spelangy_model.tokenizer.vocab import tokenizer_digest

        if tokenizer_digest(base.local_folder(cache_dir)) != tokenizer_digest(text_tokenizer):
            raise InputError(f"{base.uri} was trained with another text tokenizer: train base_lm again")
    return {
        "rows": [str(rows / shard.path) for shard in mix.manifest.shards if shard.table == "rows"],
        "layout": {"text_size": layout.text_size, "codebook_size": layout.codebook_size},
        **config.training,
        "inputs": [mix.data_version, base.data_version if base else config.preset],
        "out": str(ctx.out.scratch / "model"),
        "work": str(ctx.out.scratch / "running"),
        "init_preset": config.preset,
        "init_checkpoint": str(base.local_folder(cache_dir)) if base else "",
        "tokenizer": str(text_tokenizer),
        "device": ctx.execution.device,
        "checkpoint_every": _CHECKPOINT_EVERY,
        "trackers": list(ctx.execution.trackers),
        "title": ctx.out.title,
    }
