"""Choose the channels of a file for its mono mix: the average of all, unless the average would lose sound.

Put here: that rule. Do not put here: the mixing (io.py), or channels that a manifest names.

Real stereo has two defects. One channel is dead (a cable, a recorder with one microphone): its share of the
average halves the level. One channel is the other with the opposite sign (a wrong cable, a karaoke effect): the
average is silence.
"""

from __future__ import annotations

import numpy as np

DEAD_DB = -40.0  # below the loudest channel; crosstalk from a microphone across the table is above it
CANCELLED_SHARE = 0.25  # of the channels' power that remains in their sum; uncorrelated channels keep all of it
CANCELLED_AT_MOST = 0.05  # of the sound, in a file that is averaged all the same

_PIECE_FRAMES = 8192


class ChannelMeter:
    """Measures the channels of a file: add all blocks, then read the result."""

    def __init__(self) -> None:
        self._power = np.zeros(0)
        self._cancelled = 0.0

    def watch(self, block: np.ndarray) -> None:
        """Take float32 (frames, channels)."""
        if block.shape[1] < 2:
            return
        if not len(self._power):
            self._power = np.zeros(block.shape[1])
        for start in range(0, len(block), _PIECE_FRAMES):
            piece = block[start : start + _PIECE_FRAMES]
            power = piece.var(axis=0, dtype=np.float64) * len(piece)
            total = float(power.sum())
            if float(piece.sum(axis=1).var(dtype=np.float64)) * len(piece) < CANCELLED_SHARE * total:
                self._cancelled += total
            self._power += power

    def choose(self) -> tuple[int, ...] | None:
        """Return the channels to average, counted from 0; None means all.

        The loudest channel if the average would cancel a part of the sound, else those that are not dead.
        """
        total = float(self._power.sum())
        if not total:
            return None
        if self._cancelled > CANCELLED_AT_MOST * total:
            return (int(self._power.argmax()),)
        alive = np.flatnonzero(self._power > self._power.max() * 10 ** (DEAD_DB / 10))
        return None if len(alive) == len(self._power) else tuple(int(index) for index in alive)
