"""Attention masks: which positions of a row may attend to which.

Put here: masks from position ids and spans. Do not put here: the places of documents (data/packing.py).

Both masks are boolean, (rows, 1, row_length, row_length), True where the query (second to last axis) may attend to the
key; that is the 4D form which Hugging Face models hand to PyTorch's scaled_dot_product_attention unchanged.
"""

from __future__ import annotations

import torch


def block_diagonal_mask(position_ids: torch.Tensor) -> torch.Tensor:
    """Return the causal mask in which documents of a packed row do not attend to each other.

    A document begins wherever the position ids (rows, row_length) start at 0 again.
    """
    document = (position_ids == 0).cumsum(-1)
    same = document.unsqueeze(-1) == document.unsqueeze(-2)
    return (same & _causal(position_ids.shape[-1], position_ids.device)).unsqueeze(1)


def branching_mask(branches: torch.Tensor) -> torch.Tensor:
    """Return the causal mask of rows that hold one prefix and several continuations of it.

    `branches` (rows, row_length) is 0 for the prefix, b > 0 for the b-th continuation and -1 for padding. A
    continuation attends to the prefix and itself; padding only to itself, so that no row of the softmax is empty.
    """
    key, query = branches.unsqueeze(-2), branches.unsqueeze(-1)
    seen = ((key == 0) & (query >= 0)) | ((key == query) & (query > 0))
    length = branches.shape[-1]
    itself = torch.eye(length, dtype=torch.bool, device=branches.device)
    return ((seen & _causal(length, branches.device)) | itself).unsqueeze(1)


def _causal(length: int, device: torch.device) -> torch.Tensor:
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()
