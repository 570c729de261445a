"""Transducer models of Hugging Face transformers: Parakeet RNN-T and Parakeet TDT, which also predicts durations.

Put here: that adapter. Do not put here: CTC models (transformers_ctc.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spelangy_model.audio.asr.pieces import Piece, words_of
from spelangy_model.audio.asr.protocol import AsrError, Recognizer, WindowResult
from spelangy_model.audio.asr.transformers_model import TransformersRecognizer, locate
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Window


@dataclass(frozen=True)
class TransformersTransducer:
    """The parameters; decoded greedily, `batch_windows` at once, padding masked.

    `kind` is "tdt" (token-and-duration) or "rnnt". Every window is taken as the first of `languages`. A word begins at
    the encoder frame of its first token; a TDT token has the duration that the model predicts, an RNN-T token lasts one
    frame. A word's confidence is the mean of its tokens' probabilities.
    """

    name: str
    model: str
    kind: Literal["tdt", "rnnt"] = "tdt"
    languages: tuple[str, ...] = ("en",)
    batch_windows: int = 8

    joins_recordings = False  # its time grows with the sound

    def locate(self, cache_dir: Path) -> Path:
        if self.kind not in ("tdt", "rnnt"):
            raise AsrError(f"{self.name}: a transducer is tdt or rnnt, not {self.kind!r}")
        return locate(self, "a transducer")

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        return _Recognizer(self, self.locate(cache_dir), device)


class _Recognizer(TransformersRecognizer):
    def __init__(self, system: TransformersTransducer, model_path: Path, device: str) -> None:
        super().__init__(system, "AutoModelForTDT" if system.kind == "tdt" else "AutoModelForRNNT", model_path, device)
        self._durations = system.kind == "tdt"

    def _inputs(self, windows: Sequence[Window]) -> Any:
        return self._features(
            [window.samples for window in windows],
            sampling_rate=SAMPLE_RATE_HZ,
            padding="longest",
            return_attention_mask=True,
            return_tensors="pt",
        )

    def _recognize_batch(self, windows: Sequence[Window], inputs: Any) -> list[WindowResult]:
        import torch

        steps: list[Any] = []
        vocabulary = self._model.config.vocab_size

        def listen(input_ids: Any, scores: Any) -> Any:
            # The scores of a step, before the choice. TDT appends the durations, which are not tokens.
            steps.append(scores[:, :vocabulary].float().softmax(-1).max(-1).values)
            scores[:, vocabulary:] = float("-inf")
            return scores

        with torch.inference_mode():
            output = self._model.generate(
                **inputs.to(self._device), do_sample=False, num_beams=1, logits_processor=[listen]
            )
        tokens, advances = output.sequences[:, 1:], output.durations[:, 1:]  # the first is the start token
        begins = (advances.cumsum(dim=-1) - advances).tolist()
        probabilities = torch.stack(steps, dim=1).tolist()
        frame_s = self._model.config.encoder_config.subsampling_factor * self._features.hop_length / SAMPLE_RATE_HZ
        silent = {self._model.config.blank_token_id, self._model.config.pad_token_id}
        results = []
        for row, window in enumerate(windows):
            duration_s = len(window.samples) / SAMPLE_RATE_HZ
            texts = self._tokenizer.convert_ids_to_tokens(tokens[row].tolist())
            pieces = [
                Piece(text, begin, begin + max(1, int(advance) if self._durations else 1), probability)
                for text, token, begin, advance, probability in zip(
                    texts, tokens[row].tolist(), begins[row], advances[row].tolist(), probabilities[row], strict=True
                )
                if token not in silent and begin * frame_s < duration_s
            ]
            results.append(self._result(window, words_of(pieces, frame_s)))
        return results
