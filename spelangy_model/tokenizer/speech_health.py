"""Health of a speech codebook: does the tokenizer use its codes, and evenly?

Put here: pure counts over codes. Do not put here: thresholds (a contract sets them) or models.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class CodebookHealth:
    """How a codebook was used over some utterances; a collapsed tokenizer has `perplexity_codes` near 1."""

    tokens: int
    codebook_size: int
    used_codes: int
    dead_codes: int
    used_share: float
    perplexity_codes: float  # exp of the entropy of the code frequencies, 1 to codebook_size
    perplexity_share: (
        float  # of the most that so many tokens and codes allow: comparable between small shards and large
    )
    repeat_share: float  # share of adjacent pairs within an utterance that are equal


def codebook_health(utterances: Iterable[np.ndarray], codebook_size: int) -> CodebookHealth:
    """Count codes over `utterances` (integer arrays of shape (tokens,)).

    Raises ValueError when a code is outside 0 to codebook_size - 1.
    """
    counts = np.zeros(codebook_size, np.int64)
    repeats = pairs = 0
    for codes in utterances:
        if len(codes) == 0:
            continue
        if int(codes.min()) < 0 or int(codes.max()) >= codebook_size:
            raise ValueError(f"codes {codes.min()} to {codes.max()} do not fit a codebook of {codebook_size}")
        counts += np.bincount(codes, minlength=codebook_size)
        repeats += int((codes[1:] == codes[:-1]).sum())
        pairs += len(codes) - 1
    tokens = int(counts.sum())
    share = counts[counts > 0] / max(tokens, 1)
    used = int((counts > 0).sum())
    perplexity = float(np.exp(-(share * np.log(share)).sum())) if tokens else 0.0
    return CodebookHealth(
        tokens=tokens,
        codebook_size=codebook_size,
        used_codes=used,
        dead_codes=codebook_size - used,
        used_share=used / codebook_size,
        perplexity_codes=perplexity,
        perplexity_share=perplexity / max(min(tokens, codebook_size), 1),
        repeat_share=repeats / pairs if pairs else 0.0,
    )
