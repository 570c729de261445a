"""Interleaving: the exact format, the switches of both samplings, the loss mask, and long documents."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.data.interleave import Interleaving, choose_speech, interleave, interleave_to_rows
from spelangy_model.records import TokenChunk, TokenDocument
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=100, codebook_size=50)
ALL, TEXT_ONLY = Interleaving("deterministic", True), Interleaving("deterministic", False)


def document(*chunks: tuple[list[int], list[int]], name: str = "d") -> TokenDocument:
    return TokenDocument(name, "web", "s", "", "", [TokenChunk("speech", codes, text) for codes, text in chunks])


def long_document(count: int, name: str = "d") -> TokenDocument:
    return document(*(([i % 50] * 3, [i % 100] * 2) for i in range(count)), name=name)


EXAMPLE = document(([7, 8], [20, 21]), ([9], [30]), ([3], [40]))


def test_the_worked_example_of_the_documentation() -> None:
    sequence = interleave(EXAMPLE, LAYOUT, ALL, epoch=0, seed=0)
    assert sequence.ids.tolist() == [100, 102, 112, 113, 103, 30, 102, 108, 103, 101]
    assert sequence.loss_mask.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert sequence.switches == 2
    masked = interleave(EXAMPLE, LAYOUT, TEXT_ONLY, epoch=0, seed=0)
    assert masked.loss_mask.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert masked.ids.tolist() == sequence.ids.tolist()


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_deterministic_sampling_switches_between_all_chunks(count: int) -> None:
    assert interleave(long_document(count), LAYOUT, ALL, 0, 0).switches == count - 1


def test_stochastic_sampling_switches_half_as_often_and_begins_with_speech() -> None:
    count, documents = 21, 1000
    stochastic = Interleaving("stochastic")
    sequences = [interleave(long_document(count, f"d{i}"), LAYOUT, stochastic, 0, 0) for i in range(documents)]
    mean = np.mean([sequence.switches for sequence in sequences])
    standard_error = np.sqrt((count - 1) / 4 / documents)
    assert abs(mean - (count - 1) / 2) < 4 * standard_error
    assert all(sequence.ids[1] == LAYOUT.speech_start for sequence in sequences)


def test_coins_depend_on_document_epoch_and_seed_alone() -> None:
    choose = [choose_speech(long_document(64, d), "stochastic", e, s) for d, e, s in (("a", 0, 0), ("a", 0, 0))]
    assert choose[0] == choose[1]
    for other in (("b", 0, 0), ("a", 1, 0), ("a", 0, 1)):
        assert choose_speech(long_document(64, other[0]), "stochastic", other[1], other[2]) != choose[0]


def test_neighbouring_speech_chunks_share_one_pair_of_markers() -> None:
    sequence = interleave(document(([1], []), ([2], []), ([3], [4])), LAYOUT, ALL, 0, 0)
    assert sequence.ids.tolist() == [100, 102, 106, 107, 108, 103, 101]
    assert sequence.switches == 0


def test_text_only_documents_are_bos_text_eos() -> None:
    sequence = interleave(document(([], [1, 2]), ([], [3])), LAYOUT, TEXT_ONLY, 0, 0)
    assert sequence.ids.tolist() == [100, 1, 2, 3, 101]
    assert sequence.loss_mask.tolist() == [0, 1, 1, 1, 1]


@given(st.integers(1, 40), st.integers(9, 60), st.sampled_from(["deterministic", "stochastic"]))
def test_a_long_document_is_split_between_chunks_without_losing_any(count: int, row_length: int, sampling: str) -> None:
    interleaving = Interleaving(sampling, True)  # type: ignore[arg-type]
    whole = interleave(long_document(count), LAYOUT, interleaving, 0, 0)
    pieces, left_out = interleave_to_rows(long_document(count), LAYOUT, interleaving, 0, 0, row_length)
    assert left_out == 0
    markers = [LAYOUT.bos, LAYOUT.eos, LAYOUT.speech_start, LAYOUT.speech_end]
    joined = np.concatenate([piece.ids for piece in pieces])
    assert joined[~np.isin(joined, markers)].tolist() == whole.ids[~np.isin(whole.ids, markers)].tolist()
    assert all(len(piece.ids) <= row_length and piece.ids[0] == LAYOUT.bos for piece in pieces)
    assert [piece.ids[-1] == LAYOUT.eos for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_a_chunk_that_fits_no_row_is_counted() -> None:
    pieces, left_out = interleave_to_rows(document(([1] * 30, [2]), ([1], [3])), LAYOUT, ALL, 0, 0, 16)
    assert left_out == 1
    assert [piece.ids.tolist() for piece in pieces] == [[100, 3, 101]]


def test_ids_outside_the_layout_are_refused() -> None:
    with pytest.raises(ValueError, match=r"document d has a speech code outside 0\.\.49"):
        interleave(document(([50], [1])), LAYOUT, ALL, 0, 0)
    with pytest.raises(ValueError, match=r"text id outside 0\.\.99"):
        interleave(document(([], [100])), LAYOUT, ALL, 0, 0)
    with pytest.raises(ValueError, match="has no tokens"):
        interleave(document(), LAYOUT, ALL, 0, 0)
