"""How full rows become, and how fast, against TRL's best-fit packing.

    python benchmarks/packing.py

Documents as in the mix of recipe `paper`: about two thirds of the tokens are web and Krist documents, log-normal in
chunks (median 30, sigma 0.8, at most 400), a third is Quest (2 to 6 chunks, 85 of 100 documents); a chunk is 5.2 s of
speech (65 codes, sigma 0.35) with 18 text ids (sigma 0.4). Rows of 16,384.

Both sides get the same sequences of ids in one Arrow table and give the same: a table of rows, their sequences end to
end (without padding), and the sequences' lengths. They are run in turn; the time is CPU seconds of one process, the
least of the rounds. Part of it is the moving of tokens; what the packing itself takes here stands below. Then the whole
path, from token documents to PackedRow tables (choice of modality, sequences, packing, padded rows with position ids,
loss masks and spans), deterministic and stochastic.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from rivals import rival, span

from spelangy_model.data.documents import DocumentArrays
from spelangy_model.data.interleave import Interleaving, Sampling, plan_sequences, write_sequences
from spelangy_model.data.packing import Spans, best_fit_decreasing, build_rows
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=128_000, codebook_size=1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=40_000)
    parser.add_argument("--row-length", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    pa.set_cpu_count(1)
    documents = make_documents(chosen.documents, LAYOUT)
    print(
        f"{chosen.documents} documents, rows of {chosen.row_length}; command: python benchmarks/packing.py "
        f"--documents {chosen.documents} --row-length {chosen.row_length} --rounds {chosen.rounds}\n"
    )
    compare(documents, chosen.row_length, chosen.rounds)
    print("\n| from documents to rows | tokens | rows | filled | CPU s | tokens/s |\n|---|---|---|---|---|---|")
    for sampling in ("deterministic", "stochastic"):
        whole_path(documents, sampling, chosen.row_length, chosen.rounds)


def make_documents(count: int, layout: Layout) -> DocumentArrays:
    """Return documents of the stated distribution."""
    rng = stable_rng(0, "benchmark", "packing")
    chunks = np.clip(rng.lognormal(np.log(30), 0.8, count), 1, 400).astype(np.int64)
    chunks = np.where(rng.random(count) < 0.85, rng.integers(2, 7, count), chunks)
    total = int(chunks.sum())
    codes = np.clip(rng.lognormal(np.log(65), 0.35, total), 4, 750).astype(np.int64)
    texts = np.clip(rng.lognormal(np.log(18), 0.4, total), 1, 400).astype(np.int64)
    names = pa.array([f"document-{index}" for index in range(count)])
    return DocumentArrays(
        names,
        names,
        np.concatenate([[0], np.cumsum(chunks)]),
        rng.integers(0, layout.codebook_size, int(codes.sum()), dtype=np.int32),
        np.concatenate([[0], np.cumsum(codes)]),
        rng.integers(0, layout.text_size, int(texts.sum()), dtype=np.int32),
        np.concatenate([[0], np.cumsum(texts)]),
    )


def compare(documents: DocumentArrays, row_length: int, rounds: int) -> None:
    """Print both packings of the same sequences."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    compares = rival("trl", "trl")
    plan = plan_sequences(documents, Interleaving(), 0, 0, row_length)
    written = write_sequences(documents, plan, np.arange(len(plan)), LAYOUT, True)
    print(f"{len(plan)} sequences, {plan.length.sum() / 1e6:.1f} M tokens, mean length {plan.length.mean():.0f}\n")
    print("| packing | rows | filled | CPU s, all rounds | M tokens/s, the best | times TRL, all rounds |")
    print("|---|---|---|---|---|---|")
    lists = pa.LargeListArray.from_arrays(written.first, pa.array(written.ids))
    dataset = Dataset(pa.table({"input_ids": lists}))
    sides: dict[str, Callable[[], int]] = {
        **({"TRL, strategy bfd": lambda: packed_by_trl(dataset, row_length)} if compares else {}),
        "here": lambda: packed(lists, row_length).num_rows,
        "here, which row alone": lambda: len(best_fit_decreasing(plan.length, row_length)),
    }
    runs: dict[str, list[tuple[float, int]]] = {name: [] for name in sides}
    for side in sides.values():
        side()  # what it imports and compiles once is no part of its speed
    for _ in range(rounds):
        for name, side in sides.items():
            started = time.process_time()
            rows = side()
            runs[name].append((time.process_time() - started, rows))
    tokens = int(plan.length.sum())
    theirs = [seconds for seconds, _ in runs.get("TRL, strategy bfd", ())]
    for name, found in runs.items():
        taken, rows = [seconds for seconds, _ in found], found[0][1]
        ratios = span([other / own for other, own in zip(theirs, taken, strict=True)], ".1f") if theirs else "-"
        print(
            f"| {name} | {rows} | {tokens / (rows * row_length):.3%} | {span(taken, '.3f')} "
            f"| {tokens / min(taken) / 1e6:.0f} | {ratios} |"
        )


def packed_by_trl(dataset: Any, row_length: int) -> int:
    """Return into how many rows TRL packs the sequences."""
    from trl import pack_dataset

    return len(pack_dataset(dataset, row_length, strategy="bfd", map_kwargs={"keep_in_memory": True}))


def packed(lists: pa.LargeListArray, row_length: int) -> pa.Table:
    """Return what TRL returns: rows with their sequences end to end, and the sequences' lengths."""
    first, ids = lists.offsets.to_numpy(), lists.values.to_numpy()
    lengths = np.diff(first)
    packing = best_fit_decreasing(lengths, row_length)
    starts = first[:-1][packing.members]
    ordered = lengths[packing.members]
    moved = np.concatenate([ids[a:b] for a, b in zip(starts.tolist(), (starts + ordered).tolist(), strict=True)])
    ends = np.concatenate([[0], np.cumsum(ordered)])[packing.first]
    rows = pa.LargeListArray.from_arrays(ends, pa.array(moved))
    return pa.table({"input_ids": rows, "seq_lengths": pa.LargeListArray.from_arrays(packing.first, pa.array(ordered))})


def finished(
    documents: DocumentArrays,
    plan: Any,
    members: np.ndarray,
    first: np.ndarray,
    ids: np.ndarray,
    loss_mask: np.ndarray,
    row_length: int,
    layout: Layout,
) -> pa.Table:
    rows = len(first) - 1
    owner = pa.array(plan.document[members])
    spans = Spans(
        row=np.repeat(np.arange(rows), np.diff(first)),
        length=plan.length[members],
        switches=plan.switches[members],
        epoch=np.zeros(len(members), np.int64),
        document_id=documents.document_ids.take(owner),
        source=pa.array(["web_fine_tokens"] * len(members)),
        source_id=documents.source_ids.take(owner),
    )
    return build_rows(0, ["speech_text"] * rows, spans, ids, loss_mask, row_length, layout)


def whole_path(documents: DocumentArrays, sampling: Sampling, row_length: int, rounds: int) -> None:
    """Print one line: plan, pack, interleave straight into the order of the rows, build them."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        plan = plan_sequences(documents, Interleaving(sampling), 0, 0, row_length)
        packing = best_fit_decreasing(plan.length, row_length)
        written = write_sequences(documents, plan, packing.members, LAYOUT, True)
        table = finished(
            documents, plan, packing.members, packing.first, written.ids, written.loss_mask, row_length, LAYOUT
        )
        best = min(best, time.process_time() - started)
    tokens = int(plan.length.sum())
    filled = tokens / (table.num_rows * row_length)
    speed = tokens / best / 1e6
    print(f"| {sampling} | {tokens / 1e6:.1f} M | {table.num_rows} | {filled:.3%} | {best:.2f} | {speed:.1f} M |")


if __name__ == "__main__":
    main()
