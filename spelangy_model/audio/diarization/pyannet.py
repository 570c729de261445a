"""PyanNet: pyannote's segmentation-3.0 network, run from its state dict.

Put here: the forward pass and the geometry of its frames. Do not put here: windows, speakers over windows.
Architecture: Bredin, "pyannote.audio 2.1 speaker diarization pipeline" (2023); the sinc filters are those of
Ravanelli and Bengio, "Speaker Recognition from Raw Waveform with SincNet" (2018); the powerset output is Plaquet
and Bredin's (2023): classes {}, {1}, {2}, {3}, {1,2}, {1,3}, {2,3} of up to three speakers of a window.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F

from spelangy_model.pretrained import load_tensors

WINDOW_SAMPLES = 160_000  # the network was trained on 10 s
FRAME_HOP_SAMPLES = 270  # strides 10 * 3 * 3 * 3
FRAMES = 589  # of 160,000 samples
SPEAKERS = 3
POWERSET = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=torch.bool)

_KERNEL, _STRIDE, _POOL = 251, 10, 3
_MIN_HZ, _RATE_HZ = 50.0, 16_000
_LSTM_LAYERS, _LSTM_WIDTH = 4, 128
# The receptive field of a frame is 991 samples, so that its middle is this far after the frame's first sample.
FRAME_CENTRE_SAMPLES = 495


def frames_of(samples: int) -> int:
    """Return the number of frames for a number of samples; 0 or less if they are too few for one frame."""
    length = (samples - _KERNEL) // _STRIDE + 1
    for kernel in (1, 5, 5):  # each convolution, then the pooling by three
        length = (length - kernel + 1) // _POOL
    return length


class PyanNet:
    """The network, on one device, for inference only."""

    def __init__(self, weights: Path, device: str = "cpu"):
        state = load_tensors(weights, device)["state_dict"]
        self._weights = {name: tensor for name, tensor in state.items() if not name.startswith("lstm.")}
        self._filters = _sinc_filters(self._weights)
        self._lstm = torch.nn.LSTM(60, _LSTM_WIDTH, _LSTM_LAYERS, bidirectional=True, batch_first=True).to(device)
        self._lstm.load_state_dict(
            {name.removeprefix("lstm."): value for name, value in state.items() if name.startswith("lstm.")}
        )
        self._lstm.eval()

    @torch.inference_mode()
    def __call__(self, samples: torch.Tensor) -> torch.Tensor:
        """Return log probabilities (batch, frames, 7) of the powerset for samples (batch, n) at 16 kHz."""
        w = self._weights
        x = F.instance_norm(samples[:, None], weight=w["sincnet.wav_norm1d.weight"], bias=w["sincnet.wav_norm1d.bias"])
        for layer in range(3):
            if layer == 0:
                x = F.conv1d(x, self._filters, stride=_STRIDE).abs()
            else:
                x = F.conv1d(x, w[f"sincnet.conv1d.{layer}.weight"], w[f"sincnet.conv1d.{layer}.bias"])
            norm = f"sincnet.norm1d.{layer}"
            x = F.instance_norm(F.max_pool1d(x, _POOL), weight=w[f"{norm}.weight"], bias=w[f"{norm}.bias"])
            x = F.leaky_relu(x)
        x, _ = self._lstm(x.transpose(1, 2))
        for layer in range(2):
            x = F.leaky_relu(F.linear(x, w[f"linear.{layer}.weight"], w[f"linear.{layer}.bias"]))
        return F.linear(x, w["classifier.weight"], w["classifier.bias"]).log_softmax(dim=-1)


def _sinc_filters(weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the 80 band-pass filters (80, 1, 251): 40 even (cosine) and 40 odd (sine) ones of the learned bands."""
    bank = "sincnet.conv1d.0.filterbank"
    low = _MIN_HZ + weights[f"{bank}.low_hz_"].abs()
    high = (low + _MIN_HZ + weights[f"{bank}.band_hz_"].abs()).clamp(_MIN_HZ, _RATE_HZ / 2)
    half = (_KERNEL - 1) // 2
    time = 2 * math.pi * torch.arange(-half, 0, device=low.device, dtype=torch.float32)[None] / _RATE_HZ
    window = weights[f"{bank}.window_"]
    width = 2 * (high - low)
    even = (torch.sin(high * time) - torch.sin(low * time)) / (time / 2) * window
    odd = (torch.cos(low * time) - torch.cos(high * time)) / (time / 2) * window
    filters = [
        torch.cat([even, width, even.flip(1)], dim=1) / width,
        torch.cat([odd, torch.zeros_like(width), -odd.flip(1)], dim=1) / width,
    ]
    return torch.cat(filters)[:, None]
