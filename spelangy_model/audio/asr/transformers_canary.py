"""Canary through Hugging Face transformers: a FastConformer encoder with a decoder that writes case and punctuation.

Put here: that adapter. Do not put here: CTC models (transformers_ctc.py), transducers (transformers_transducer.py).

The decoder gives no times. The times of a word are the frames to which its tokens attend: the monotonic path with the
most log attention through the cross-attention, averaged over the upper half of the decoder's layers and all heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spelangy_model.audio.asr.pieces import Piece, words_of
from spelangy_model.audio.asr.protocol import Recognizer, WindowResult
from spelangy_model.audio.asr.transformers_model import TransformersRecognizer, locate
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window
from spelangy_model.pretrained import load_settings

MAX_TOKENS_PER_S = 12.0  # more than any speaker reaches; ends the loops of a decoder


@dataclass(frozen=True)
class TransformersCanary:
    """The parameters; decoded greedily, `batch_windows` at once, padding masked.

    A window whose language is not known beforehand is taken as the first of `languages`. A word's confidence is the
    mean of its tokens' probabilities.
    """

    name: str
    model: str
    languages: tuple[str, ...] = ("en",)
    batch_windows: int = 8

    joins_recordings = False  # its time grows with the sound

    def locate(self, cache_dir: Path) -> Path:
        return locate(self, "Canary")

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        return _Recognizer(self, self.locate(cache_dir), device)


class _Recognizer(TransformersRecognizer):
    def __init__(self, system: TransformersCanary, model_path: Path, device: str) -> None:
        import transformers

        super().__init__(system, "AutoModelForSpeechSeq2Seq", model_path, device)
        self._processor: Any = load_settings(transformers.AutoProcessor, model_path)
        self._model.set_attn_implementation("eager")  # the others do not return their attention
        config = self._model.config.encoder_config
        self._frame_s = config.subsampling_factor * self._features.hop_length / SAMPLE_RATE_HZ

    def _inputs(self, windows: Sequence[Window]) -> Any:
        return self._processor.apply_transcription_request(
            [window.samples for window in windows],
            source_language=[window.language or self._languages[0] for window in windows],
        )

    def _recognize_batch(self, windows: Sequence[Window], inputs: Any) -> list[WindowResult]:
        import torch

        inputs = inputs.to(self._device)
        prompt_length = inputs["decoder_input_ids"].shape[1]
        longest_s = max(len(window.samples) for window in windows) / SAMPLE_RATE_HZ
        with torch.inference_mode():
            output = self._model.generate(
                **inputs,
                do_sample=False,
                num_beams=1,
                max_new_tokens=8 + int(MAX_TOKENS_PER_S * longest_s),
                return_dict_in_generate=True,
                output_logits=True,
            )
            taken = self._model(
                input_features=inputs["input_features"],
                attention_mask=inputs.get("attention_mask"),
                decoder_input_ids=output.sequences,
                output_attentions=True,
            ).cross_attentions
        upper = taken[len(taken) // 2 :]
        looks = torch.stack(upper).mean(dim=(0, 2)).float().cpu().numpy()  # (windows, tokens, frames)
        probabilities = torch.stack(output.logits, dim=1).float().softmax(-1)
        spoken = output.sequences[:, prompt_length:]
        sure = probabilities.gather(-1, spoken[..., None])[..., 0].tolist()
        results = []
        for row, window in enumerate(windows):
            frames = max(1, min(looks.shape[2], round(len(window.samples) / SAMPLE_RATE_HZ / self._frame_s)))
            tokens = spoken[row].tolist()
            length = next((at for at, token in enumerate(tokens) if token == self._model.config.eos_token_id), None)
            tokens = tokens[:length]
            # The row before a token predicts it, and attends to the sound of that token.
            at = monotonic_path(looks[row, prompt_length - 1 : prompt_length - 1 + len(tokens), :frames])
            texts = self._tokenizer.convert_ids_to_tokens(tokens)
            pieces = [
                Piece(text, frame, frame + 1, probability)
                for text, frame, probability in zip(texts, at, sure[row][:length], strict=True)
            ]
            results.append(self._result(window, words_of(pieces, self._frame_s)))
        return results


def monotonic_path(attention: np.ndarray) -> list[int]:
    """Return a frame for each token, a row of attention (tokens, frames); frames never decrease.

    Of all such paths it has the largest sum of log attention; of equal ones the earliest frames, from the end.
    """
    tokens, frames = attention.shape
    if not tokens:
        return []
    scores = np.log(np.maximum(attention, 1e-9))
    came = np.zeros((tokens, frames), np.int64)
    for token in range(1, tokens):
        best = np.maximum.accumulate(scores[token - 1])
        came[token] = np.searchsorted(best, best)  # the first frame that has as much
        scores[token] += best
    path = [int(scores[-1].argmax())]
    for token in range(tokens - 1, 0, -1):
        path.append(int(came[token, path[-1]]))
    return path[::-1]
