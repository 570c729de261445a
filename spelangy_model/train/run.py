"""The training process: `accelerate launch ... -m spelangy_model.train.run SPEC.json`.

Put here: the loop, from a spec to a checkpoint. Do not put here: mixes or recipes. All models are trained by this loop,
tiny ones too. The process runs alone: it imports little, and the spec holds all that it needs. Under Dagster it reports
through Pipes; outside it prints the same lines.

Files in `out`: the model's folder (checkpoint.py), `metrics.jsonl` (one line for each step: loss in nats over the
positions that count, loss tokens, positions, learning rate, gradient norm, cumulative share of positions by source) and
`timing.jsonl` (seconds, tokens/s, model FLOP/s, MFU, peak memory, which differ from run to run), and `tensorboard/`.

With one or two processes of one thread a run is bit-exact, also after it was killed and started again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from spelangy_model.data.loader import Batch, RowReader
from spelangy_model.lm.attention import choose_backend, documents_of, use_document_attention
from spelangy_model.lm.forward import load_model, logits
from spelangy_model.lm.presets import new_model
from spelangy_model.memory import peak_memory_bytes
from spelangy_model.pretrained import load_settings
from spelangy_model.rng import stable_seed
from spelangy_model.tokenizer.vocab import LAYOUT_FILE, LayoutError, check_checkpoint, extend_model, extend_tokenizer
from spelangy_model.train.checkpoint import (
    find_running,
    restore_adapters,
    restore_optimizer,
    save_model,
    save_running,
    whole_weights,
)
from spelangy_model.train.flops import peak_flops, step_flops
from spelangy_model.train.lora import add_adapters, merge_adapters
from spelangy_model.train.parallel import is_sharded, shard, whole, without_sync
from spelangy_model.train.schedule import learning_rate_factor
from spelangy_model.train.spec import SpecError, TrainSpec
from spelangy_model.train.step_log import StepLog, copy_log, cut_back, open_step_log, open_trackers

Report = Callable[[str, dict[str, Any]], None]
_REPORT_EVERY = 25


class PackedLoss(nn.Module):
    """The summed next-token loss of packed rows; a separate module, so that DDP sees one forward."""

    def __init__(self, model: Any, fused: bool = False):
        super().__init__()
        use_document_attention(model)
        self.model = model
        self.fused: Any = None
        if fused:
            from liger_kernel.transformers import (  # pyright: ignore[reportMissingImports]
                LigerFusedLinearCrossEntropyLoss,
            )

            self.fused = LigerFusedLinearCrossEntropyLoss(reduction="sum")

    def forward(self, input_ids: torch.Tensor, position_ids: torch.Tensor, loss_mask: torch.Tensor) -> torch.Tensor:
        """Return the sum in nats over the positions with loss_mask 1, each predicted from the position before it.

        All arguments are (rows, row_length). The output layer runs only on the positions that count.
        """
        kind = input_ids.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        documents = documents_of(position_ids, choose_backend(input_ids.device, dtype))
        hidden = self.model.base_model(
            input_ids=input_ids, position_ids=position_ids, documents=documents, use_cache=False
        ).last_hidden_state
        counts = loss_mask[:, 1:].bool()
        if self.fused is not None:  # the whole logits are never materialized
            head = self.model.get_output_embeddings().weight
            return self.fused(head, hidden[:, :-1][counts], input_ids[:, 1:][counts])
        scores = logits(self.model, hidden[:, :-1][counts])
        return nn.functional.cross_entropy(scores.float(), input_ids[:, 1:][counts], reduction="sum")


def start_model(spec: TrainSpec) -> tuple[Any, Any]:
    """Return (model, tokenizer) with the spec's layout, before the first step.

    Raises LayoutError when a checkpoint's text ids are not those of the layout.
    """
    from transformers import AutoTokenizer

    if spec.init_preset:
        tokenizer = load_settings(AutoTokenizer, spec.tokenizer)
        return new_model(spec.init_preset, spec.layout, spec.seed), extend_tokenizer(tokenizer, spec.layout)
    folder = Path(spec.init_checkpoint)
    model = load_model(folder)
    tokenizer = load_settings(AutoTokenizer, folder)
    known = spec.layout.text_size
    if (folder / LAYOUT_FILE).exists():
        base = check_checkpoint(model, folder)
        if base.text_size != spec.layout.text_size or base.codebook_size not in (0, spec.layout.codebook_size):
            raise LayoutError(f"{folder} has {base}, which cannot be widened to {spec.layout}")
        known = base.size
    tokenizer = extend_tokenizer(tokenizer, spec.layout)
    if known < spec.layout.size:
        extend_model(model, spec.layout, known, spec.seed, spec.new_embeddings)
    return model, tokenizer


def make_optimizer(model: nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    """Return AdamW (betas 0.9, 0.95); matrices decay, vectors (norms, biases) do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


def train(spec: TrainSpec, report: Report) -> dict[str, float]:
    """Train to the end of the spec, from its newest checkpoint where there is one; return the closing figures."""
    on_cpu = spec.device == "cpu"
    if on_cpu:
        torch.set_num_threads(1)
    torch.use_deterministic_algorithms(on_cpu)
    # Else each new tensor is filled with NaN first, which takes 4% of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.manual_seed(stable_seed(spec.seed, "train") % 2**63)
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="bf16" if spec.precision == "bfloat16" else "no")
    if on_cpu and spec.precision == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        report("this processor has no bfloat16 units, so a step is many times slower: set precision to float32", {})
    world = accelerator.num_processes
    if spec.batch_rows % world:
        raise SpecError(f"batch_rows {spec.batch_rows} cannot be divided among {world} processes")
    out, work = Path(spec.out), Path(spec.work)
    reader = RowReader([Path(path) for path in spec.rows])
    model, tokenizer = start_model(spec)
    adapted = add_adapters(model, spec.lora_rank, spec.lora_alpha, spec.seed) if spec.lora_rank else None
    if adapted is not None and is_sharded(accelerator):
        raise SpecError("lora_rank: adapters are trained whole on each process: use an accelerate config without FSDP")
    resumed = find_running(work, spec.digest)
    first_step = 0
    if resumed:
        folder, first_step = resumed
        if adapted is not None:
            restore_adapters(folder, model)
        else:
            model = load_model(folder)
            check_checkpoint(model, folder, spec.layout)
        report(f"resuming after step {first_step}", {})
    module = PackedLoss(model, spec.fused_loss)
    if spec.activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if spec.compile:
        layers: Any = model.base_model.layers
        for layer in layers:
            layer.compile()
    if is_sharded(accelerator):
        shard(module.to(accelerator.device), accelerator)
    optimizer = make_optimizer(model, spec)
    if resumed:
        restore_optimizer(resumed[0], model, optimizer)
    if not is_sharded(accelerator):
        module, optimizer = accelerator.prepare(module, optimizer)
    bare = accelerator.unwrap_model(module).model
    module.train()

    work.mkdir(parents=True, exist_ok=True)
    sources: Counter[str] = Counter()
    if accelerator.is_main_process:
        sources.update(cut_back(work, first_step))
    accelerator.wait_for_everyone()
    closing: dict[str, float] = {}
    recent: list[tuple[float, int]] = []
    with contextlib.ExitStack() as stack:
        log: StepLog | None = None
        if accelerator.is_main_process:

            def say(text: str) -> None:
                report(text, {})

            trackers = open_trackers(spec.trackers, spec.title, spec.training, say)
            log = stack.enter_context(open_step_log(work, first_step, trackers, say))
        for step in range(first_step, spec.steps):
            started = time.perf_counter()
            batch = reader.batch(step * spec.batch_rows, spec.batch_rows)
            rate = spec.learning_rate * learning_rate_factor(
                spec.schedule, step, spec.steps, spec.warmup_steps, spec.decay_steps
            )
            loss, norm = optimizer_step(accelerator, module, optimizer, batch, rate, spec)
            seconds = time.perf_counter() - started
            if not torch.isfinite(torch.tensor(loss)):
                raise FloatingPointError(f"the loss is {loss} at step {step}: lower learning_rate or look at the rows")
            if log is not None:
                sources.update(batch.source_tokens)
                positions = sum(batch.source_tokens.values())
                speed = _timing_line(step, seconds, positions, batch, bare.config, accelerator)
                log.add(_metrics_line(step, loss, norm, rate, batch, sources), speed)
                recent = [*recent[1 - _REPORT_EVERY :], (loss, positions)]
                if (step + 1) % _REPORT_EVERY == 0 or step + 1 == spec.steps:
                    closing = {
                        "step": step + 1,
                        "loss": sum(value for value, _ in recent) / len(recent),
                        "tokens_per_s": positions / seconds,
                        "learning_rate": rate,
                        "memory_bytes": speed["memory_bytes"],
                    }
                    if speed["mfu"] is not None:
                        closing["mfu"] = speed["mfu"]
                    report(f"step {step + 1}/{spec.steps} loss {closing['loss']:.4f}", closing)
            if (step + 1) % spec.checkpoint_every == 0 and step + 1 < spec.steps:
                if log is not None:
                    log.flush()
                writes = accelerator.is_main_process
                save_running(work, step + 1, spec.digest, bare, tokenizer, spec.layout, optimizer, writes)
    if adapted is not None:
        bare = merge_adapters(adapted)
    weights = whole_weights(bare)
    if accelerator.is_main_process:
        save_model(out, bare, tokenizer, spec.layout, weights)
        copy_log(work, out)
    accelerator.wait_for_everyone()
    return closing


def _metrics_line(
    step: int, loss: float, norm: float, rate: float, batch: Batch, sources: Counter[str]
) -> dict[str, Any]:
    """Return the results of a step, which are equal from run to run."""
    total = sources.total()
    return {
        "step": step + 1,
        "loss": loss,
        "loss_tokens": int(batch.loss_mask[:, 1:].sum()),
        "positions": sum(batch.source_tokens.values()),
        "learning_rate": rate,
        "gradient_norm": norm,
        "positions_by_source": dict(sources),
        "share_by_source": {name: round(count / total, 6) for name, count in sorted(sources.items())},
    }


def _timing_line(
    step: int, seconds: float, positions: int, batch: Batch, config: Any, accelerator: Accelerator
) -> dict[str, Any]:
    """Return the cost of a step, which differs from run to run. `mfu` is None where the device's peak is not known."""
    on_gpu = accelerator.device.type == "cuda"
    peak = peak_flops(torch.cuda.get_device_name(accelerator.device)) if on_gpu else None
    flops = step_flops(config, batch.lengths, int(batch.loss_mask[:, 1:].sum()))
    return {
        "step": step + 1,
        "seconds": seconds,
        "tokens_per_s": positions / seconds,
        "model_flops_per_s": flops / seconds,
        "mfu": flops / seconds / (peak * accelerator.num_processes) if peak else None,
        "memory_bytes": torch.cuda.max_memory_allocated(accelerator.device) if on_gpu else peak_memory_bytes(),
    }


def optimizer_step(
    accelerator: Accelerator, module: nn.Module, optimizer: Any, batch: Batch, rate: float, spec: TrainSpec
) -> tuple[float, float]:
    """Do one optimizer step; return (mean loss over the whole batch's loss tokens, gradient norm before clipping)."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    # Every process knows the whole batch's count: the mean is over tokens, whatever the split into micro-batches is.
    count = max(1, int(batch.loss_mask[:, 1:].sum()))
    world, rank = accelerator.num_processes, accelerator.process_index
    share = spec.batch_rows // world
    starts = list(range(rank * share, (rank + 1) * share, spec.micro_rows))
    total = torch.zeros((), dtype=torch.float64, device=accelerator.device)
    for start in starts:
        rows = slice(start, min(start + spec.micro_rows, (rank + 1) * share))
        last = start == starts[-1]
        with contextlib.nullcontext() if last else without_sync(module, accelerator):
            tensors = [
                torch.from_numpy(array[rows]).to(accelerator.device, torch.int64)
                for array in (batch.input_ids, batch.position_ids, batch.loss_mask)
            ]
            with accelerator.autocast():
                loss = module(*tensors)
            accelerator.backward(loss * (world / count))  # DDP and FSDP2 divide by the number of processes
            total += loss.detach().double()
    if is_sharded(accelerator):
        norm: Any = whole(nn.utils.clip_grad_norm_(module.parameters(), spec.clip_norm))
    else:
        norm = accelerator.clip_grad_norm_(module.parameters(), spec.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    summed: Any = accelerator.reduce(total, "sum")
    return float(summed) / count, float(norm) if norm is not None else float("nan")


@contextlib.contextmanager
def reporting() -> Iterator[Report]:
    """Give a function that reports a line and figures: through Dagster Pipes when it was launched so, else by print."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:

        def to_terminal(text: str, figures: dict[str, Any]) -> None:
            sys.stdout.write(f"{text} {json.dumps(figures)}\n" if figures else f"{text}\n")
            sys.stdout.flush()

        yield to_terminal
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:

        def to_dagster(text: str, figures: dict[str, Any]) -> None:
            pipes.log.info(text)
            if figures:
                pipes.report_custom_message(figures)

        yield to_dagster


def main(arguments: list[str]) -> None:
    """Run the spec whose path is the only argument."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m spelangy_model.train.run SPEC.json")
    spec = TrainSpec.read(Path(arguments[0]))
    # Each process of a launch would report the same; the first one does.
    first = os.environ.get("RANK", "0") == "0"
    with reporting() if first else contextlib.nullcontext(lambda text, figures: None) as report:
        train(spec, report)


if __name__ == "__main__":
    main(sys.argv[1:])
