"""Packing: every sequence once and whole, rows nearly full, spans and positions that restart."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.data.packing import Spans, best_fit_decreasing, build_rows
from spelangy_model.records import PackedRow, from_table
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=100, codebook_size=50)


@given(st.lists(st.integers(1, 64), max_size=200))
def test_every_sequence_lies_whole_in_exactly_one_row(lengths: list[int]) -> None:
    rows = best_fit_decreasing(lengths, 64)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= 64 for row in rows)


def test_rows_are_nearly_full_on_documents_of_all_lengths() -> None:
    lengths = np.clip(np.random.default_rng(0).lognormal(6.0, 1.2, 20_000).astype(int), 8, 16_384)
    rows = best_fit_decreasing(lengths, 16_384)
    assert lengths.sum() / (len(rows) * 16_384) > 0.995


def one_by_one(lengths: list[int], row_length: int) -> list[list[int]]:
    """Best-fit decreasing as it is defined: a sequence at a time, over all rows."""
    rows: list[list[int]] = []
    taken: list[int] = []  # when a row was last added to
    for step, index in enumerate(sorted(range(len(lengths)), key=lambda index: -lengths[index])):
        rooms = [row_length - sum(lengths[member] for member in row) for row in rows]
        fitting = [row for row, room in enumerate(rooms) if room >= lengths[index]]
        if fitting:
            least = min(rooms[row] for row in fitting)
            row = max((row for row in fitting if rooms[row] == least), key=lambda row: taken[row])
            rows[row].append(index)
            taken[row] = step
        else:
            rows.append([index])
            taken.append(step)
    return rows


@given(st.lists(st.integers(1, 24), max_size=60))
def test_placing_equal_lengths_together_is_best_fit_decreasing(lengths: list[int]) -> None:
    assert [row.tolist() for row in best_fit_decreasing(lengths, 24)] == one_by_one(lengths, 24)


def test_best_fit_takes_the_fullest_row_that_has_room() -> None:
    assert [row.tolist() for row in best_fit_decreasing([6, 5, 4, 3, 2], 10)] == [[0, 2], [1, 3, 4]]


def test_a_sequence_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lengths must be 1\.\.10"):
        best_fit_decreasing([11], 10)


def test_rows_hold_their_spans_and_masked_padding() -> None:
    ids, loss_mask = np.array([100, 5, 101, 100, 6, 100, 7], np.int32), np.array([0, 1, 1, 0, 1, 0, 1], np.int8)
    spans = Spans(
        row=np.array([0, 0, 1]),
        length=np.array([3, 2, 2]),
        switches=np.array([0, 1, 0]),
        epoch=np.array([0, 2, 1]),
        document_id=pa.array(["a", "b", "c"]),
        source=pa.array(["web", "krist", "web"]),
        source_id=pa.array(["s", "t", "u"]),
    )
    table = build_rows(3, ["text", "speech_text"], spans, ids, loss_mask, 8, LAYOUT)
    first, second = from_table(table, PackedRow)
    assert (first.row, first.kind, second.row, second.kind) == (3, "text", 4, "speech_text")
    assert first.input_ids == [100, 5, 101, 100, 6, 104, 104, 104]
    assert first.position_ids == [0, 1, 2, 0, 1, 0, 1, 2]
    assert first.loss_mask == [0, 1, 1, 0, 1, 0, 0, 0]
    assert [(s.document_id, s.source, s.epoch, s.start, s.length, s.switches) for s in first.spans] == [
        ("a", "web", 0, 0, 3, 0),
        ("b", "krist", 2, 3, 2, 1),
    ]
    assert second.input_ids == [100, 7, 104, 104, 104, 104, 104, 104]
    assert second.position_ids == [0, 1, 0, 1, 2, 3, 4, 5]
    assert [(s.source_id, s.start) for s in second.spans] == [("u", 0)]
