"""Packing: sequences of any length share rows of one length, without being cut.

Put here: which sequence goes into which row, and the row's arrays. Do not put here: the drawing of documents
(mixture.py) or the attention mask (lm/masks.py).

Source: best-fit decreasing bin packing, as in "Fewer Truncations Improve Language Modeling" (Ding et al., 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spelangy_model.data.interleave import TokenSequence
from spelangy_model.records import PackedRow, RowSpan
from spelangy_model.tokenizer.vocab import Layout


def best_fit_decreasing(lengths: Sequence[int] | np.ndarray, row_length: int) -> list[list[int]]:
    """Return rows as lists of indices into `lengths`; each row's lengths sum to at most `row_length`.

    Longest first, each into the fullest row that still has room (equal lengths in their given order, equal rooms
    oldest last). Every index occurs exactly once. O(n) for n sequences: rows are found by their room in a
    bit set. Raises ValueError for a length below 1 or above row_length.
    """
    sizes = np.asarray(lengths, np.int64)
    if sizes.size and (sizes.min() < 1 or sizes.max() > row_length):
        raise ValueError(f"lengths must be 1..{row_length}, got {sizes.min()}..{sizes.max()}")
    rows: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(row_length + 1)]
    rooms = 0  # bit r is set when a row has exactly r positions left
    for index in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[index])
        fitting = rooms >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            row = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
            rows[row].append(index)
        else:
            room, row = row_length, len(rows)
            rows.append([index])
        left = room - size
        if left:
            by_room[left].append(row)
            rooms |= 1 << left
    return rows


def build_row(
    row: int,
    kind: str,
    members: Sequence[tuple[TokenSequence, str, str, str, int]],
    row_length: int,
    layout: Layout,
) -> PackedRow:
    """Return one row of exactly `row_length` positions from (sequence, document_id, source, source_id, epoch) members.

    Position ids restart at every span. What is left is <pad> with a loss mask of 0; its position ids restart too,
    so that no document sees it.
    """
    ids = np.full(row_length, layout.pad, np.int32)
    positions = np.empty(row_length, np.int32)
    loss_mask = np.zeros(row_length, np.int8)
    spans: list[RowSpan] = []
    start = 0
    for sequence, document_id, source, source_id, epoch in members:
        end = start + len(sequence.ids)
        ids[start:end] = sequence.ids
        positions[start:end] = np.arange(end - start)
        loss_mask[start:end] = sequence.loss_mask
        spans.append(RowSpan(document_id, source, source_id, epoch, start, end - start, sequence.switches))
        start = end
    positions[start:] = np.arange(row_length - start)
    return PackedRow(row, kind, ids.tolist(), positions.tolist(), loss_mask.tolist(), spans)
