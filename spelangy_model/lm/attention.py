"""Attention that is computed document by document in packed rows.

Put here: an attention implementation for Hugging Face models that never touches a pair of positions of two
documents, and the one place where its backend is chosen. Do not put here: masks (masks.py), which describe the same
attention for every pair of positions and cost row_length squared.

    sdpa   the positions of all rows are regrouped into padded batches of documents of like length, attended
           causally by PyTorch's SDPA, and put back: any device, any precision
    flex   PyTorch's FlexAttention under a block mask that skips all outside a document: GPUs
    flash  FlashAttention over cumulative document lengths, as PyTorch carries it (torch.nn.attention.varlen): GPUs
           from compute capability 8.0 on, half precision

All three are exact: their result equals that of `masks.block_diagonal_mask`. Dense masked attention over a row of 256
with four documents does four times the needed work, and more for longer rows.

    use_document_attention(model)
    model(..., documents=documents_of(position_ids, choose_backend(device, dtype)))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask
    from transformers import PreTrainedModel

Backend = Literal["sdpa", "flex", "flash"]
NAME = "document_attention"
_LENGTH_STEP = 32  # documents are padded to multiples of this; longer steps pad more, shorter ones make more calls


def choose_backend(device: torch.device, dtype: torch.dtype) -> Backend:
    """Return the fastest backend that a device has for a precision."""
    if device.type != "cuda":
        return "sdpa"
    if torch.cuda.get_device_capability(device) >= (8, 0) and dtype in (torch.bfloat16, torch.float16):
        return "flash"
    return "flex"


@dataclass(frozen=True, eq=False)
class Buckets:
    """The places of documents, for `sdpa`: each bucket is (documents, padded length).

    Entries are flat positions in rows x row_length; padding repeats position 0. `place` is, for each flat position,
    its index in the concatenated buckets.
    """

    buckets: list[torch.Tensor]
    place: torch.Tensor


@dataclass(frozen=True, eq=False)
class CumulativeLengths:
    """The places of documents, for `flash`: int32 (documents + 1) ends over all rows; none is longer than `longest`."""

    ends: torch.Tensor
    longest: int


@dataclass(frozen=True, eq=False)
class Blocks:
    """The places of documents, for `flex`: which blocks of queries and keys share a document."""

    mask: BlockMask


Documents = Buckets | CumulativeLengths | Blocks


def documents_of(position_ids: torch.Tensor, backend: Backend = "sdpa") -> Documents:
    """Return the documents of packed rows from position ids (rows, row_length) that restart at 0 at each of them."""
    if backend == "flex":
        return Blocks(_block_mask(position_ids))
    flat = position_ids.reshape(-1)
    starts = (flat == 0).nonzero().squeeze(1)
    if backend == "flash":
        ends = torch.cat([starts, starts.new_tensor([flat.numel()])]).to(torch.int32)
        return CumulativeLengths(ends, position_ids.shape[1])  # the true longest would cost a wait for the GPU
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
    return Buckets(buckets, place)


def _block_mask(position_ids: torch.Tensor) -> BlockMask:
    from torch.nn.attention.flex_attention import create_block_mask

    document = (position_ids == 0).cumsum(-1)
    rows, length = position_ids.shape

    def same_document(row: Any, head: Any, query: Any, key: Any) -> torch.Tensor:
        return (document[row, query] == document[row, key]) & (query >= key)

    return create_block_mask(same_document, rows, None, length, length, device=position_ids.device.type)


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
    """grouped[place]; the backward pass returns the gradient to the gathered places, zero to padding."""

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
    (rows, row_length, heads, width). Raises ValueError without `documents`, or for dropout where a backend has none.
    """
    if documents is None:
        raise ValueError("a model with document attention needs documents=documents_of(position_ids)")
    if isinstance(documents, Buckets):
        return _outside_graphs(query, key, value, scaling, dropout, documents), None
    if dropout:
        raise ValueError("FlexAttention and FlashAttention are used without attention dropout here: set it to 0")
    if isinstance(documents, CumulativeLengths):
        return _flash(query, key, value, scaling, documents), None
    return _flex(query, key, value, scaling, documents), None


def _flex(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, documents: Blocks
) -> torch.Tensor:
    from torch.nn.attention.flex_attention import flex_attention
    from transformers.integrations.flex_attention import compile_friendly_flex_attention

    # Compiled once a process on a GPU; not compiled it is dense, which only a test on a CPU can afford.
    attend = flex_attention if query.device.type == "cpu" else compile_friendly_flex_attention
    grouped = key.shape[1] != query.shape[1]
    same = value.dtype  # under autocast rotary embeddings leave queries and keys in float32
    seen: Any = attend(
        query.to(same), key.to(same), value, block_mask=documents.mask, scale=scaling, enable_gqa=grouped
    )
    return seen.transpose(1, 2).contiguous()


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, documents: CumulativeLengths
) -> torch.Tensor:
    from torch.nn.attention import varlen

    rows, heads, length, width = query.shape
    same = value.dtype  # under autocast rotary embeddings leave queries and keys in float32
    q, k, v = (states.to(same).transpose(1, 2).reshape(rows * length, -1, width) for states in (query, key, value))
    causal = (-1, 0)  # a query sees all before it and itself
    seen: Any = varlen.varlen_attn(
        q,
        k,
        v,
        documents.ends,
        documents.ends,
        documents.longest,
        documents.longest,
        scale=scaling,
        window_size=causal,
        enable_gqa=key.shape[1] != heads,
    )
    return seen.view(rows, length, heads, width)


def _regrouped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    dropout: float,
    documents: Buckets,
) -> torch.Tensor:
    rows, heads, length, width = query.shape
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # PyTorch's bfloat16 attention on CPUs is several times slower backward than its float32 one.
        with torch.autocast("cpu", enabled=False):
            return _regrouped(query.float(), key.float(), value.float(), scaling, dropout, documents)
    everything = torch.cat([index.reshape(-1) for index in documents.buckets])
    grouped = [
        _Regroup.apply(states.transpose(1, 2).reshape(rows * length, -1), everything, documents.place)
        for states in (query, key, value)
    ]
    # Split at once: each slice of its own would have a gradient as long as the whole.
    sizes = [index.numel() for index in documents.buckets]
    attended = []
    for index, *parts in zip(documents.buckets, *(states.split(sizes) for states in grouped), strict=True):
        q, k, v = (part.view(*index.shape, -1, width).transpose(1, 2) for part in parts)
        seen = scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=k.shape[1] != heads
        )
        attended.append(seen.transpose(1, 2).reshape(index.numel(), heads * width))
    together: Any = _PutBack.apply(torch.cat(attended), documents.place)
    return together.view(rows, length, heads, width)


# Buckets differ from batch to batch: torch.compile would compile again each time.
_outside_graphs: Any = torch.compiler.disable(_regrouped)


def use_document_attention(model: PreTrainedModel) -> None:
    """Switch a model to document attention, in place; saved checkpoints do not change."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, document_attention)
    model.set_attn_implementation(NAME)
