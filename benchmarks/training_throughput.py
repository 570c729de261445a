"""Useful tokens a second: packed rows and this project's step, against a Hugging Face Trainer on padded batches.

    python benchmarks/training_throughput.py

Documents as in packing.py (85 of 100 short Quest documents, the rest web and Krist documents of log-normal length, in
their true lengths), split between chunks where they are longer than a row. The preset tiny over a vocabulary of 1,300
text ids and 1,000 codes. All sides begin with the same weights and draw from the same sequences, about as many useful
tokens a step, with AdamW and gradient clipping, in float32 on one thread:

    packed                     the rows of data/packing.py, document attention, loss where it counts (train/run.py)
    packed, ...                the same compiled, in bfloat16 (where the processor has units for it), or both
    Trainer                    transformers.Trainer, batches in random order padded to their longest sequence
    Trainer, group_by_length   the same, with batches of like length

group_by_length sorts the sequences of 50 batches by length, longest first, so that side does 50 steps: fewer would be
its longest ones. A useful token is a position that is not padding. Time is CPU seconds of the process from the first
batch to the last step; the sides are run in turn. A first step that compiles, or imports, does not count. Printed as
Markdown, with the slowest and the fastest round.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from packing import finished, make_documents
from transformers.utils.logging import disable_progress_bar

from spelangy_model.data.interleave import Interleaving, Sequences, plan_sequences, write_sequences
from spelangy_model.data.loader import RowReader
from spelangy_model.data.packing import best_fit_decreasing
from spelangy_model.lm.forward import load_model
from spelangy_model.lm.presets import new_model
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.vocab import Layout
from spelangy_model.train.run import PackedLoss, make_optimizer, optimizer_step
from spelangy_model.train.spec import TrainSpec

LAYOUT = Layout(text_size=1300, codebook_size=1000)
GROUPED_STEPS = 50  # transformers' LengthGroupedSampler sorts within as many batches
Precision = Literal["float32", "bfloat16"]
_IGNORED = -100  # a label that transformers' loss leaves out


@dataclass
class Run:
    """What a side did: useful tokens, positions with padding, steps, and CPU seconds."""

    useful: int = 0
    positions: int = 0
    steps: int = 0
    seconds: float = 0.0

    @property
    def speed(self) -> float:
        """Useful tokens a CPU second."""
        return self.useful / self.seconds


def total(runs: list[Run]) -> Run:
    """Return the sum of the rounds of a side."""
    return Run(
        sum(run.useful for run in runs),
        sum(run.positions for run in runs),
        sum(run.steps for run in runs),
        sum(run.seconds for run in runs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--row-length", type=int, default=1024)
    parser.add_argument("--batch-rows", type=int, default=4)
    parser.add_argument("--steps", type=int, default=16, help="of packed and Trainer, a round")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        new_model("tiny", LAYOUT, seed=0).save_pretrained(folder)
        sequences = write_rows(chosen.documents, chosen.row_length, LAYOUT, Path(folder))
        lengths = np.diff(sequences.first)
        batch = max(1, round(chosen.batch_rows * chosen.row_length / lengths.mean()))
        describe(lengths, batch, chosen)
        examples = as_examples(sequences)
        sides: dict[str, tuple[int, Callable[[int, int], Run]]] = {
            **{
                name: (
                    chosen.steps,
                    lambda seed, steps, way=way: packed(Path(folder), chosen.batch_rows, seed, steps, *way),
                )
                for name, way in ways().items()
            },
            "Trainer": (chosen.steps, lambda seed, steps: padded(Path(folder), examples, batch, "random", seed, steps)),
            "Trainer, group_by_length": (
                GROUPED_STEPS,
                lambda seed, steps: padded(Path(folder), examples, batch, "group_by_length", seed, steps),
            ),
        }
        compare(sides, chosen.rounds)


def ways() -> dict[str, tuple[Precision, bool]]:
    """Return the precision of each packed side, and whether its layers are compiled."""
    found: dict[str, tuple[Precision, bool]] = {"packed": ("float32", False), "packed, compiled": ("float32", True)}
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        found |= {"packed, bfloat16": ("bfloat16", False), "packed, bfloat16, compiled": ("bfloat16", True)}
    return found


def write_rows(count: int, row_length: int, layout: Layout, folder: Path) -> Sequences:
    """Write the packed rows to folder/rows.parquet, shuffled; return their sequences."""
    documents = make_documents(count, layout)
    plan = plan_sequences(documents, Interleaving(), 0, 0, row_length)
    packing = best_fit_decreasing(plan.length, row_length)
    written = write_sequences(documents, plan, packing.members, layout, True)
    table = finished(
        documents, plan, packing.members, packing.first, written.ids, written.loss_mask, row_length, layout
    )
    order = stable_rng(0, "benchmark", "rows").permutation(len(packing))  # packing puts the longest first
    pq.write_table(table.take(pa.array(order)), folder / "rows.parquet")
    return written


def as_examples(sequences: Sequences) -> list[dict[str, list[int]]]:
    labels = np.where(sequences.loss_mask > 0, sequences.ids, _IGNORED)
    spans = [slice(a, b) for a, b in zip(sequences.first[:-1], sequences.first[1:], strict=True)]
    return [{"input_ids": sequences.ids[span].tolist(), "labels": labels[span].tolist()} for span in spans]


def describe(lengths: np.ndarray, batch: int, chosen: argparse.Namespace) -> None:
    low, quarter, middle, upper, high = np.percentile(lengths, [5, 25, 50, 75, 95]).round().astype(int)
    command = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in vars(chosen).items())
    print(f"command: python benchmarks/training_throughput.py {command}\n")
    print(
        f"{len(lengths)} sequences, {lengths.sum()} tokens; lengths: mean {lengths.mean():.0f}, 5% {low}, "
        f"25% {quarter}, median {middle}, 75% {upper}, 95% {high}, longest {lengths.max()}\n"
    )
    print(f"a step: {chosen.batch_rows} packed rows of {chosen.row_length}, or {batch} sequences\n")


def compare(sides: dict[str, tuple[int, Callable[[int, int], Run]]], rounds: int) -> None:
    """Print what each side did over all rounds."""
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for _, side in sides.values():
        side(0, 1)
    for seed in range(rounds):
        for name, (steps, side) in sides.items():
            runs[name].append(side(seed, steps))
    slowest = total(runs["Trainer"]).speed
    print("| | steps | padding | CPU s | useful tokens/s | lowest to highest round | times Trainer |")
    print("|---|---|---|---|---|---|---|")
    for name, of_rounds in runs.items():
        run, speeds = total(of_rounds), [one.speed for one in of_rounds]
        print(
            f"| {name} | {run.steps} | {1 - run.useful / run.positions:.1%} | {run.seconds:.1f} | {run.speed:.0f} "
            f"| {min(speeds):.0f} to {max(speeds):.0f} | {run.speed / slowest:.2f} |"
        )


def packed(folder: Path, batch_rows: int, seed: int, steps: int, precision: Precision, compiles: bool) -> Run:
    """Train with the steps of train/run.py; each seed continues in the rows. A first step does not count."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    reader = RowReader([folder / "rows.parquet"])
    spec = TrainSpec(
        rows=(str(folder / "rows.parquet"),),
        layout=LAYOUT,
        steps=steps,
        batch_rows=batch_rows,
        micro_rows=batch_rows,
        learning_rate=1e-3,
        warmup_steps=0,
        decay_steps=0,
        weight_decay=0.1,
        clip_norm=1.0,
        precision=precision,
        compile=compiles,
        seed=0,
        inputs=(),
        out="",
        work="",
        init_checkpoint=str(folder),
    )
    AcceleratorState._reset_state(reset_partial_state=True)  # else the precision of the first side holds for all
    accelerator = Accelerator(cpu=True, mixed_precision="bf16" if precision == "bfloat16" else "no")
    model: Any = load_model(folder)
    if compiles:
        for layer in model.base_model.layers:
            layer.compile()
    module: Any = PackedLoss(model)
    module, optimizer = accelerator.prepare(module, make_optimizer(module, spec))
    module.train()
    run = Run(steps=steps)
    optimizer_step(accelerator, module, optimizer, reader.batch(0, batch_rows), spec.learning_rate, spec)
    started = time.process_time()
    for step in range(steps):
        batch = reader.batch((1 + seed * steps + step) * batch_rows, batch_rows)
        optimizer_step(accelerator, module, optimizer, batch, spec.learning_rate, spec)
        run.useful += sum(batch.source_tokens.values())
        run.positions += batch.input_ids.size
    run.seconds = time.process_time() - started
    return run


def padded(folder: Path, examples: Any, batch: int, sampling: str, seed: int, steps: int) -> Run:
    """Train with transformers.Trainer; each seed draws another order."""
    from torch.nn.utils.rnn import pad_sequence
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    run = Run()
    masks: list[torch.Tensor] = []

    def collate(chosen: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        ids = [torch.tensor(example["input_ids"]) for example in chosen]
        labels = [torch.tensor(example["labels"]) for example in chosen]
        together = pad_sequence(ids, batch_first=True, padding_value=LAYOUT.pad)
        mask = pad_sequence([torch.ones_like(part) for part in ids], batch_first=True)
        masks.append(mask)
        return {
            "input_ids": together,
            "attention_mask": mask,
            "labels": pad_sequence(labels, batch_first=True, padding_value=_IGNORED),
        }

    class Clock(TrainerCallback):
        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            run.seconds = -time.process_time()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            run.seconds += time.process_time()

    model = load_model(folder)
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=batch,
        max_steps=steps,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        adam_beta2=0.95,
        weight_decay=0.1,
        max_grad_norm=1.0,
        train_sampling_strategy=sampling,
        dataloader_drop_last=True,
        seed=seed,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, data_collator=collate, train_dataset=examples, callbacks=[Clock()])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    run.steps = trainer.state.global_step
    for mask in masks[: run.steps]:  # the loader reads ahead
        run.useful += int(mask.sum())
        run.positions += mask.numel()
    return run


if __name__ == "__main__":
    main()
