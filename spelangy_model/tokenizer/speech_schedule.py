"""The parameters of a speech tokenizer's training, and the order of its training speech.

Put here: all of a training's definition that needs no tensor, so that a recipe can use it without torch. Do not put
here: the training itself (train_speech.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spelangy_model.rng import stable_rng

_SORTED_BATCHES = 16  # batches are cut from this many batches' worth of utterances, sorted by length
_FRAMES_PER_S = 100


@dataclass(frozen=True, slots=True)
class SpeechTraining:
    """The parameters of a training; `batch_s` is seconds of audio a step, padding included.

    `reconstruction_loss_weight` is the weight of the decoder's mean absolute error of log-mel power, in nats, beside
    the CTC loss of a character, which has the weight 1. At 0 there is no decoder, and codes cannot be made sound.
    """

    steps: int = 3600
    unquantized_steps: int = 400
    warmup_steps: int = 100
    batch_s: float = 24.0
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    word_loss_weight: ClassVar[float] = 0.1
    decorrelation_weight: ClassVar[float] = 1.0
    min_word_occurrences: ClassVar[int] = 5
    time_masks: int = 1
    max_time_mask_frames: ClassVar[int] = 16
    mel_masks: int = 1
    reconstruction_loss_weight: float = 0.0
    max_mel_mask_bins: ClassVar[int] = 6
    max_gradient_norm: ClassVar[float] = 2.0
    seed: int = 0


def learning_rate_share(step: int, training: SpeechTraining) -> float:
    """Return the share of the peak learning rate at a step: a linear rise, then half a cosine to zero."""
    if step < training.warmup_steps:
        return (step + 1) / training.warmup_steps
    done = (step - training.warmup_steps) / max(training.steps - training.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def batches(lengths: Sequence[int], training: SpeechTraining) -> Iterator[list[int]]:
    """Yield batches of positions without end: each epoch in a new order, utterances of like length together.

    `lengths` are frames; a batch's rows times its longest row stay within `batch_s` (one utterance at least).
    """
    budget = int(training.batch_s * _FRAMES_PER_S)
    window = max(1, int(_SORTED_BATCHES * budget / max(float(np.mean(lengths)), 1.0)))
    epoch = 0
    while True:
        rng = stable_rng(training.seed, "order", epoch)
        order = rng.permutation(len(lengths))
        cut: list[list[int]] = []
        for first in range(0, len(order), window):
            near = sorted((int(i) for i in order[first : first + window]), key=lambda i: (lengths[i], i))
            batch: list[int] = []
            for position in near:
                if batch and (len(batch) + 1) * lengths[position] > budget:
                    cut.append(batch)
                    batch = []
                batch.append(position)
            cut.append(batch)
        yield from (cut[int(i)] for i in rng.permutation(len(cut)))
        epoch += 1
