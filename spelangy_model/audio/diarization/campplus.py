"""CAM++: a speaker embedding network, run from its state dict, and its input features.

Put here: the forward pass and the filter bank it takes. Do not put here: which sound is embedded, clustering.
Architecture: Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware
Masking" (Interspeech 2023): a 2-D convolutional front, then densely connected time-delay layers, each masked by
its context, then mean and deviation over time. The weights are 3D-Speaker's, trained on Chinese and English.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from spelangy_model.pretrained import load_tensors

EMBEDDING_SIZE = 192
FEATURE_HOP_SAMPLES = 160
MELS = 80
MIN_FEATURES = 20  # 0.2 s: below it the network's mean and deviation over time are not reliable

_BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of each dense block
_CONTEXT_FRAMES = 100
_MAX_FEATURES = 600  # 6 s identify a voice as well as 10 s (measured) and cost proportionally less
_BATCH_VOICES = 64  # on a GPU; on a CPU one, so that the bits stay
_FEATURE_STEP = 20  # torch caches a plan for each input length: 0.2 s steps leave 30 lengths and keep memory constant


def features(samples: np.ndarray) -> np.ndarray:
    """Return Kaldi's log-mel filter bank (frames, 80) of mono samples (n,) at 16 kHz: 25 ms windows each 10 ms."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0  # Kaldi adds noise by default; the same sound must give the same embedding
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = MELS
    bank: Any = kaldi_native_fbank.OnlineFbank(options)  # its stub asks for a list and takes an array without copying
    bank.accept_waveform(16_000, np.ascontiguousarray(samples, dtype=np.float32))
    bank.input_finished()
    if not bank.num_frames_ready:
        return np.zeros((0, MELS), np.float32)
    return np.stack([bank.get_frame(index) for index in range(bank.num_frames_ready)])


class CamPlusPlus:
    """The network, on one device, for inference only."""

    def __init__(self, weights: Path, device: str = "cpu"):
        self._weights: dict[str, torch.Tensor] = load_tensors(weights, device)
        self._device = device
        self._batch_voices = 1 if device == "cpu" else _BATCH_VOICES

    def voices(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the unit embedding (192,) of each voice, from the middle 6 s of its log-mel features (frames, 80).

        On a GPU voices of equal length are embedded together.
        """
        middles = [self._middle(one) for one in features]
        embeddings: list[np.ndarray] = [np.empty(0, np.float32)] * len(middles)
        for length in sorted({len(middle) for middle in middles}):
            places = [place for place, middle in enumerate(middles) if len(middle) == length]
            for start in range(0, len(places), self._batch_voices):
                batch = places[start : start + self._batch_voices]
                frames = torch.from_numpy(np.stack([middles[place] for place in batch])).to(self._device)
                for place, embedding in zip(batch, self(frames).cpu().numpy(), strict=True):
                    embeddings[place] = embedding / np.linalg.norm(embedding)
        return embeddings

    @staticmethod
    def _middle(features: np.ndarray) -> np.ndarray:
        length = min(_MAX_FEATURES, max(1, len(features) // _FEATURE_STEP) * _FEATURE_STEP)
        start = max(0, (len(features) - length) // 2)
        middle = features[start : start + length]
        return middle - middle.mean(axis=0, keepdims=True)

    @torch.inference_mode()
    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Return embeddings (batch, 192), not normalized, for log-mel features (batch, frames, 80), mean removed."""
        x = frames.transpose(1, 2)[:, None]
        x = self._normalized("head.bn1", self._conv2d("head.conv1", x)).relu()
        for name, stride in (("layer1.0", 2), ("layer1.1", 1), ("layer2.0", 2), ("layer2.1", 1)):
            x = self._residual(f"head.{name}", x, stride)
        x = self._normalized("head.bn2", self._conv2d("head.conv2", x, stride=2)).relu()
        x = x.flatten(1, 2)
        x = F.conv1d(x, self._weights["xvector.tdnn.linear.weight"], stride=2, padding=2)
        x = self._normalized("xvector.tdnn.nonlinear.batchnorm", x).relu()
        for block, (layers, dilation) in enumerate(_BLOCKS, start=1):
            for layer in range(1, layers + 1):
                x = torch.cat([x, self._dense(f"xvector.block{block}.tdnnd{layer}", x, dilation)], dim=1)
            x = self._normalized(f"xvector.transit{block}.nonlinear.batchnorm", x).relu()
            x = F.conv1d(x, self._weights[f"xvector.transit{block}.linear.weight"])
        x = self._normalized("xvector.out_nonlinear.batchnorm", x).relu()
        x = torch.cat([x.mean(dim=-1), x.std(dim=-1)], dim=1)[..., None]
        x = F.conv1d(x, self._weights["xvector.dense.linear.weight"])
        return self._normalized("xvector.dense.nonlinear.batchnorm", x)[..., 0]

    def _conv2d(self, name: str, x: torch.Tensor, stride: int = 1, padding: int = 1) -> torch.Tensor:
        # Only the frequency axis is strided: time is kept until the first time-delay layer halves it.
        return F.conv2d(x, self._weights[f"{name}.weight"], stride=(stride, 1), padding=padding)

    def _normalized(self, name: str, x: torch.Tensor) -> torch.Tensor:
        w = self._weights
        return F.batch_norm(
            x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w.get(f"{name}.weight"), w.get(f"{name}.bias")
        )

    def _residual(self, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
        y = self._normalized(f"{name}.bn1", self._conv2d(f"{name}.conv1", x, stride)).relu()
        y = self._normalized(f"{name}.bn2", self._conv2d(f"{name}.conv2", y))
        if f"{name}.shortcut.0.weight" in self._weights:
            x = self._normalized(f"{name}.shortcut.1", self._conv2d(f"{name}.shortcut.0", x, stride, padding=0))
        return (x + y).relu()

    def _dense(self, name: str, x: torch.Tensor, dilation: int) -> torch.Tensor:
        w = self._weights
        x = self._normalized(f"{name}.nonlinear1.batchnorm", x).relu()
        x = self._normalized(f"{name}.nonlinear2.batchnorm", F.conv1d(x, w[f"{name}.linear1.weight"])).relu()
        y = F.conv1d(x, w[f"{name}.cam_layer.linear_local.weight"], padding=dilation, dilation=dilation)
        pooled = F.avg_pool1d(x, _CONTEXT_FRAMES, ceil_mode=True)
        context = x.mean(dim=-1, keepdim=True) + pooled.repeat_interleave(_CONTEXT_FRAMES, dim=-1)[..., : x.shape[-1]]
        context = F.conv1d(context, w[f"{name}.cam_layer.linear1.weight"], w[f"{name}.cam_layer.linear1.bias"]).relu()
        mask = F.conv1d(context, w[f"{name}.cam_layer.linear2.weight"], w[f"{name}.cam_layer.linear2.bias"])
        return y * mask.sigmoid()
