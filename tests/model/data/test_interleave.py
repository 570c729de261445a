"""Interleaving: the exact format, the switches of both samplings, the loss mask, and long documents."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.data.documents import arrays_of_records, document_arrays
from spelangy_model.data.interleave import Interleaving, choose_speech, interleave, plan_sequences, write_sequences
from spelangy_model.records import TokenChunk, TokenDocument, to_table
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=100, codebook_size=50)
ALL, TEXT_ONLY = Interleaving("deterministic", True), Interleaving("deterministic", False)


def document(*chunks: tuple[list[int], list[int]], name: str = "d") -> TokenDocument:
    return TokenDocument(name, "s", "", "", [TokenChunk("speech", codes, text) for codes, text in chunks])


def long_document(count: int, name: str = "d") -> TokenDocument:
    return document(*(([i % 50] * 3, [i % 100] * 2) for i in range(count)), name=name)


EXAMPLE = document(([7, 8], [20, 21]), ([9], [30]), ([3], [40]))


def test_the_worked_example_of_the_documentation() -> None:
    (sequence,) = interleave(EXAMPLE, LAYOUT, ALL, epoch=0, seed=0)
    assert sequence.ids.tolist() == [100, 102, 112, 113, 103, 30, 102, 108, 103, 101]
    assert sequence.loss_mask.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert sequence.switches == 2
    (masked,) = interleave(EXAMPLE, LAYOUT, TEXT_ONLY, epoch=0, seed=0)
    assert masked.loss_mask.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert masked.ids.tolist() == sequence.ids.tolist()


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_deterministic_sampling_switches_between_all_chunks(count: int) -> None:
    assert interleave(long_document(count), LAYOUT, ALL, 0, 0)[0].switches == count - 1


def test_stochastic_sampling_switches_half_as_often_and_begins_with_speech() -> None:
    count, documents = 21, 500
    stochastic = Interleaving("stochastic")
    sequences = [interleave(long_document(count, f"d{i}"), LAYOUT, stochastic, 0, 0)[0] for i in range(documents)]
    mean = np.mean([sequence.switches for sequence in sequences])
    standard_error = np.sqrt((count - 1) / 4 / documents)
    assert abs(mean - (count - 1) / 2) < 4 * standard_error
    assert all(sequence.ids[1] == LAYOUT.speech_start for sequence in sequences)


def test_coins_depend_on_document_epoch_and_seed_alone() -> None:
    def spoken(name: str, epoch: int, seed: int) -> list[bool]:
        return choose_speech(arrays_of_records([long_document(64, name)]), "stochastic", epoch, seed).tolist()

    assert spoken("a", 0, 0) == spoken("a", 0, 0)
    for other in (("b", 0, 0), ("a", 1, 0), ("a", 0, 1)):
        assert spoken(*other) != spoken("a", 0, 0)
    together = arrays_of_records([long_document(3, "c"), long_document(64, "a")])
    assert choose_speech(together, "stochastic", 0, 0)[3:].tolist() == spoken("a", 0, 0)


def test_neighbouring_speech_chunks_share_one_pair_of_markers() -> None:
    (sequence,) = interleave(document(([1], []), ([2], []), ([3], [4])), LAYOUT, ALL, 0, 0)
    assert sequence.ids.tolist() == [100, 102, 106, 107, 108, 103, 101]
    assert sequence.switches == 0


def test_text_only_documents_are_bos_text_eos() -> None:
    (sequence,) = interleave(document(([], [1, 2]), ([], [3])), LAYOUT, TEXT_ONLY, 0, 0)
    assert sequence.ids.tolist() == [100, 1, 2, 3, 101]
    assert sequence.loss_mask.tolist() == [0, 1, 1, 1, 1]


@given(st.integers(1, 40), st.integers(9, 60), st.sampled_from(["deterministic", "stochastic"]))
def test_a_long_document_is_split_between_chunks_without_losing_any(count: int, row_length: int, sampling: str) -> None:
    interleaving = Interleaving(sampling, True)  # type: ignore[arg-type]
    (whole,) = interleave(long_document(count), LAYOUT, interleaving, 0, 0)
    pieces = interleave(long_document(count), LAYOUT, interleaving, 0, 0, row_length)
    markers = [LAYOUT.bos, LAYOUT.eos, LAYOUT.speech_start, LAYOUT.speech_end]
    joined = np.concatenate([piece.ids for piece in pieces])
    assert joined[~np.isin(joined, markers)].tolist() == whole.ids[~np.isin(whole.ids, markers)].tolist()
    assert all(len(piece.ids) <= row_length and piece.ids[0] == LAYOUT.bos for piece in pieces)
    assert [piece.ids[-1] == LAYOUT.eos for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_a_chunk_that_fits_no_row_is_counted() -> None:
    giant = document(([1] * 30, [2]), ([1], [3]))
    plan = plan_sequences(arrays_of_records([EXAMPLE, giant]), ALL, 0, 0, 16)
    assert plan.chunks_too_long.tolist() == [0, 1]
    assert [piece.ids.tolist() for piece in interleave(giant, LAYOUT, ALL, 0, 0, 16)] == [[100, 3, 101]]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.integers(9, 40), st.booleans())
def test_sequences_are_the_same_written_together_in_any_order_and_alone(
    sizes: list[int], row_length: int, loss_on_speech: bool
) -> None:
    interleaving = Interleaving("stochastic", loss_on_speech)
    documents = [
        document(*(([i % 50] * (k % 4), [k] * (1 + k % 3)) for k in range(size)), name=f"d{i}")
        for i, size in enumerate(sizes)
    ]
    arrays = arrays_of_records(documents)
    plan = plan_sequences(arrays, interleaving, 1, 2, row_length)
    alone = [part for one in documents for part in interleave(one, LAYOUT, interleaving, 1, 2, row_length)]
    assert plan.length.tolist() == [len(part.ids) for part in alone]
    assert plan.switches.tolist() == [part.switches for part in alone]
    assert plan.teaches.tolist() == [bool(part.loss_mask.any()) for part in alone]
    order = np.arange(len(plan))[::-1]
    written = write_sequences(arrays, plan, order, LAYOUT, loss_on_speech)
    expected = [alone[index] for index in order]
    assert written.ids.tolist() == [token for part in expected for token in part.ids.tolist()]
    assert written.loss_mask.tolist() == [mask for part in expected for mask in part.loss_mask.tolist()]


def test_ids_outside_the_layout_are_refused() -> None:
    with pytest.raises(ValueError, match=r"document d has a speech code outside 0\.\.49"):
        interleave(document(([50], [1])), LAYOUT, ALL, 0, 0)
    with pytest.raises(ValueError, match=r"text id outside 0\.\.99"):
        interleave(document(([], [100])), LAYOUT, ALL, 0, 0)
    assert interleave(document(), LAYOUT, ALL, 0, 0) == []


def test_a_slice_of_a_table_is_its_own_documents() -> None:
    documents = [long_document(3, "a"), EXAMPLE, long_document(2, "b")]
    sliced = document_arrays(to_table(documents, TokenDocument).slice(1, 1))
    alone = arrays_of_records([EXAMPLE])
    assert sliced.codes.tolist() == alone.codes.tolist()
    assert sliced.first_text.tolist() == alone.first_text.tolist()
    assert sliced.document_ids.to_pylist() == ["d"]
