"""Reading packed rows back, in order, as arrays.

Put here: reading a mix's Parquet shards into batches of arrays. Do not put here: tensors, devices, or the assignment
to processes (train/).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of one optimizer step. Arrays are (rows, row_length); `source_tokens` counts the positions of each
    source, `lengths` are those of all sequences, padding left out.
    """

    input_ids: np.ndarray
    position_ids: np.ndarray
    loss_mask: np.ndarray
    source_tokens: dict[str, int]
    lengths: np.ndarray


class RowReader:
    """The rows of a mix in training order, over its shards in the given order; one shard is held at a time.

    Raises FileNotFoundError or ValueError, naming the shard, for a shard that is missing or holds no rows.
    """

    _COLUMNS = ("input_ids", "position_ids", "loss_mask", "spans")

    def __init__(self, shards: Sequence[Path]):
        self.shards = [Path(shard) for shard in shards]
        counts = [pq.read_metadata(shard).num_rows for shard in self.shards]
        for shard, count in zip(self.shards, counts, strict=True):
            if count == 0:
                raise ValueError(f"{shard} holds no rows; build the mix again")
        if not counts:
            raise ValueError("a run needs at least one shard of packed rows")
        self._ends = np.cumsum(counts)
        self._held = -1
        self._arrays: tuple[np.ndarray, np.ndarray, np.ndarray, list[list[dict]]] | None = None

    def __len__(self) -> int:
        return int(self._ends[-1])

    def batch(self, first_row: int, rows: int) -> Batch:
        """Return `rows` rows from `first_row` on; after the last row the first follows again (a new epoch)."""
        picked = [self._row((first_row + offset) % len(self)) for offset in range(rows)]
        sources: Counter[str] = Counter()
        every = [span for *_, spans in picked for span in spans]
        for span in every:
            sources[span["source"]] += span["length"]
        ids, positions, masks, _ = zip(*picked, strict=True)
        lengths = np.array([span["length"] for span in every])
        return Batch(np.stack(ids), np.stack(positions), np.stack(masks), dict(sorted(sources.items())), lengths)

    def _row(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        shard = int(np.searchsorted(self._ends, row, side="right"))
        if shard != self._held or self._arrays is None:
            self._arrays, self._held = self._read(shard), shard
        offset = row - (int(self._ends[shard - 1]) if shard else 0)
        ids, positions, masks, spans = self._arrays
        return ids[offset], positions[offset], masks[offset], spans[offset]

    def _read(self, shard: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[list[dict]]]:
        table = pq.read_table(self.shards[shard], columns=list(self._COLUMNS)).combine_chunks()
        arrays = []
        for name in self._COLUMNS[:3]:
            column = table.column(name).combine_chunks()
            lengths = np.diff(column.offsets.to_numpy())
            if len(set(lengths.tolist())) != 1:
                raise ValueError(f"{self.shards[shard]}: rows of {name} have different lengths {set(lengths.tolist())}")
            arrays.append(column.flatten().to_numpy().reshape(table.num_rows, -1))
        ids, positions, masks = arrays
        return ids, positions, masks, table.column("spans").to_pylist()
