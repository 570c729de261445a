"""Interleaving: a document of (audio, text) chunks becomes one sequence of ids that changes modality.

Put here: which chunks are speech and which are text, the exact sequence format, and the loss mask. Do not put here:
the selection of documents (mixture.py) or their place in a row (packing.py).

Source: "Data-Centric Lessons To Improve Speech-Language Pretraining". A document is X = {(A1,T1), ..., (An,Tn)}.
  deterministic  A1, T2, A3, T4, ...: n-1 switches
  stochastic     A1, then each chunk speech or text by a fair coin: (n-1)/2 switches expected
A chunk without codes is always text and one without text always speech; a chunk with neither is left out.

Format: `<bos>`, the chunks in order, `<eos>`. A run of adjacent speech chunks is enclosed by one `<|speech_start|>` and
one `<|speech_end|>`; text has no markers. Worked example, text_size 100 (so <bos> 100, <eos> 101, speech_start 102,
speech_end 103, pad 104, code c is 105 + c), chunks with codes [7, 8], [9], [3] and text ids [20, 21], [30], [40],
deterministic (A1, T2, A3):

    ids             100  102  112  113  103   30  102  108  103  101
    loss, all         0    1    1    1    1    1    1    1    1    1
    loss, text only   0    0    0    0    0    1    0    0    0    1

`<bos>` is never predicted. "Text only" is the paper's understanding-only loss: text and <eos> count; codes and the two
speech markers do not.

Documents are processed shard by shard: `plan_sequences` returns the sequences and their lengths, `write_sequences`
writes the requested ones, in any order. `interleave` does both for one document.

A document longer than a row is split between chunks: every piece begins with <bos>, only the last ends
with <eos>, and the modalities are drawn for the whole document. A single chunk longer than a row is left out
and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spelangy_model.data.documents import DocumentArrays, arrays_of_records, ranges
from spelangy_model.records import TokenDocument
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.vocab import Layout

Sampling = Literal["deterministic", "stochastic"]


@dataclass(frozen=True)
class Interleaving:
    """How documents become sequences; these parameters belong to the identity."""

    sampling: Sampling = "deterministic"
    loss_on_speech: bool = True

    def __post_init__(self) -> None:
        if self.sampling not in ("deterministic", "stochastic"):
            raise ValueError(f"sampling is deterministic or stochastic, not {self.sampling!r}")


@dataclass(frozen=True, eq=False)
class SequencePlan:
    """The sequences of some documents, planned before their tokens are written.

    One entry for each sequence, in the order of the documents: the document, its length in positions, its switches of
    modality, whether it is its document's last, and whether any position counts in the loss. `chunk`, `is_speech` and
    `sequence` have one entry for each chunk that is used; `chunks_too_long` one for each document.
    """

    document: np.ndarray
    length: np.ndarray
    switches: np.ndarray
    last: np.ndarray
    teaches: np.ndarray
    chunk: np.ndarray
    is_speech: np.ndarray
    sequence: np.ndarray
    chunks_too_long: np.ndarray

    def __len__(self) -> int:
        return len(self.document)


@dataclass(frozen=True, eq=False)
class Sequences:
    """Written sequences end to end: `ids` int32, `loss_mask` int8; sequence i is first[i] .. first[i + 1] - 1."""

    ids: np.ndarray
    loss_mask: np.ndarray
    first: np.ndarray


def choose_speech(documents: DocumentArrays, sampling: Sampling, epoch: int, seed: int) -> np.ndarray:
    """Return, for each chunk, whether it is speech; a pure function of (document, sampling, epoch, seed).

    The stochastic coins depend on the document's id, the epoch and the seed, so that any sequence can be
    reproduced alone, and each epoch draws other chunks.
    """
    first, counts = documents.first_chunk[:-1], np.diff(documents.first_chunk)
    index = ranges(np.zeros_like(first), counts)
    if sampling == "deterministic":
        wanted = index % 2 == 0
    else:
        coins = [
            stable_rng(seed, "interleave", document_id, epoch).random(count)
            for document_id, count in zip(documents.document_ids.to_pylist(), counts.tolist(), strict=True)
        ]
        wanted = (index == 0) | (np.concatenate([*coins, np.empty(0)]) < 0.5)
    return (np.diff(documents.first_code) > 0) & (wanted | (np.diff(documents.first_text) == 0))


def plan_sequences(
    documents: DocumentArrays, interleaving: Interleaving, epoch: int, seed: int, row_length: int | None
) -> SequencePlan:
    """Return the sequences of documents, each at most `row_length` positions (None: one for each document)."""
    is_speech = choose_speech(documents, interleaving.sampling, epoch, seed)
    tokens = np.where(is_speech, np.diff(documents.first_code), np.diff(documents.first_text))
    owner = np.repeat(np.arange(len(documents)), np.diff(documents.first_chunk))
    room = np.iinfo(np.int64).max // 2 if row_length is None else row_length - 2
    fits = tokens + 2 * is_speech <= room
    chunks_too_long = np.bincount(owner[~fits], minlength=len(documents))
    chunk = np.flatnonzero(fits & (tokens > 0))
    is_speech, tokens, owner = is_speech[chunk], tokens[chunk], owner[chunk]
    begins = np.diff(owner, prepend=-1) != 0
    joins = is_speech & np.concatenate([[False], is_speech[:-1]]) & ~begins
    cost = tokens + 2 * (is_speech & ~joins)
    document_begins = np.flatnonzero(begins)
    if len(chunk):
        sums = np.add.reduceat(cost, document_begins)
        ends = np.append(document_begins[1:], len(chunk))
        for place in np.flatnonzero(sums > room).tolist():
            _split(begins, int(document_begins[place]), int(ends[place]), is_speech, tokens, room)
    joins &= ~begins
    sequence = np.cumsum(begins) - 1
    count = int(begins.sum())
    document = owner[begins]
    last = np.diff(document, append=-1) != 0
    after = np.concatenate([[False], is_speech[:-1]])
    reads = np.bincount(sequence[~is_speech], minlength=count) > 0
    return SequencePlan(
        document=document,
        length=np.bincount(sequence, tokens + 2 * (is_speech & ~joins), count).astype(np.int64) + 1 + last,
        switches=np.bincount(sequence[(is_speech != after) & ~begins], minlength=count),
        last=last,
        teaches=np.ones(count, bool) if interleaving.loss_on_speech else reads | last,
        chunk=chunk,
        is_speech=is_speech,
        sequence=sequence,
        chunks_too_long=chunks_too_long,
    )


def _split(begins: np.ndarray, first: int, end: int, is_speech: np.ndarray, tokens: np.ndarray, room: int) -> None:
    """Mark where the pieces of one long document begin."""
    used, before = 0, False
    for index in range(first, end):
        speech, count = bool(is_speech[index]), int(tokens[index])
        cost = count + (2 if speech and not before else 0)
        if index > first and used + cost > room:
            begins[index] = True
            used, cost = 0, count + 2 * speech
        used += cost
        before = speech


def write_sequences(
    documents: DocumentArrays, plan: SequencePlan, wanted: np.ndarray, layout: Layout, loss_on_speech: bool
) -> Sequences:
    """Return the sequences with the numbers `wanted`, in that order.

    Raises ValueError, naming the document, for a code or a text id that the layout does not have.
    """
    _check(documents, documents.codes, documents.first_code, layout.codebook_size, "speech code")
    _check(documents, documents.text_ids, documents.first_text, layout.text_size, "text id")
    lengths = plan.length[wanted]
    first = np.zeros(len(wanted) + 1, np.int64)
    np.cumsum(lengths, out=first[1:])
    # The chunks of the wanted sequences, in their order, and where each one's tokens begin.
    ends = np.append(np.flatnonzero(np.diff(plan.sequence, prepend=-1)), len(plan.sequence))
    starts, counts = ends[:-1][wanted], np.diff(ends)[wanted]
    part = ranges(starts, counts)
    owner = np.repeat(np.arange(len(wanted)), counts)
    chunk, is_speech = plan.chunk[part], plan.is_speech[part]
    begins = np.diff(owner, prepend=-1) != 0
    opens = is_speech & (begins | ~np.concatenate([[False], is_speech[:-1]]))
    closes = is_speech & ~np.concatenate([opens[1:] ^ is_speech[1:], [False]])
    code_start, text_start = documents.first_code[chunk], documents.first_text[chunk]
    code_end, text_end = documents.first_code[chunk + 1], documents.first_text[chunk + 1]
    tokens = np.where(is_speech, code_end - code_start, text_end - text_start)
    cost = tokens + opens + closes
    before = np.cumsum(cost) - cost
    place = before - before[np.flatnonzero(begins)][owner] + first[:-1][owner] + 1 + opens

    ids = np.empty(first[-1], np.int32)
    loss_mask = np.full(first[-1], loss_on_speech, np.int8)
    ids[first[:-1]] = layout.bos
    loss_mask[first[:-1]] = 0
    ids[place[opens] - 1] = layout.speech_start
    ids[(place + tokens)[closes]] = layout.speech_end
    spoken = ranges(code_start[is_speech], tokens[is_speech])
    ids[ranges(place[is_speech], tokens[is_speech])] = documents.codes[spoken] + np.int32(layout.first_code)
    reads = ranges(place[~is_speech], tokens[~is_speech])
    ids[reads] = documents.text_ids[ranges(text_start[~is_speech], tokens[~is_speech])]
    loss_mask[reads] = 1
    ending = (first[1:] - 1)[plan.last[wanted]]
    ids[ending] = layout.eos
    loss_mask[ending] = 1
    return Sequences(ids, loss_mask, first)


def _check(documents: DocumentArrays, values: np.ndarray, first: np.ndarray, size: int, what: str) -> None:
    if not len(values) or (values.min() >= 0 and values.max() < size):
        return
    place = int(np.flatnonzero((values < 0) | (values >= size))[0])
    chunk = int(np.searchsorted(first, place, side="right")) - 1
    document = int(np.searchsorted(documents.first_chunk, chunk, side="right")) - 1
    name = documents.document_ids[document].as_py()
    raise ValueError(f"document {name} has a {what} outside 0..{size - 1}")


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """One sequence: `ids` int32 and `loss_mask` int8 of one length, and its changes of modality."""

    ids: np.ndarray
    loss_mask: np.ndarray
    switches: int


def interleave(
    document: TokenDocument,
    layout: Layout,
    interleaving: Interleaving,
    epoch: int,
    seed: int,
    row_length: int | None = None,
) -> list[TokenSequence]:
    """Return the sequences of one document: one, however long, or as many as it takes for rows of `row_length`."""
    arrays = arrays_of_records([document])
    plan = plan_sequences(arrays, interleaving, epoch, seed, row_length)
    written = write_sequences(arrays, plan, np.arange(len(plan)), layout, interleaving.loss_on_speech)
    spans = [slice(written.first[i], written.first[i + 1]) for i in range(len(plan))]
    return [
        TokenSequence(written.ids[span], written.loss_mask[span], int(switches))
        for span, switches in zip(spans, plan.switches, strict=True)
    ]
