"""Learning rate over steps: warmup, stable, decay.

Put here: the factor as a pure function of the step, so that a resumed run needs no scheduler state. Source:
warmup-stable-decay as in MiniCPM (Hu et al., 2024), with a linear decay to zero.
"""

from __future__ import annotations


def warmup_stable_decay(step: int, steps: int, warmup_steps: int, decay_steps: int) -> float:
    """Return the factor (0 to 1) on the peak learning rate at `step` (from 0) of `steps`.

    It rises linearly over `warmup_steps`, stays at 1, and falls linearly over the last `decay_steps`; where the two
    overlap the lower one counts.
    """
    rising = (step + 1) / warmup_steps if warmup_steps else 1.0
    falling = (steps - step) / decay_steps if decay_steps else 1.0
    return max(0.0, min(1.0, rising, falling))
