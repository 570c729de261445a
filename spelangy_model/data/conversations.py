"""Conversations as training sequences: roles, a versioned template, the loss on answers alone, packed rows.

Put here: the template, one conversation as ids and a loss mask, and rows of many. Do not put here: files of
conversations (conversation_files.py), the order of a pretraining mix (mixture.py), or the loop, which is the same.

Template `reply.v1`: `<bos>`, the turns in order. A system turn and a written instruction are their text; a spoken
instruction is its codes between the speech markers; an answer is the text `Assistant:`, its own text and `<eos>`. An
answer that follows another is one more turn. Worked example, text_size 100 (<bos> 100, <eos> 101, speech_start 102,
speech_end 103, code c is 105 + c), "Assistant:" as [50, 51], a spoken instruction [7, 8] answered by [20, 21], then a
written one [30] answered by [40]:

    ids    100  102  112  113  103   50   51   20   21  101   30   50   51   40  101
    loss     0    0    0    0    0    0    0    1    1    1    0    0    0    1    1

A prompt of spelangy_model/eval/prompts.py with the template's `answer_prefix` has exactly these ids. What is said in
another template is another template's name: a run is asked in the one that it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from spelangy_model.data.interleave import TokenSequence
from spelangy_model.data.packing import Spans, best_fit_decreasing, build_rows
from spelangy_model.records import TokenChunk, TokenDocument
from spelangy_model.rng import stable_codes, stable_order, stable_rng
from spelangy_model.tokenizer.vocab import Layout

SYSTEM, USER, ASSISTANT = ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Template:
    """The text between the turns of a conversation, under a versioned name."""

    name: str
    answer_prefix: str


TEMPLATES = {one.name: one for one in (Template("reply.v1", "Assistant:"),)}


class ConversationError(ValueError):
    """A conversation that is none; `reason` is a short fixed word, the text says what is wrong and the cure."""

    def __init__(self, reason: str, text: str):
        super().__init__(text)
        self.reason = reason


def check_roles(roles: Sequence[str]) -> None:
    """Raise ConversationError unless turns are: at most one system turn first, then user and assistant in turn.

    The last turn is the assistant's: else its instruction teaches nothing.
    """
    turns = list(roles)
    if turns[:1] == [SYSTEM]:
        del turns[0]
    wanted = [USER, ASSISTANT] * (len(turns) // 2)
    if not turns or turns != wanted:
        raise ConversationError(
            "role_order",
            f"its roles are {', '.join(roles) or 'none'}: after at most one system turn, user and assistant take "
            "turns, and the last turn is the assistant's",
        )


def encode_conversation(
    turns: Sequence[TokenChunk], layout: Layout, answer_prefix: Sequence[int], spoken: Sequence[bool]
) -> TokenSequence:
    """Return a conversation as ids and a loss mask, by the module's template.

    `turns` are in order, with the ids of their text and, for what is spoken, codes; `answer_prefix` are the template's
    ids; `spoken` says of each turn whether its codes stand for it. ValueError for a code or text id that the layout
    does not have, or a turn with neither; ConversationError for roles out of order.
    """
    check_roles([turn.role for turn in turns])
    ids, mask, switches = [layout.bos], [0], 0
    before: bool | None = None
    for turn, by_codes in zip(turns, spoken, strict=True):
        if by_codes:
            _check(turn.codes, layout.codebook_size, "speech code")
            part = [layout.speech_start, *(layout.first_code + code for code in turn.codes), layout.speech_end]
        else:
            _check(turn.text_ids, layout.text_size, "text id")
            part = list(turn.text_ids)
        counts = turn.role == ASSISTANT
        if counts:
            part = [*answer_prefix, *part, layout.eos]
        ids += part
        answered = len(turn.text_ids) + 1 if counts else 0
        mask += [0] * (len(part) - answered) + [1] * answered
        switches += before not in (None, by_codes)
        before = by_codes
    return TokenSequence(np.array(ids, np.int32), np.array(mask, np.int8), switches)


def _check(values: Sequence[int], size: int, what: str) -> None:
    if not values or min(values) < 0 or max(values) >= size:
        raise ValueError(f"a turn has no {what}, or one outside 0..{size - 1}")


def spoken_turns(document: TokenDocument, spoken_share: float, seed: int) -> list[bool]:
    """Return which turns of a conversation are spoken: of instructions that can be either, `spoken_share` by a coin.

    A turn with codes alone is always spoken, one without never; the coin depends on (seed, conversation, turn) alone.
    """
    coins = stable_rng(seed, "spoken", document.document_id).random(len(document.chunks))
    return [
        turn.role != ASSISTANT and bool(turn.codes) and (not turn.text_ids or bool(coin < spoken_share))
        for turn, coin in zip(document.chunks, coins, strict=True)
    ]


@dataclass(frozen=True)
class PlacedConversation:
    """A conversation as it enters a row: its ids, where it is from, and its sequence."""

    document_id: str
    source: str
    source_id: str
    sequence: TokenSequence


def pack_conversations(
    conversations: Sequence[PlacedConversation], row_length: int, layout: Layout, seed: int
) -> pa.Table:
    """Return all conversations once, whole, as a table of PackedRow in a drawn order.

    ValueError for one that is longer than a row, or for none.
    """
    if not conversations:
        raise ValueError("there is no conversation to pack")
    codes = stable_codes([f"{one.source}/{one.document_id}" for one in conversations])
    drawn = [conversations[place] for place in stable_order(codes, seed, "conversations")]
    packing = list(best_fit_decreasing([len(one.sequence.ids) for one in drawn], row_length))
    order = stable_rng(seed, "rows", "conversations").permutation(len(packing))
    members = [[drawn[place] for place in packing[row]] for row in order]
    placed = [one for row in members for one in row]
    row = np.repeat(np.arange(len(members)), [len(one) for one in members])
    spans = Spans(
        row,
        np.array([len(one.sequence.ids) for one in placed]),
        np.array([one.sequence.switches for one in placed]),
        np.zeros(len(placed), np.int64),
        *(pa.array([getattr(one, name) for one in placed]) for name in ("document_id", "source", "source_id")),
    )
    return build_rows(
        0,
        ["speech_text"] * len(members),
        spans,
        np.concatenate([one.sequence.ids for one in placed]),
        np.concatenate([one.sequence.loss_mask for one in placed]),
        row_length,
        layout,
    )
