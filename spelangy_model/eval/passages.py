"""The loss of a speech language model on the next sentence of a talk, after spoken or written sentences.

Put here: the rows of a passage and the loss of its sentences. Do not put here: metrics or records of a run. The formats
are those of the training sequences (data/interleave.py), spoken sentences in a row between one pair of speech markers,
each sentence encoded alone, with one space before it. After k = 1, 2, ... sentences the next one, T, is scored as text:

    alone    <bos> | T
    spoken   <bos> <|speech_start|> codes of k sentences <|speech_end|> | T
    written  <bos> k sentences | T

`swapped` is `spoken` with the codes of another passage. All k are one row: the speech is a trunk, from which
`<|speech_end|>` and T branch off after each sentence (multiple_choice.BranchedRow), so that it is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from spelangy_model.eval.multiple_choice import BranchedRow, hidden_by_row
from spelangy_model.lm.forward import logits
from spelangy_model.tokenizer.text import encode_texts
from spelangy_model.tokenizer.vocab import Layout

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class TokenizedPassage:
    """A tokenized passage: the codes of each spoken sentence, and all sentences as text, one more than are spoken."""

    codes: tuple[tuple[int, ...], ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Losses:
    """Nats of the next sentence, summed over its `tokens`; entry k - 1 of each list is after k sentences."""

    tokens: list[int]
    alone: list[float]
    spoken: list[float]
    written: list[float]
    swapped: list[float]


@torch.inference_mode()
def passage_losses(
    model: Any, layout: Layout, tokenizer: Tokenizer, passages: Sequence[TokenizedPassage], swaps: Sequence[int]
) -> list[Losses]:
    """Return the losses of each passage, in order; `swaps` is the index of the passage whose speech replaces its own.

    ValueError for a code that the layout does not have, or a passage without one sentence more than are spoken.
    """
    rows: list[_Row] = []
    for passage, swap in zip(passages, swaps, strict=True):
        rows += _rows(layout, tokenizer, passage, passages[swap])
    nats: list[list[float]] = [[] for _ in rows]
    for index, hidden in hidden_by_row(model, [row.row for row in rows], layout.pad):
        nats[index] = _losses(model, hidden, rows[index].targets)
    several = [nats[first : first + _WAYS] for first in range(0, len(nats), _WAYS)]
    tokens = [[len(target.ids) for target in rows[first].targets] for first in range(0, len(rows), _WAYS)]
    return [Losses(count, *mine) for count, mine in zip(tokens, several, strict=True)]


@dataclass(frozen=True)
class _Target:
    """A sentence in a row: its ids, and the places of the row that predict them."""

    ids: list[int]
    places: list[int]


@dataclass(frozen=True)
class _Row:
    row: BranchedRow
    targets: list[_Target]


_WAYS = 4  # rows of a passage: alone, spoken, written, swapped


def _rows(layout: Layout, tokenizer: Tokenizer, passage: TokenizedPassage, swapped: TokenizedPassage) -> list[_Row]:
    """Return the rows of a passage in the order of `Losses`."""
    spoken = len(passage.codes)
    if not spoken or len(passage.sentences) != spoken + 1 or len(swapped.codes) != spoken:
        raise ValueError("a passage has one sentence more than are spoken, and another as long to stand in for it")
    texts = encode_texts(tokenizer, list(passage.sentences))
    trunk = [layout.bos, *chain.from_iterable(texts)]
    starts = [1 + sum(map(len, texts[:place])) for place in range(1, spoken + 1)]
    written = [
        _Target(text, list(range(start - 1, start - 1 + len(text))))
        for text, start in zip(texts[1:], starts, strict=True)
    ]
    read = BranchedRow(trunk[:-1], list(range(len(trunk) - 1)), [0] * (len(trunk) - 1))
    return [
        _branched([[layout.bos], *[[]] * (spoken - 1)], texts[1:], []),
        _branched(_spoken(layout, passage), texts[1:], [layout.speech_end]),
        _Row(read, written),
        _branched(_spoken(layout, swapped), texts[1:], [layout.speech_end]),
    ]


def _spoken(layout: Layout, passage: TokenizedPassage) -> list[list[int]]:
    """Return the parts of a trunk of speech, one for each sentence."""
    codes = list(chain.from_iterable(passage.codes))
    if not all(passage.codes) or min(codes) < 0 or max(codes) >= layout.codebook_size:
        raise ValueError(f"spoken sentences need codes in 0..{layout.codebook_size - 1}")
    first, *others = [[layout.first_code + code for code in sentence] for sentence in passage.codes]
    return [[layout.bos, layout.speech_start, *first], *others]


def _branched(parts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], between: Sequence[int]) -> _Row:
    """Return a row in which after each part of the trunk `between` and a text branch off."""
    row = BranchedRow([], [], [])
    targets, length, last = [], 0, -1
    for number, (part, text) in enumerate(zip(parts, texts, strict=True), start=1):
        if part:
            last = len(row.ids) + len(part) - 1
        row.ids.extend(part)
        row.positions.extend(range(length, length + len(part)))
        row.branches.extend([0] * len(part))
        length += len(part)
        branch = [*between, *text]
        places = [last, *range(len(row.ids), len(row.ids) + len(branch) - 1)]  # the place before each of the branch
        targets.append(_Target(list(text), places[len(between) :]))
        row.ids.extend(branch[:-1])
        row.positions.extend(range(length, length + len(branch) - 1))
        row.branches.extend([number] * (len(branch) - 1))
    return _Row(row, targets)


def _losses(model: Any, hidden: torch.Tensor, targets: Sequence[_Target]) -> list[float]:
    places = list(chain.from_iterable(target.places for target in targets))
    ids = list(chain.from_iterable(target.ids for target in targets))
    log_probs = logits(model, hidden[places]).float().log_softmax(-1).cpu()
    nats = -log_probs[range(len(ids)), ids].double()
    return [float(part.sum()) for part in nats.split([len(target.ids) for target in targets])]
