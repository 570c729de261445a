"""The floating-point operations of a training step, and the peak rate of a device.

Put here: the count behind MFU (model FLOPs utilization). Do not put here: timing. Counted as in "PaLM" (Chowdhery et
al., 2022), but what packed rows really compute: attention within documents, the output layer where the loss counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Dense bfloat16 peaks as the vendor states them, in FLOP/s, by a part of the device's name.
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}


def step_flops(config: Any, lengths: np.ndarray, loss_positions: int) -> float:
    """Return the operations of forward and backward over sequences of these lengths in positions.

    Padding and recomputation do not count as work. A multiplication and an addition are two; backward is twice
    forward.
    """
    width, layers = config.hidden_size, config.num_hidden_layers
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    attention = width * head * (2 * config.num_attention_heads + 2 * config.num_key_value_heads)
    weights = layers * (attention + 3 * width * config.intermediate_size)
    lengths = np.asarray(lengths, np.float64)
    pairs = float((lengths * (lengths + 1) / 2).sum())  # causal: each position and those before it
    forward = 2 * weights * float(lengths.sum()) + 2 * config.vocab_size * width * loss_positions
    forward += 4 * pairs * layers * config.num_attention_heads * head
    return 3 * forward


def peak_flops(device_name: str) -> float | None:
    """Return the peak of a GPU by its name; None for one that is not listed, and for CPUs."""
    return next((peak for name, peak in PEAK_FLOPS.items() if name in device_name), None)
