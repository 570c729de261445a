"""Packing: sequences of any length share rows of one length, without being cut.

Put here: the assignment of sequences to rows, and the rows' arrays. Do not put here: the drawing of documents
(mixture.py) or the attention mask (lm/masks.py).

Source: best-fit decreasing bin packing, as in "Fewer Truncations Improve Language Modeling" (Ding et al., 2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from spelangy_model.data.documents import ranges
from spelangy_model.records import PackedRow, schema_of
from spelangy_model.tokenizer.vocab import Layout


@dataclass(frozen=True, eq=False)
class Packing:
    """Row r holds the sequences members[first[r]] .. members[first[r + 1] - 1], in that order."""

    members: np.ndarray
    first: np.ndarray

    def __len__(self) -> int:
        return len(self.first) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.members[begin:end] for begin, end in zip(self.first[:-1], self.first[1:], strict=True))


def best_fit_decreasing(lengths: Sequence[int] | np.ndarray, row_length: int) -> Packing:
    """Return rows of indices into `lengths`; each row's lengths sum to at most `row_length`.

    Longest first, each into the fullest row that still has room (equal lengths in their given order, equal rooms
    oldest last). Every index occurs exactly once. Sequences of one length that meet rows of one room are placed
    together, so the loop runs over lengths and rooms, not over sequences. Raises ValueError for a length below 1
    or above row_length.
    """
    sizes = np.asarray(lengths, np.int64)
    if sizes.size and (sizes.min() < 1 or sizes.max() > row_length):
        raise ValueError(f"lengths must be 1..{row_length}, got {sizes.min()}..{sizes.max()}")
    order = np.argsort(-sizes, kind="stable")
    row_of = np.empty(len(sizes), np.int64)
    by_room: list[list[np.ndarray]] = [[] for _ in range(row_length + 1)]  # stacks of rows with exactly that room left
    rooms = 0  # bit r is set when a row has exactly r positions left
    rows = placed = 0
    for size, count in zip(*(part.tolist() for part in _runs(sizes[order])), strict=True):
        left = count
        while left:
            fitting = rooms >> size
            room = size + (fitting & -fitting).bit_length() - 1 if fitting else row_length
            each = room // size  # a row that was taken is the fullest until this length no longer fits it
            wanted = -(-left // each)
            if fitting:
                taken = _pop(by_room[room], wanted)
                if not by_room[room]:
                    rooms ^= 1 << room
            else:
                taken = np.arange(rows, rows + wanted)
                rows += wanted
            here = min(left, each * len(taken))
            row_of[placed : placed + here] = np.repeat(taken, each)[:here]
            placed, left = placed + here, left - here
            full, rest = divmod(here, each)
            for group, used in ((taken[:full], each), (taken[full:], rest)):
                remaining = room - used * size
                if len(group) and remaining:
                    by_room[remaining].append(group)
                    rooms |= 1 << remaining
    by_row = np.argsort(row_of, kind="stable")
    first = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(row_of, minlength=rows), out=first[1:])
    return Packing(order[by_row], first)


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of runs of equal neighbours, and the runs' lengths."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return values[starts], np.diff(starts, append=len(values))


def _pop(stack: list[np.ndarray], count: int) -> np.ndarray:
    """Take up to `count` rows from the top of a stack, the top first."""
    parts: list[np.ndarray] = []
    while count and stack:
        top = stack.pop()
        parts.append(top[::-1][:count])
        if len(top) > count:
            stack.append(top[: len(top) - count])
        count -= len(parts[-1])
    return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class Spans:
    """The content of some rows, span by span in the order of rows and starts.

    Arrays with one entry for each span: its row (from 0), its length in positions, its switches and epoch; Arrow
    columns for the document's id, the source's name and the source's id.
    """

    row: np.ndarray
    length: np.ndarray
    switches: np.ndarray
    epoch: np.ndarray
    document_id: pa.Array
    source: pa.Array
    source_id: pa.Array

    @property
    def start(self) -> np.ndarray:
        """The first position of each span in its row."""
        before = np.cumsum(self.length) - self.length
        return before - before[np.searchsorted(self.row, self.row)]


def build_rows(
    first_row: int,
    kinds: Sequence[str],
    spans: Spans,
    ids: np.ndarray,
    loss_mask: np.ndarray,
    row_length: int,
    layout: Layout,
) -> pa.Table:
    """Return rows of exactly `row_length` positions as a table of PackedRow, numbered from `first_row`.

    `ids` and `loss_mask` hold the spans end to end. Position ids restart at every span. The rest of a row is <pad> with
    a loss mask of 0; its position ids restart too, so that no document attends to it.
    """
    rows, start = len(kinds), spans.start
    place = ranges(spans.row * row_length + start, spans.length)
    all_ids = np.full(rows * row_length, layout.pad, np.int32)
    masks = np.zeros(rows * row_length, np.int8)
    all_ids[place], masks[place] = ids, loss_mask
    used = np.bincount(spans.row, spans.length, rows).astype(np.int64)
    positions = np.empty(rows * row_length, np.int32)
    positions[place] = ranges(np.zeros_like(start), spans.length)
    padding = row_length - used
    positions[ranges(np.arange(rows) * row_length + used, padding)] = ranges(np.zeros_like(padding), padding)
    schema = schema_of(PackedRow)
    span_type: Any = schema.field("spans").type.value_type
    int32 = pa.int32()
    columns = [
        spans.document_id,
        spans.source,
        spans.source_id,
        *(pa.array(part, int32) for part in (spans.epoch, start, spans.length, spans.switches)),
    ]
    members = pa.StructArray.from_arrays(columns, fields=list(span_type))
    ends = np.searchsorted(spans.row, np.arange(rows + 1)).astype(np.int32)
    even = np.arange(rows + 1, dtype=np.int32) * row_length
    values: list[pa.Array] = [
        pa.array(np.arange(first_row, first_row + rows), int32),
        pa.array(kinds, pa.string()),
        *(
            pa.ListArray.from_arrays(pa.array(even), pa.array(part), type=schema.field(name).type)
            for name, part in (("input_ids", all_ids), ("position_ids", positions), ("loss_mask", masks))
        ),
        pa.ListArray.from_arrays(pa.array(ends), members, type=schema.field("spans").type),
    ]
    return pa.Table.from_arrays(values, schema=schema)
