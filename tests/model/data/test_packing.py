"""Packing: every sequence once and whole, rows nearly full, spans and positions that restart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.data.interleave import TokenSequence
from spelangy_model.data.packing import best_fit_decreasing, build_row
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


def test_best_fit_takes_the_fullest_row_that_has_room() -> None:
    assert best_fit_decreasing([6, 5, 4, 3, 2], 10) == [[0, 2], [1, 3, 4]]


def test_a_sequence_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lengths must be 1\.\.10"):
        best_fit_decreasing([11], 10)


def test_a_row_holds_its_spans_and_masked_padding() -> None:
    first = TokenSequence(np.array([100, 5, 101], np.int32), np.array([0, 1, 1], np.int8), 0)
    second = TokenSequence(np.array([100, 6], np.int32), np.array([0, 1], np.int8), 1)
    row = build_row(3, "text", [(first, "a", "web", "s", 0), (second, "b", "krist", "t", 2)], 8, LAYOUT)
    assert row.input_ids == [100, 5, 101, 100, 6, 104, 104, 104]
    assert row.position_ids == [0, 1, 2, 0, 1, 0, 1, 2]
    assert row.loss_mask == [0, 1, 1, 0, 1, 0, 0, 0]
    assert [(s.document_id, s.source, s.epoch, s.start, s.length, s.switches) for s in row.spans] == [
        ("a", "web", 0, 0, 3, 0),
        ("b", "krist", 2, 3, 2, 1),
    ]
