"""The modality gap: how differently a model goes on after hearing a question and after reading it.

Put here: divergences between next-token distributions. Do not put here: prompts or aggregation over questions.
Source: the reverse KL of "Data-Centric Lessons To Improve Speech-Language Pretraining", over text ids only.
"""

from __future__ import annotations

import numpy as np


def reverse_kl(speech_log_probs: np.ndarray, text_log_probs: np.ndarray, text_size: int) -> float:
    """Return KL(p after speech || p after text) in nats, both restricted to the text ids and renormalised.

    The arguments are log-probabilities (vocabulary,) over the same vocabulary, whose first `text_size` ids are
    text. It is 0 for equal distributions and weighs by what the model says after speech: being sure of what the
    text excludes costs most.
    """
    speech, text = (_restrict(values, text_size) for values in (speech_log_probs, text_log_probs))
    return max(0.0, float(np.sum(np.exp(speech) * (speech - text))))


def _restrict(log_probs: np.ndarray, text_size: int) -> np.ndarray:
    kept = np.asarray(log_probs[:text_size], np.float64)
    peak = kept.max()
    return kept - (peak + np.log(np.exp(kept - peak).sum()))
