"""The speech tokenizer: a Conformer encoder, a finite scalar quantizer and a CTC head.

Put here: the model, its presets, and bulk encoding of utterances to codes at 12.5 Hz. Do not put here:
training (train_speech.py), files other than the checkpoint, or knowledge of chunks and shards.

With a decoder, which is trained beside that head, the codes are made log-mel spectra again, and these sound
(mel_sound.py).

The encoder is FastConformer (transformers' ParakeetEncoder, arXiv 2305.05084) behind three strided convolutions over
time, which bring 100 frames a second to 12.5. A linear layer, a batch normalization and finite scalar
quantization (arXiv 2309.15505, vector_quantize_pytorch) follow; the codes are read by a small convolutional head
that is trained with CTC on characters and needs only the codes, so `transcribe_codes` shows what they carry.

Why fixed shapes: the codes of an utterance must not depend on the rest of the batch, down to the last token. Masks
remove the neighbours and the padding; but matrix kernels may add in another order when a batch has another
shape, and a value at the edge between two levels then falls to the other side. So an utterance is always
computed at the one shape (rows, frames) that its own length determines, with empty rows as filling.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import ParakeetEncoder, ParakeetEncoderConfig, PretrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.models.parakeet.modeling_parakeet import ParakeetEncoderAttention
from vector_quantize_pytorch import FSQ

from spelangy_model.ahead import read_ahead
from spelangy_model.tokenizer.codec import CodecError
from spelangy_model.tokenizer.features import HOP_SAMPLES, SAMPLE_RATE_HZ, frame_count, log_mel
from spelangy_model.tokenizer.mel_sound import sound_of_mel

SUBSAMPLING = 8
TOKEN_RATE_HZ = SAMPLE_RATE_HZ / HOP_SAMPLES / SUBSAMPLING  # 12.5
CTC_CHARACTERS = " 'abcdefghijklmnopqrstuvwxyz"  # id 0 is the CTC blank, so these are ids 1 to 28
MAX_UTTERANCE_S = 300.0
_BATCH_FRAMES = 4096
_FEATURE_THREADS = 2


class SpeechTokenizerConfig(PretrainedConfig):
    """Sizes of a speech tokenizer. `encoder` holds the fields of transformers' ParakeetEncoderConfig.

    `decoder` holds the arguments of MelDecoder; without it, codes cannot be made sound.
    """

    model_type = "spelangy_speech_tokenizer"
    decoder: dict[str, int] | None = None

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        fsq_levels: Sequence[int] = (8, 5, 5, 5),
        reading_layers: int = 2,
        head_size: int = 64,
        ctc_upsampling: int = 4,
        decoder: dict[str, int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.encoder = dict(encoder if encoder is not None else _TINY)
        self.fsq_levels = list(fsq_levels)
        self.reading_layers = reading_layers
        self.head_size = head_size
        self.ctc_upsampling = ctc_upsampling
        if decoder:  # else the file has no such field, as the files of checkpoints that know no decoder
            self.decoder = dict(decoder)
        super().__init__(**kwargs)

    @property
    def codebook_size(self) -> int:
        return math.prod(self.fsq_levels)


def _encoder(**sizes: int) -> dict[str, Any]:
    # No dropout: regularization is the masking of the features, and dropout would draw outside of stable_rng.
    off = dict.fromkeys(("dropout", "activation_dropout", "attention_dropout", "layerdrop"), 0.0)
    return {**sizes, **off, "subsampling_factor": SUBSAMPLING, "scale_input": False}


_TINY = _encoder(
    hidden_size=160,
    intermediate_size=320,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=4,
    conv_kernel_size=9,
    num_mel_bins=40,
    subsampling_conv_channels=128,
    max_position_embeddings=4096,
)
_1B = _encoder(
    hidden_size=1024,
    intermediate_size=4096,
    num_hidden_layers=42,
    num_attention_heads=8,
    num_key_value_heads=8,
    conv_kernel_size=9,
    num_mel_bins=80,
    subsampling_conv_channels=256,
    max_position_embeddings=4096,
)
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"encoder": _TINY, "head_size": 64},
    "1b": {"encoder": _1B, "head_size": 512},
}
_DECODERS: dict[str, dict[str, int]] = {
    "tiny": {"mel_bins": 80, "width": 192, "token_layers": 3, "frame_width": 128, "frame_layers": 3},
    "1b": {"mel_bins": 80, "width": 1024, "token_layers": 6, "frame_width": 512, "frame_layers": 6},
}


def preset_config(name: str, decodable: bool = False) -> SpeechTokenizerConfig:
    """Return the configuration of a preset: tiny (1.9 M parameters) or 1b. `decodable`: with a decoder.

    Raises ValueError for another name.
    """
    if name not in PRESETS:
        raise ValueError(f"no speech tokenizer preset {name!r}; there are {', '.join(sorted(PRESETS))}")
    return SpeechTokenizerConfig(**PRESETS[name], decoder=_DECODERS[name] if decodable else None)


def ctc_text(text: str) -> str:
    """Return `text` in the characters of the CTC head: lower case, accents removed, other characters as spaces."""
    plain = unicodedata.normalize("NFKD", text.replace("\u2019", "'")).lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join("".join(c if c in CTC_CHARACTERS else " " for c in plain).split())


def ctc_labels(text: str) -> np.ndarray:
    """Return the CTC ids of `ctc_text(text)`, int64, shape (characters,)."""
    return np.array([CTC_CHARACTERS.index(c) + 1 for c in ctc_text(text)], np.int64)


def token_count(sample_count: int) -> int:
    """Return how many codes an utterance of `sample_count` samples has."""
    return -(-frame_count(sample_count) // SUBSAMPLING)


def usable(samples: np.ndarray, position: int) -> np.ndarray:
    """Return `samples`, or raise ValueError, naming the position, for none, several channels, or over 300 s."""
    if samples.ndim != 1:
        raise ValueError(f"utterance {position} has the shape {samples.shape}; it has to be mono, of shape (samples,)")
    if len(samples) == 0:
        raise ValueError(f"utterance {position} is empty")
    if len(samples) > MAX_UTTERANCE_S * SAMPLE_RATE_HZ:
        raise ValueError(
            f"utterance {position} lasts {len(samples) / SAMPLE_RATE_HZ:.1f} s, more than the "
            f"{MAX_UTTERANCE_S:.0f} s that are tokenized at once: cut it first"
        )
    return samples


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch with one thread inside: the same input then gives the same bits, whatever the machine's core count."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batch_shape(frames: int) -> tuple[int, int]:
    """Return (rows, frames) of the batch in which an utterance of `frames` frames is computed, from `frames` alone."""
    step = 32
    while step * 16 < frames:
        step *= 2
    padded = -(-frames // step) * step
    return max(1, _BATCH_FRAMES // padded), padded


class _SharedPositions(nn.Module):
    """Relative positions once for the whole batch: the encoder's own module computes them again for each row."""

    def __init__(self, per_row: nn.Module) -> None:
        super().__init__()
        self.per_row = per_row

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.per_row(hidden[:1]).expand(len(hidden), -1, -1)


class _SharedProjection(nn.Linear):
    """A projection of `_SharedPositions`: one row is computed, the others are views of it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # the name that nn.Linear gives it
        return super().forward(input[:1]).expand(len(input), -1, -1)


class Subsampling(nn.Module):
    """Eight frames to one by three strided convolutions over time, over all mel bins at once.

    It replaces the encoder's own two-dimensional convolutions, which at a small width learn about three
    times more slowly (measured at 1.4 M parameters).
    """

    def __init__(self, mel_bins: int, width: int, hidden: int) -> None:
        super().__init__()
        sizes = (mel_bins, width, hidden, hidden)
        self.convolutions = nn.ModuleList(nn.Conv1d(a, b, 5, stride=2, padding=2) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[1:])

    def forward(self, features: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return (batch, ceil(frames / 8), hidden) of (batch, frames, mel_bins); padding has no effect."""
        hidden, mask = features.transpose(1, 2), attention_mask.to(features.dtype)[:, None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden = nn.functional.silu(norm(convolution(hidden * mask)))
            mask = mask[:, :, ::2]
        return (hidden * mask).transpose(1, 2)


class ReadingLayer(nn.Module):
    """A residual convolution over the codes' neighbourhood, for the heads that read them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.convolution = nn.Conv1d(size, size, kernel_size=5, padding=2)
        self.out = nn.Linear(size, size)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        around = self.convolution((self.norm(hidden) * mask).transpose(1, 2)).transpose(1, 2)
        return hidden + self.out(nn.functional.silu(around))


class MelDecoder(nn.Module):
    """Quantized latents to log-mel power (mel_sound.py): convolutions over the codes, then over eight frames of each.

    It has no part in common with the heads that read words: what those keep of a code is not what its sound needs.
    """

    def __init__(
        self, latent: int, mel_bins: int, width: int, token_layers: int, frame_width: int, frame_layers: int
    ) -> None:
        super().__init__()
        self.into = nn.Conv1d(latent, width, kernel_size=5, padding=2)
        self.tokens = nn.ModuleList(ReadingLayer(width) for _ in range(token_layers))
        self.spread = nn.Linear(width, SUBSAMPLING * frame_width)
        self.frames = nn.ModuleList(ReadingLayer(frame_width) for _ in range(frame_layers))
        self.norm = nn.LayerNorm(frame_width)
        self.out = nn.Linear(frame_width, mel_bins)

    def forward(self, quantized: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return (batch, 8 * tokens, mel_bins) of (batch, tokens, levels)."""
        spoken = mask[..., None].to(quantized.dtype)
        hidden = self.into((quantized * spoken).transpose(1, 2)).transpose(1, 2)
        for layer in self.tokens:
            hidden = layer(hidden, spoken)
        hidden = self.spread(hidden).unflatten(-1, (SUBSAMPLING, -1)).flatten(1, 2)
        spoken = spoken.repeat_interleave(SUBSAMPLING, 1)
        for layer in self.frames:
            hidden = layer(hidden, spoken)
        return self.out(self.norm(hidden))


class SpeechTokenizer(PreTrainedModel):
    """Speech at 16 kHz to codes of 0 to codebook_size - 1 at 12.5 Hz."""

    config_class = SpeechTokenizerConfig
    base_model_prefix = "speech_tokenizer"
    main_input_name = "features"
    config: SpeechTokenizerConfig

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__(config)
        self.encoder = ParakeetEncoder(ParakeetEncoderConfig(**config.encoder))
        self.encoder.add_module("encode_positions", _SharedPositions(self.encoder.encode_positions))
        for module in self.encoder.modules():
            if isinstance(module, ParakeetEncoderAttention):
                own = module.relative_k_proj
                module.relative_k_proj = _SharedProjection(own.in_features, own.out_features, bias=False)
        hidden, latent = config.encoder["hidden_size"], len(config.fsq_levels)
        width = config.encoder["subsampling_conv_channels"]
        self.encoder.add_module("subsampling", Subsampling(config.encoder["num_mel_bins"], width, hidden))
        self.to_latent = nn.Linear(hidden, latent)
        # Without a normalization, latents shrink until the quantizer gives one code.
        self.normalization = nn.BatchNorm1d(latent, affine=False)
        with torch.device("cpu"):  # it reads its own tables, which loading would put on the meta device
            self.quantizer = FSQ(levels=list(config.fsq_levels))
        self.read_codes = nn.Conv1d(latent, hidden, kernel_size=5, padding=2)
        self.reading = nn.ModuleList(ReadingLayer(hidden) for _ in range(config.reading_layers))
        self.upsample = nn.Linear(hidden, config.ctc_upsampling * config.head_size)
        self.characters = nn.Linear(config.head_size, len(CTC_CHARACTERS) + 1)
        self.decoder = MelDecoder(latent, **config.decoder) if config.decoder else None
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, FSQ):  # its tables are not in the checkpoint, and loading leaves them unset
            with torch.device("cpu"):
                fresh = FSQ(levels=list(self.config.fsq_levels))
            for name, table in fresh.named_buffers():
                init.copy_(getattr(module, name), table)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> SpeechTokenizer:
        """Load a checkpoint folder in float32 (unless `dtype` is given), in evaluation mode."""
        kwargs = {"dtype": torch.float32, "use_safetensors": True, **kwargs}
        return super().from_pretrained(*args, **kwargs)

    # --- the parts of the network ---------------------------------------------------------------------------

    def latents(self, features: torch.Tensor, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (latents, mask): (batch, tokens, levels) before normalization, and which tokens are speech.

        `features` is (batch, frames, mel_bins), zero beyond each row's `frames`.
        """
        frame_mask = torch.arange(features.shape[1], device=features.device) < frames[:, None]
        hidden = self.encoder(features, attention_mask=frame_mask).last_hidden_state
        tokens = (frames + SUBSAMPLING - 1) // SUBSAMPLING
        return self.to_latent(hidden), torch.arange(hidden.shape[1], device=features.device) < tokens[:, None]

    def normalize(self, latents: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Normalize the latents of speech tokens; padding is left out and stays zero."""
        normal = torch.zeros_like(latents)
        normal[mask] = self.normalization(latents[mask])
        return normal

    def read_hidden(self, quantized: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return hidden states (batch, tokens, hidden) of quantized latents (batch, tokens, levels), for the heads."""
        spoken = mask[..., None].to(quantized.dtype)
        hidden = self.read_codes((quantized * spoken).transpose(1, 2)).transpose(1, 2)
        for layer in self.reading:
            hidden = layer(hidden, spoken)
        return nn.functional.silu(hidden)

    def spell(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return CTC log-probabilities (batch, ctc_upsampling * tokens, 29) of the result of `read_hidden`."""
        spread = self.upsample(hidden).unflatten(-1, (self.config.ctc_upsampling, self.config.head_size))
        return self.characters(nn.functional.silu(spread).flatten(1, 2)).log_softmax(-1)

    def forward(self, features: torch.Tensor, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (codes (batch, tokens), -1 on padding; CTC log-probabilities (batch, ctc_upsampling * tokens, 29))."""
        latents, mask = self.latents(features, frames)
        quantized, codes = self.quantizer(self.normalize(latents, mask))
        return codes.masked_fill(~mask, -1), self.spell(self.read_hidden(quantized, mask))

    # --- bulk use ---------------------------------------------------------------------------------------------

    @property
    def codebook_size(self) -> int:
        return self.config.codebook_size

    @torch.inference_mode()
    def encode(self, utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the codes of each utterance (mono float32 at 16 kHz), int32, shape (ceil(frames / 8),), 12.5 a second.

        The codes of an utterance depend on its own samples alone: not on the others, their order or their number.
        Raises ValueError, naming its position, for an utterance that is empty, not finite, not mono or over 300 s.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for position, samples in enumerate(utterances):
            groups.setdefault(batch_shape(frame_count(len(usable(samples, position)))), []).append(position)
        codes: list[np.ndarray] = [np.empty(0, np.int32)] * len(utterances)
        batches = [
            (members[first : first + rows], rows, width)
            for (rows, width), members in sorted(groups.items())
            for first in range(0, len(members), rows)
        ]

        # With a GPU, threads make the features of the next batches while it works on this one.
        threads = 0 if self.device.type == "cpu" else _FEATURE_THREADS
        ready = read_ahead(lambda batch: self._features(utterances, *batch), batches, threads)
        with one_thread():
            for (members, _, _), (features, frames) in ready:
                for position, row in zip(members, self._encode_batch(features, frames), strict=False):
                    codes[position] = row
        return codes

    def _features(
        self, utterances: Sequence[np.ndarray], members: Sequence[int], rows: int, width: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features (rows, width, mel bins) of a batch and how many frames each row has."""
        features = torch.zeros(rows, width, self.config.encoder["num_mel_bins"])
        frames = torch.ones(rows, dtype=torch.long)  # a row without an utterance holds one frame of zeros
        for row, position in enumerate(members):
            try:
                mel = log_mel(utterances[position], features.shape[2])
            except ValueError as error:
                raise ValueError(f"utterance {position}: {error}") from error
            features[row, : len(mel)] = mel
            frames[row] = len(mel)
        return features, frames

    def _encode_batch(self, features: torch.Tensor, frames: torch.Tensor) -> list[np.ndarray]:
        latents, mask = self.latents(features.to(self.device, self.dtype), frames.to(self.device))
        _, indices = self.quantizer(self.normalize(latents, mask).float())
        lengths = mask.sum(1).tolist()
        table = indices.cpu().numpy().astype(np.int32)
        return [table[row, :length].copy() for row, length in enumerate(lengths)]

    @torch.inference_mode()
    def transcribe_codes(self, utterances: Sequence[np.ndarray]) -> list[str]:
        """Return the CTC head's transcript of each utterance's codes (greedy), in the characters of `ctc_text`."""
        texts = []
        with one_thread():
            for codes in utterances:
                ids = torch.from_numpy(np.asarray(codes, np.int64)).to(self.device)[None]
                quantized = self.quantizer.indices_to_codes(ids).to(self.dtype)
                hidden = self.read_hidden(quantized, torch.ones_like(ids, dtype=torch.bool))
                texts.append(greedy_text(self.spell(hidden)[0]))
        return texts

    @property
    def decodable(self) -> bool:
        """Return whether this checkpoint has a decoder: one that was trained with a reconstruction loss."""
        return self.decoder is not None

    @torch.inference_mode()
    def decode_mel(self, utterances: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Return the log-mel power of each utterance's codes, float32, shape (8 * codes, mel_bins): see mel_sound.py.

        Raises CodecError for a checkpoint without a decoder, ValueError for codes that the codebook lacks.
        """
        if self.decoder is None:
            raise CodecError(
                "this speech tokenizer has no decoder, so its codes cannot be made sound: train one with "
                "SpeechTraining(reconstruction_loss_weight=...) above 0"
            )
        spectra = []
        with one_thread():
            for position, codes in enumerate(utterances):
                ids = torch.from_numpy(np.asarray(codes, np.int64)).to(self.device)[None]
                if ids.ndim != 2 or not ids.numel() or not 0 <= int(ids.min()) <= int(ids.max()) < self.codebook_size:
                    raise ValueError(
                        f"utterance {position}: codes are at least one number of 0 to {self.codebook_size - 1}"
                    )
                quantized = self.quantizer.indices_to_codes(ids).to(self.dtype)
                mel = self.decoder(quantized, torch.ones_like(ids, dtype=torch.bool))
                spectra.append(mel[0].float().cpu())
        return spectra

    def decode(self, utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the sound of each utterance's codes: mono float32 at 16 kHz, 1,280 samples a code.

        The decoder gives log-mel power, and Griffin-Lim samples. Equal codes give equal samples. Raises as `decode_mel`
        does.
        """
        spectra = self.decode_mel(utterances)
        with one_thread():
            return [sound_of_mel(mel) for mel in spectra]

    def transcribe(self, utterances: Sequence[np.ndarray]) -> list[str]:
        """Return the CTC head's transcript of the codes of each utterance (mono float32 at 16 kHz)."""
        return self.transcribe_codes(self.encode(utterances))


def greedy_text(log_probabilities: torch.Tensor) -> str:
    """Return the text of the best CTC path of (steps, 29) log-probabilities: repeats merged, blanks removed."""
    best = torch.unique_consecutive(log_probabilities.argmax(-1)).tolist()
    return " ".join("".join(CTC_CHARACTERS[i - 1] for i in best if i).split())


def save_checkpoint(model: SpeechTokenizer, folder: Path) -> None:
    """Write config.json and model.safetensors, weights in half precision; `from_pretrained` loads them to float32.

    Statistics stay in full precision. The model itself is rounded too, so that later measurements are of the
    saved model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: weight.detach().half() for name, weight in model.named_parameters()}
    model.load_state_dict(halves, strict=False)
    model.config.save_pretrained(folder)
    tensors = {name: tensor.contiguous() for name, tensor in sorted({**model.state_dict(), **halves}.items())}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
