"""Learning rate over steps: warmup-stable-decay, or warmup and a cosine.

Put here: the factor as a pure function of the step, so that a resumed run needs no scheduler state. Sources:
warmup-stable-decay as in MiniCPM (Hu et al., 2024), with a linear decay to zero; the cosine of SGDR (Loshchilov and
Hutter, 2017), without restarts, to a tenth of the peak.
"""

from __future__ import annotations

import math

SCHEDULES = ("wsd", "cosine")


def learning_rate_factor(schedule: str, step: int, steps: int, warmup_steps: int, decay_steps: int) -> float:
    """Return the factor (0 to 1) on the peak learning rate at `step` (from 0) of `steps`.

    The cosine decays over all steps after the warmup, whatever `decay_steps` is. ValueError for another schedule.
    """
    if schedule == "wsd":
        return warmup_stable_decay(step, steps, warmup_steps, decay_steps)
    if schedule == "cosine":
        return warmup_cosine(step, steps, warmup_steps)
    raise ValueError(f"no schedule {schedule!r}; there are {', '.join(SCHEDULES)}")


def warmup_cosine(step: int, steps: int, warmup_steps: int, floor: float = 0.1) -> float:
    """Return a factor that rises linearly over `warmup_steps` and falls to `floor` along half a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - 1 - warmup_steps)
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def warmup_stable_decay(step: int, steps: int, warmup_steps: int, decay_steps: int) -> float:
    """Return the factor (0 to 1) on the peak learning rate at `step` (from 0) of `steps`.

    It rises linearly over `warmup_steps`, stays at 1, and falls linearly over the last `decay_steps`; where the two
    overlap the lower one counts.
    """
    rising = (step + 1) / warmup_steps if warmup_steps else 1.0
    falling = (steps - step) / decay_steps if decay_steps else 1.0
    return max(0.0, min(1.0, rising, falling))
