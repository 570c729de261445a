"""The modality gap: how a model's predictions differ after a spoken and after a written question.

Put here: divergences between next-token distributions, and the tokens that make them. Do not put here: prompts or
aggregation over questions. Source: the reverse KL of "Data-Centric Lessons To Improve Speech-Language Pretraining".
All over text ids only, renormalised, in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PositionGap:
    """The gap where one token is predicted.

    `reverse_kl` is KL(p after speech || p after text), `forward_kl` the other way round. `moved` are the ids that
    contribute most to both together, |p_speech - p_text| * |log p_speech - log p_text|, largest first, with their
    probabilities after speech and after text.
    """

    reverse_kl: float
    forward_kl: float
    moved: list[int]
    moved_speech: list[float]
    moved_text: list[float]


def position_gaps(
    speech_log_probs: np.ndarray, text_log_probs: np.ndarray, text_size: int, top: int = 3
) -> list[PositionGap]:
    """Return the gap at each position of (positions, vocabulary) log-probabilities of the same continuation.

    The first `text_size` ids are text. The reverse KL weighs by the probabilities after speech: confidence in tokens
    that are unlikely after the text costs most. Both are 0 for equal distributions. Raises ValueError when the shapes
    differ.
    """
    if speech_log_probs.shape != text_log_probs.shape:
        raise ValueError(f"distributions of shapes {speech_log_probs.shape} and {text_log_probs.shape} do not pair")
    speech, text = (_restrict(values, text_size) for values in (speech_log_probs, text_log_probs))
    p, q, difference = np.exp(speech), np.exp(text), speech - text
    reverse, forward = (p * difference).sum(-1), -(q * difference).sum(-1)
    moved = np.argsort(-((p - q) * difference), axis=-1, kind="stable")[:, :top]
    return [
        PositionGap(
            max(0.0, float(reverse[row])),
            max(0.0, float(forward[row])),
            moved[row].tolist(),
            p[row, moved[row]].tolist(),
            q[row, moved[row]].tolist(),
        )
        for row in range(len(p))
    ]


def _restrict(log_probs: np.ndarray, text_size: int) -> np.ndarray:
    kept = np.asarray(log_probs[:, :text_size], np.float64)
    peak = kept.max(-1, keepdims=True)
    return kept - (peak + np.log(np.exp(kept - peak).sum(-1, keepdims=True)))
