"""Acoustic fingerprints, which another codec, another gain and cut-off edges do not change.

Put here: landmarks and their matching. Do not put here: the choice of recordings to compare
(stages/find_duplicate_recordings.py).

Landmarks are pairs of spectral peaks, as in Wang, "An industrial-strength audio search algorithm" (ISMIR 2003): a hash
of both frequencies and the time between them, and when it occurs. Of all hashes a fixed fraction is kept, chosen by the
hash itself (Broder's sampling modulo m), so that two copies keep the same ones. Two recordings that hold the same sound
share landmarks at one constant distance in time; the same words spoken again do not.
"""

from __future__ import annotations

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ

HOP = 256
HOP_S = HOP / SAMPLE_RATE_HZ
_WINDOW = 1024
_BINS = (16, 220)  # 250 to 3,440 Hz: what a telephone lets through
_PEAK_FRAMES, _PEAK_BINS = 7, 11  # a peak is the greatest value within this range on each side
_FLOOR_DB = 60.0  # below a block's greatest value; no peaks under it
_FAN_OUT, _MAX_DELTA = 4, 63
_KEPT_OF = 4  # keep one hash in this many
_BLOCK_FRAMES = 16_384
_TOLERANCE = 2  # frames by which a landmark may be displaced


def landmarks(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (hashes, frames), int32 (n,) each, of float32 samples (m,) at 16 kHz, in order of time.

    A frame is HOP_S long. A few a second; none for less than a tenth of a second.
    """
    times, bins = _peaks(samples)
    hashes, frames = [], []
    for step in range(1, _FAN_OUT + 1):
        delta = times[step:] - times[:-step]
        near = (delta > 0) & (delta <= _MAX_DELTA)
        first, second = bins[:-step][near], bins[step:][near]
        hashes.append((first << 14) | (second << 6) | delta[near])
        frames.append(times[:-step][near])
    joined, at = np.concatenate(hashes), np.concatenate(frames)
    # Knuth's multiplicative hash: its high bits choose without regard to frequency or distance.
    kept = (joined * 2654435761 % 2**32 >> 20) % _KEPT_OF == 0
    joined, at = joined[kept], at[kept]
    order = np.lexsort((joined, at))
    return joined[order].astype(np.int32), at[order].astype(np.int32)


def _peaks(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.ndimage import maximum_filter

    taper = np.hanning(_WINDOW).astype(np.float32)
    found = []
    total = max(0, (len(samples) - _WINDOW) // HOP + 1)
    for start in range(0, total, _BLOCK_FRAMES):
        # A few frames on either side, so that a block's edge makes no peak and hides none.
        low, high = max(0, start - _PEAK_FRAMES), min(total, start + _BLOCK_FRAMES + _PEAK_FRAMES)
        windows = np.lib.stride_tricks.sliding_window_view(samples[low * HOP : (high - 1) * HOP + _WINDOW], _WINDOW)
        level = np.abs(np.fft.rfft(windows[::HOP] * taper)[:, _BINS[0] : _BINS[1]])
        top = maximum_filter(level, size=(2 * _PEAK_FRAMES + 1, 2 * _PEAK_BINS + 1), mode="constant")
        peaks = (level == top) & (level > level.max() * 10 ** (-_FLOOR_DB / 20))
        times, bins = np.nonzero(peaks)
        times += low
        inside = (times >= start) & (times < start + _BLOCK_FRAMES)
        found.append((times[inside], bins[inside]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([times for times, _ in found]), np.concatenate([bins for _, bins in found])


def matched_frames(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], offset: int) -> np.ndarray:
    """Return the frames of `other` with a landmark that `one` has too, `offset` frames earlier."""
    keys = [(one[0].astype(np.int64) << 32) + one[1] + offset + shift for shift in range(-_TOLERANCE, _TOLERANCE + 1)]
    own = (other[0].astype(np.int64) << 32) + other[1]
    return other[1][np.isin(own, np.concatenate(keys))]
