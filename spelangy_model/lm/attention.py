"""Attention that is computed document by document in packed rows.

Put here: an attention implementation for Hugging Face models that never touches a pair of positions of two
documents. Do not put here: masks (masks.py), which say the same thing for every pair and cost row_length squared.

Dense masked attention over a row of 256 with four documents does four times the needed work, and more for longer
rows. Here the positions of all rows are regrouped into padded batches of documents of like length, attended
causally by PyTorch's SDPA, and put back. It is exact: the result equals that of `masks.block_diagonal_mask`.

    use_document_attention(model)
    model(..., documents=documents_of(position_ids))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "document_sdpa"
_LENGTH_STEP = 32  # documents are padded to multiples of this; longer steps pad more, shorter ones make more calls


@dataclass(frozen=True, eq=False)
class Documents:
    """Where the documents of packed rows lie.

    Each bucket is (documents, padded length): flat positions in rows x row_length, padding repeats position 0.
    `place` is, for each flat position, where it lies in the buckets laid end to end.
    """

    buckets: list[torch.Tensor]
    place: torch.Tensor


def documents_of(position_ids: torch.Tensor) -> Documents:
    """Return the documents of packed rows from position ids (rows, row_length) that restart at 0 at each of them."""
    flat = position_ids.reshape(-1)
    starts = (flat == 0).nonzero().squeeze(1)
    lengths = torch.diff(starts, append=starts.new_tensor([flat.numel()]))
    padded = (lengths + _LENGTH_STEP - 1) // _LENGTH_STEP * _LENGTH_STEP
    buckets: list[torch.Tensor] = []
    place = torch.empty_like(flat)
    offset = 0
    for length in padded.unique().tolist():
        chosen = padded == length
        grid = torch.arange(length, device=flat.device).unsqueeze(0)
        inside = grid < lengths[chosen].unsqueeze(1)
        index = torch.where(inside, starts[chosen].unsqueeze(1) + grid, 0)
        place[index[inside]] = offset + inside.reshape(-1).nonzero().squeeze(1)
        offset += index.numel()
        buckets.append(index)
    return Documents(buckets, place)


class _Regroup(torch.autograd.Function):
    """rows[forward]; its gradient is grad[backward], which is right where `backward` undoes `forward`.

    The gradient that reaches padding is dropped, and that is exact: nothing that is kept depends on padding.
    """

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, forward: torch.Tensor, backward: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(backward)
        return rows.index_select(0, forward)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (backward,) = ctx.saved_tensors
        return gradients[0].index_select(0, backward), None, None


class _PutBack(torch.autograd.Function):
    """grouped[place]; its gradient goes back to the places that were taken, zero to padding."""

    @staticmethod
    def forward(ctx: Any, grouped: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(place)
        ctx.size = grouped.shape[0]
        return grouped.index_select(0, place)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (place,) = ctx.saved_tensors
        spread = gradients[0].new_zeros((ctx.size, *gradients[0].shape[1:]))
        return spread.index_copy_(0, place, gradients[0]), None


def document_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    documents: Documents | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within documents; the signature is that of transformers' attention interface.

    Shapes: query (rows, heads, row_length, width), key and value with as many or fewer heads (grouped queries); returns
    (rows, row_length, heads, width). Raises ValueError without `documents`.
    """
    if documents is None:
        raise ValueError("a model with document attention needs documents=documents_of(position_ids)")
    rows, heads, length, width = query.shape
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # PyTorch's bfloat16 attention on CPUs is several times slower backward than its float32 one.
        with torch.autocast("cpu", enabled=False):
            return document_attention(
                module, query.float(), key.float(), value.float(), None, scaling, dropout, documents
            )
    everything = torch.cat([index.reshape(-1) for index in documents.buckets])
    grouped = [
        _Regroup.apply(states.transpose(1, 2).reshape(rows * length, -1), everything, documents.place)
        for states in (query, key, value)
    ]
    attended, start = [], 0
    for index in documents.buckets:
        count, padded = index.shape
        q, k, v = (
            part[start : start + count * padded].view(count, padded, -1, width).transpose(1, 2) for part in grouped
        )
        seen = scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=k.shape[1] != heads
        )
        attended.append(seen.transpose(1, 2).reshape(count * padded, heads * width))
        start += count * padded
    together = _PutBack.apply(torch.cat(attended), documents.place)
    return together.view(rows, length, heads, width), None  # type: ignore[union-attr]


def use_document_attention(model: PreTrainedModel) -> None:
    """Switch a model to document attention, in place; what is saved from it is not changed by that."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, document_attention)
    model.set_attn_implementation(NAME)
