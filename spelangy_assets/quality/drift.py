"""Drift: how far a dataset's values have moved since the previous snapshot.

Put here: the comparison of two samples of values. Do not put here: which values are compared and what is too far
(contracts.py), where the samples come from (evaluate.py), or which snapshot comes before (store/artifacts.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spelangy_assets.quality.contracts import Bound, Drift

_ALPHA = 0.001


def compare(drift: Drift, now: np.ndarray, before: np.ndarray, than: str) -> tuple[dict[str, float], list[Bound]]:
    """Return the measures of a drift from the values `before` (of the snapshot `than`) to `now`, and their bounds.

    `now` and `before` (n,), (m,) are finite. The distance is that of Kolmogorov and Smirnov (of shares, values 0 and 1:
    their difference) less what chance alone exceeds once in a thousand at these sizes, so that small snapshots raise
    no false alarm. Without values on a side there is neither measure nor bound.
    """
    from scipy.stats import ks_2samp

    if not len(now) or not len(before):
        return {}, []
    by_chance = math.sqrt(-math.log(_ALPHA / 2) / 2 * (len(now) + len(before)) / (len(now) * len(before)))
    compared: Any = ks_2samp(now, before, method="asymp")
    distance = f"{drift.name}: distance from {than} beyond chance"
    row = {distance: max(0.0, float(compared.statistic) - by_chance)}
    bounds = [Bound(distance, 0, drift.max_distance, "warn")]
    if drift.max_ratio is not None:
        ratio, means = f"{drift.name}: mean against {than}", (float(np.mean(now)), float(np.mean(before)))
        row[ratio] = means[0] / means[1] if means[1] else (1.0 if means[0] == 0 else math.inf)
        bounds.append(Bound(ratio, 1 / drift.max_ratio, drift.max_ratio, "warn"))
    return row, bounds
