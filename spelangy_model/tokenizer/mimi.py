"""Mimi (transformers' MimiModel) as a speech tokenizer: its semantic codebook at 12.5 Hz.

Put here: that adapter. Do not put here: Mimi itself, or its acoustic codebooks: 31 more streams of codes flattened
into one would be 400 tokens a second, and they add the sound of the voice, which a model that answers in text does not
need. The semantic codebook is distilled from speech representations and carries the spoken words.

Mimi encodes one utterance for each call, because its encoder has no padding mask (transformers 5.23). So the codes of
an utterance cannot depend on other utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from transformers import MimiModel

from spelangy_model.pretrained import load_weights
from spelangy_model.tokenizer.codec import CodecError
from spelangy_model.tokenizer.features import SAMPLE_RATE_HZ
from spelangy_model.tokenizer.speech import TOKEN_RATE_HZ, one_thread, token_count, usable


class MimiCodec:
    """The first (semantic) codebook of a Mimi checkpoint."""

    def __init__(self, model: MimiModel) -> None:
        config = model.config
        if config.frame_rate != TOKEN_RATE_HZ or config.num_semantic_quantizers != 1:
            raise CodecError(
                f"this Mimi has {config.frame_rate:g} frames a second and {config.num_semantic_quantizers} semantic "
                f"codebooks; a speech tokenizer has {TOKEN_RATE_HZ:g} codes a second of one codebook"
            )
        self._model = model.eval()

    @classmethod
    def open(cls, folder: Path, device: str = "cpu") -> MimiCodec:
        """Load a checkpoint folder in float32. Raises CodecError for a Mimi of another frame rate."""
        model = load_weights(MimiModel, folder, dtype=torch.float32)
        torch.nn.Module.to(model, device)
        return cls(model)

    @property
    def codebook_size(self) -> int:
        return int(self._model.config.codebook_size)

    @torch.inference_mode()
    def encode(self, utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the semantic codes of each utterance: see SpeechCodec."""
        codes = []
        with one_thread():
            for position, samples in enumerate(utterances):
                if not np.isfinite(usable(samples, position)).all():
                    raise ValueError(
                        f"utterance {position}: samples have to be finite; this array holds NaN or infinity"
                    )
                wave = soxr.resample(samples, SAMPLE_RATE_HZ, self._model.config.sampling_rate)
                # Resampling rounds the length: pad to whole frames, so that their number follows from `samples`.
                whole = token_count(len(samples)) * round(self._model.config.sampling_rate / TOKEN_RATE_HZ)
                padded = np.zeros(whole, np.float32)
                padded[: min(len(wave), whole)] = wave[:whole]
                values = torch.from_numpy(padded).to(self._model.device)[None, None]
                found: Any = self._model.encode(values, num_quantizers=1)
                codes.append(found.audio_codes[0, 0].cpu().numpy().astype(np.int32))
        return codes
