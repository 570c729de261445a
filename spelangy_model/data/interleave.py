"""Interleaving: a document of (audio, text) chunks becomes one sequence of ids that changes modality.

Put here: which chunk is heard and which is read, the exact sequence format, and the loss mask. Do not put here:
which documents are drawn (mixture.py) or where they lie in a row (packing.py).

Source: "Data-Centric Lessons To Improve Speech-Language Pretraining". A document is X = {(A1,T1), ..., (An,Tn)}.
  deterministic  A1, T2, A3, T4, ...: n-1 switches
  stochastic     A1, then each chunk speech or text by a fair coin: (n-1)/2 switches expected
A chunk without codes is always read and one without text always heard; a chunk with neither is left out.

Format: `<bos>`, the chunks in order, `<eos>`. A run of neighbouring speech chunks stands between one
`<|speech_start|>` and one `<|speech_end|>`; text stands bare. Worked example, text_size 100 (so <bos> 100, <eos> 101,
speech_start 102, speech_end 103, pad 104, code c is 105 + c), chunks with codes [7, 8], [9], [3] and text ids
[20, 21], [30], [40], deterministic (A1, T2, A3):

    ids             100  102  112  113  103   30  102  108  103  101
    loss, all         0    1    1    1    1    1    1    1    1    1
    loss, text only   0    0    0    0    0    1    0    0    0    1

`<bos>` is never predicted. "Text only" is the paper's understanding-only loss: text and <eos> count; codes and the two
speech markers do not.

A document longer than a row is split between chunks: every piece begins with <bos>, only the last ends
with <eos>, and the choice of modality is that of the whole document. A single chunk that fits no row is left out
and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spelangy_model.records import TokenDocument
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.vocab import Layout

Sampling = Literal["deterministic", "stochastic"]


@dataclass(frozen=True)
class Interleaving:
    """How documents become sequences: literals that bear identity."""

    sampling: Sampling = "deterministic"
    loss_on_speech: bool = True

    def __post_init__(self) -> None:
        if self.sampling not in ("deterministic", "stochastic"):
            raise ValueError(f"sampling is deterministic or stochastic, not {self.sampling!r}")


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """A span of a training row. `ids` int32 and `loss_mask` int8 have one length; `switches` are changes of
    modality.
    """

    ids: np.ndarray
    loss_mask: np.ndarray
    switches: int


def choose_speech(document: TokenDocument, sampling: Sampling, epoch: int, seed: int) -> list[bool]:
    """Return, for each chunk, whether it is heard; a pure function of (document, sampling, epoch, seed).

    The stochastic coins depend on the document's id, its source, the epoch and the seed, so that any sequence can be
    made again alone, and each epoch hears other chunks.
    """
    count = len(document.chunks)
    if sampling == "deterministic":
        wanted: Sequence[bool] = [index % 2 == 0 for index in range(count)]
    else:
        coins = stable_rng(seed, "interleave", document.source, document.document_id, epoch).random(count) < 0.5
        wanted = [index == 0 or bool(coins[index]) for index in range(count)]
    return [
        bool(chunk.codes) and (speech or not chunk.text_ids)
        for speech, chunk in zip(wanted, document.chunks, strict=True)
    ]


def interleave(
    document: TokenDocument, layout: Layout, interleaving: Interleaving, epoch: int, seed: int
) -> TokenSequence:
    """Return the one whole sequence of a document, however long. Raises ValueError for a document without tokens."""
    sequences, _ = interleave_to_rows(document, layout, interleaving, epoch, seed, row_length=None)
    if not sequences:
        raise ValueError(f"document {document.document_id} of {document.source} has no tokens")
    return sequences[0]


def interleave_to_rows(
    document: TokenDocument,
    layout: Layout,
    interleaving: Interleaving,
    epoch: int,
    seed: int,
    row_length: int | None,
) -> tuple[list[TokenSequence], int]:
    """Return a document's sequences, each at most `row_length` positions, and the number of chunks that fit no row.

    Raises ValueError for a code or a text id that the layout does not have.
    """
    heard = choose_speech(document, interleaving.sampling, epoch, seed)
    chunks = [
        (speech, chunk.codes if speech else chunk.text_ids)
        for speech, chunk in zip(heard, document.chunks, strict=True)
        if chunk.codes or chunk.text_ids
    ]
    room = None if row_length is None else row_length - 2
    fitting = [item for item in chunks if room is None or len(item[1]) + 2 * item[0] <= room]
    pieces: list[list[tuple[bool, list[int]]]] = []
    used = 0
    for speech, tokens in fitting:
        joins = bool(pieces) and speech and pieces[-1][-1][0]
        cost = len(tokens) + (2 if speech and not joins else 0)
        if not pieces or (room is not None and used + cost > room):
            pieces.append([])
            used, cost = 0, len(tokens) + 2 * speech
        pieces[-1].append((speech, tokens))
        used += cost
    return [
        _sequence(piece, layout, interleaving.loss_on_speech, last=index == len(pieces) - 1, name=document.document_id)
        for index, piece in enumerate(pieces)
    ], len(chunks) - len(fitting)


def _sequence(
    chunks: list[tuple[bool, list[int]]], layout: Layout, loss_on_speech: bool, last: bool, name: str
) -> TokenSequence:
    ids: list[int] = [layout.bos]
    text_runs: list[tuple[int, int]] = []
    first_code = layout.first_code
    before: bool | None = None
    switches = 0
    for speech, tokens in chunks:
        if speech != before:
            if before:
                ids.append(layout.speech_end)
            if speech:
                ids.append(layout.speech_start)
            switches += before is not None
            before = speech
        begin = len(ids)
        if speech:
            if max(tokens) >= layout.codebook_size or min(tokens) < 0:
                raise ValueError(f"document {name} has a speech code outside 0..{layout.codebook_size - 1}")
            ids.extend([first_code + code for code in tokens])
        else:
            if max(tokens) >= layout.text_size or min(tokens) < 0:
                raise ValueError(f"document {name} has a text id outside 0..{layout.text_size - 1}")
            ids.extend(tokens)
            text_runs.append((begin, len(ids)))
    if before:
        ids.append(layout.speech_end)
    if last:
        ids.append(layout.eos)
    loss_mask = np.full(len(ids), loss_on_speech, np.int8)
    loss_mask[0] = 0
    for begin, end in text_runs:
        loss_mask[begin:end] = 1
    if last:
        loss_mask[-1] = 1
    return TokenSequence(np.array(ids, np.int32), loss_mask, switches)
