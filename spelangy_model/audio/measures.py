"""Measures of recordings: loudness, signal-to-noise ratio, clipping, bandwidth.

Put here: measures of a signal that need no model, computed block by block, so that hours take the memory of seconds. Do
not put here: limits on them (audio/filters.py), or anything about speech, speakers or words.

Loudness is the integrated loudness of ITU-R BS.1770-4 with both gates, as ffmpeg's `ebur128` filter measures it.

The signal-to-noise ratio is read off the distribution of frame levels, as NIST's `stnr` does: the 10th percentile of
20 ms frames is the noise, the 90th is speech and noise. It needs the pauses of speech and is meaningless for music.
On read speech with white noise added at 0 to 20 dB it is 4 to 2 dB above the ratio to the active speech level, with a
standard deviation of 1 to 2.5 dB. WADA-SNR (Kim and Stern, Interspeech 2008), tested on the same clips, had a standard
deviation of 1 to 4.6 dB and reached the end of its table for many clean clips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ, SILENT_PEAK

FULL_SCALE = 0.999  # at or above it a sample counts as clipped: 16 bits reach 0.99997, lossy codecs go beyond 1
BANDWIDTH_FLOOR_DB = -60.0  # below the strongest bin of the mean spectrum; codecs cut to below -80
SNR_RANGE_DB = (-20.0, 100.0)  # without noise, or with noise alone, the ratio is infinite or undefined
LEAST_LOUDNESS_LUFS = -70.0  # the absolute gate; also the value of sound below it or shorter than a block of 400 ms

_WINDOW_S = 0.05
_HOP_S = 0.25  # a mean spectrum needs at most four spectra a second
_SNR_FRAME = round(0.02 * SAMPLE_RATE_HZ)
_SNR_PERCENTILES = (10, 90)
_BLOCK = _SNR_FRAME * 4096


@dataclass(frozen=True, slots=True)
class SignalMeasures:
    """Of mono sound at 16 kHz: integrated loudness (LUFS) and signal-to-noise ratio (dB, within SNR_RANGE_DB)."""

    loudness_lufs: float
    snr_db: float


def measure_signal(samples: np.ndarray) -> SignalMeasures:
    """Measure float32 samples (n,) at 16 kHz in [-1, 1]; a constant offset does not count as sound."""
    samples = centred(samples)
    return SignalMeasures(_loudness_lufs(samples), _snr_db(samples))


def measure_snr_db(samples: np.ndarray) -> float:
    """Return the signal-to-noise ratio alone, as in SignalMeasures."""
    return _snr_db(centred(samples))


def centred(samples: np.ndarray) -> np.ndarray:
    """Return samples (n,) without their mean (an offset of cheap converters), the same array where that is nothing."""
    mean = samples.mean(dtype=np.float64) if len(samples) else 0.0
    return samples - np.float32(mean) if abs(mean) > SILENT_PEAK else samples


class SourceMeter:
    """Measures a file as it is, before it is mixed down and resampled: add all blocks, then read the result."""

    def __init__(self, sample_rate_hz: int):
        self._rate = sample_rate_hz
        self._window = max(16, round(_WINDOW_S * sample_rate_hz))
        self._hop = max(self._window, round(_HOP_S * sample_rate_hz))
        self._taper = np.hanning(self._window).astype(np.float32)
        self._power = np.zeros(self._window // 2 + 1)
        self._next = 0  # of the next spectrum, in frames from the start of the next block
        self._clipped = self._samples = 0

    def watch(self, block: np.ndarray) -> None:
        """Take float32 (frames, channels) in [-1, 1]. A spectrum that the end of a block cuts off is left out."""
        self._samples += block.size
        self._clipped += int(np.count_nonzero(np.abs(block) >= FULL_SCALE))
        starts = np.arange(self._next, len(block) - self._window + 1, self._hop)
        if len(starts):
            mono = block.mean(axis=1) if block.shape[1] > 1 else block[:, 0]
            looks = np.lib.stride_tricks.sliding_window_view(mono, self._window)[starts]
            self._power += (np.abs(np.fft.rfft(looks * self._taper)) ** 2).sum(axis=0)
            self._next = int(starts[-1]) + self._hop
        self._next = max(0, self._next - len(block))

    @property
    def clipping_share(self) -> float:
        """Share of samples, over all channels, at full scale or beyond."""
        return self._clipped / self._samples if self._samples else 0.0

    @property
    def bandwidth_hz(self) -> float:
        """The highest frequency of the mean spectrum within BANDWIDTH_FLOOR_DB of its strongest bin; 0 without sound.

        It reveals a telephone call or a low bit rate in a file with a higher sample rate.
        """
        power = self._power.copy()
        power[:2] = 0  # an offset is no sound
        if power.max() <= 0:
            return 0.0
        strong = np.flatnonzero(power >= power.max() * 10 ** (BANDWIDTH_FLOOR_DB / 10))
        return float(strong[-1]) * self._rate / self._window


def _loudness_lufs(samples: np.ndarray) -> float:
    import av
    from av.filter import Graph

    graph = Graph()
    source = graph.add_abuffer(sample_rate=SAMPLE_RATE_HZ, format="flt", layout="mono")
    meter, sink = graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    loudness = LEAST_LOUDNESS_LUFS
    for start in range(0, len(samples), SAMPLE_RATE_HZ):
        piece = np.ascontiguousarray(samples[start : start + SAMPLE_RATE_HZ], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(piece[None], format="flt", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        graph.push(frame)
        while (measured := _pull(graph)) is not None:
            loudness = float(measured.metadata.get("lavfi.r128.I", loudness))
    return max(loudness, LEAST_LOUDNESS_LUFS)


def _pull(graph: Any) -> Any:
    from av.error import BlockingIOError, EOFError

    try:
        return graph.pull()
    except (BlockingIOError, EOFError):
        return None


def _snr_db(samples: np.ndarray) -> float:
    powers = []
    for start in range(0, len(samples) - _SNR_FRAME + 1, _BLOCK):
        block = samples[start : start + _BLOCK]
        frames = block[: len(block) // _SNR_FRAME * _SNR_FRAME].reshape(-1, _SNR_FRAME)
        powers.append(np.square(frames, dtype=np.float64).mean(axis=1))
    power = np.concatenate(powers) if powers else np.zeros(0)
    power = power[power > 0]  # digital silence is neither speech nor noise
    if not len(power):
        return SNR_RANGE_DB[0]
    noise, both = np.percentile(power, _SNR_PERCENTILES)
    return float(np.clip(10 * np.log10(max(both / noise - 1, 1e-9)), *SNR_RANGE_DB))
