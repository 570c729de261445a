"""Training of the speech tokenizer: CTC on the characters that the codes spell.

Put here: the recipe of the training, its data order, and the measure of the words in the codes. Do not put here:
the model (speech.py), the source of the speech, or files.

The decisive choices (each was measured at this size; without it the training fails or is very slow):
- the latents pass a batch normalization before the quantizer, and for the first `unquantized_steps` they reach the head
  as they are: a quantizer that rounds from the start settles on one code and stays there;
- the latents' dimensions are kept uncorrelated by a term of the loss: where two of them rise and fall together, a
  quarter of the codes is never used; the others then have to carry more, and more characters are lost;
- the heads begin with a preference for the blank, as nearly all of CTC's steps are blank;
- part of the speech is random words, so that it learns words and does not memorize sentences;
- stretches of time and bands of the spectrum are masked (SpecAugment, arXiv 1904.08779).
A second CTC head predicts whole words of the training texts, and is dropped after the training. It makes the codes
separate words, not only letters, as the language model needs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spelangy_model.progress import Progress, silent
from spelangy_model.rng import stable_rng, stable_seed
from spelangy_model.tokenizer import speech_checkpoint
from spelangy_model.tokenizer.features import log_mel
from spelangy_model.tokenizer.mel_sound import sound_mel
from spelangy_model.tokenizer.speech import (
    SUBSAMPLING,
    SpeechTokenizer,
    SpeechTokenizerConfig,
    ctc_labels,
    ctc_text,
    one_thread,
)
from spelangy_model.tokenizer.speech_schedule import SpeechTraining, batches, learning_rate_share

_WORD_STEPS_PER_TOKEN = 2
_BLANK_LOGIT = 3.0
_LOG_EVERY_STEPS = 50
CHECKPOINT_EVERY_STEPS = 200


@dataclass(frozen=True, slots=True)
class Example:
    """An utterance ready for training: features (frames, mel_bins), CTC ids of its characters, and its words.

    `mel` is what the decoder has to give, (frames, the decoder's mel_bins), where the tokenizer has one.
    """

    features: torch.Tensor
    characters: np.ndarray
    words: tuple[str, ...]
    mel: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class TrainedSpeechTokenizer:
    """A trained model and its curve: (step, characters' CTC loss per character, share of codes used in the batch)."""

    model: SpeechTokenizer
    curve: list[tuple[int, float, float]]
    audio_seen_h: float


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The CTC head's transcript of the codes, compared with the spoken text."""

    character_error_rate: float
    word_error_rate: float
    utterances: int
    characters: int


def make_example(samples: np.ndarray, text: str, config: SpeechTokenizerConfig) -> Example | None:
    """Return an utterance for training, or None when its text has no letters or too many for its length.

    CTC needs one output step per character, and one more between two equal ones.
    """
    characters = ctc_labels(text)
    features = log_mel(samples, config.encoder["num_mel_bins"])
    steps = -(-len(features) // SUBSAMPLING) * config.ctc_upsampling
    if len(characters) == 0 or len(characters) + int((characters[1:] == characters[:-1]).sum()) > steps:
        return None
    # In half precision: with 80 bins, 20 hours of speech are 1.2 GB so.
    mel = sound_mel(samples, config.decoder["mel_bins"]).half() if config.decoder else None
    return Example(features, characters, tuple(ctc_text(text).split()), mel)


def _masked(features: torch.Tensor, training: SpeechTraining, rng: np.random.Generator) -> torch.Tensor:
    masked = features.clone()
    frames, bins = features.shape
    for _ in range(training.time_masks):
        width = int(rng.integers(0, min(training.max_time_mask_frames, frames // 4) + 1))
        start = int(rng.integers(0, frames - width + 1))
        masked[start : start + width] = 0.0
    for _ in range(training.mel_masks):
        width = int(rng.integers(0, training.max_mel_mask_bins + 1))
        start = int(rng.integers(0, bins - width + 1))
        masked[:, start : start + width] = 0.0
    return masked


def initialize(model: nn.Module) -> None:
    """Draw weights (from torch's generator) so that signals keep their variance from layer to layer (He et al. 2015).

    Biases start at zero: with torch's own rule they outweigh the signal after five small convolutions, and the encoder
    converges to one output for every input.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            before_relu = isinstance(module, nn.Conv2d)
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu" if before_relu else "linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _parameter_groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict[str, object]]:
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def train_speech_tokenizer(
    examples: Sequence[Example],
    config: SpeechTokenizerConfig,
    training: SpeechTraining,
    log: Callable[[str], None] = lambda text: None,
    work: Path | None = None,
    checkpoint_every_steps: int = CHECKPOINT_EVERY_STEPS,
    progress: Progress = silent,
) -> TrainedSpeechTokenizer:
    """Train a speech tokenizer. On a CPU the same examples and parameters give the same weights, bit for bit.

    With a folder `work` the training saves a checkpoint there at regular steps, and an interrupted training continues
    from the last one, to the same weights. Raises ValueError when there are no examples or a decoder has no weight of
    its loss, RuntimeError when the loss is no longer finite.
    """
    if not examples:
        raise ValueError("there is no speech to train the tokenizer on: the examples are empty")
    if bool(config.decoder) != (training.reconstruction_loss_weight > 0):
        raise ValueError("a decoder and a reconstruction_loss_weight above 0 belong together: give both or neither")
    with one_thread():
        return _train(examples, config, training, log, work, checkpoint_every_steps, progress)


def _train(
    examples: Sequence[Example],
    config: SpeechTokenizerConfig,
    training: SpeechTraining,
    log: Callable[[str], None],
    work: Path | None,
    checkpoint_every_steps: int,
    progress: Progress,
) -> TrainedSpeechTokenizer:
    counts = Counter(word for example in examples for word in example.words)
    known = sorted(word for word, count in counts.items() if count >= training.min_word_occurrences)
    word_ids = {word: i + 2 for i, word in enumerate(known)}  # 0 is the blank, 1 any other word
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_seed(training.seed, "speech tokenizer weights") % 2**63)
        model = SpeechTokenizer(config)
        word_head = nn.Linear(config.encoder["hidden_size"], _WORD_STEPS_PER_TOKEN * (len(known) + 2))
        modules = nn.ModuleList([model, word_head])
        initialize(modules)
        with torch.no_grad():
            model.characters.bias[0] = _BLANK_LOGIT
            word_head.bias.view(_WORD_STEPS_PER_TOKEN, -1)[:, 0] = _BLANK_LOGIT
    modules.train()
    optimizer = torch.optim.AdamW(
        _parameter_groups(modules, training.weight_decay), lr=training.learning_rate, betas=(0.9, 0.98)
    )
    state = speech_checkpoint.RunningState(_digest(examples, config, training))
    if work is not None:
        state = speech_checkpoint.restore(work, state.digest, modules, optimizer)
        if state.step:
            log(f"going on at step {state.step}")
    curve, frames_seen = list(state.curve), state.frames_seen
    order = itertools.islice(batches([len(example.features) for example in examples], training), state.step, None)
    for step in range(state.step, training.steps):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * learning_rate_share(step, training)
        batch = [examples[i] for i in next(order)]
        frames = torch.tensor([len(example.features) for example in batch])
        rng = stable_rng(training.seed, "masks", step)
        features = nn.utils.rnn.pad_sequence(
            [_masked(example.features, training, rng) for example in batch], batch_first=True
        )
        latents, mask = model.latents(features, frames)
        normal = model.normalize(latents, mask)
        quantized, codes = model.quantizer(normal)
        if step < training.unquantized_steps:
            quantized = normal
        hidden = model.read_hidden(quantized, mask)
        tokens = mask.sum(1)
        characters = [torch.from_numpy(example.characters) for example in batch]
        loss = _ctc(model.spell(hidden), tokens * config.ctc_upsampling, characters)
        words = [torch.tensor([word_ids.get(word, 1) for word in example.words]) for example in batch]
        word_scores = word_head(hidden).unflatten(-1, (_WORD_STEPS_PER_TOKEN, -1)).flatten(1, 2).log_softmax(-1)
        word_loss = _ctc(word_scores, tokens * _WORD_STEPS_PER_TOKEN, words)
        optimizer.zero_grad(set_to_none=True)
        apart = correlation(normal[mask])
        total = loss + training.word_loss_weight * word_loss + training.decorrelation_weight * apart
        sound_loss: torch.Tensor | None = None
        if model.decoder is not None:
            sound_loss = reconstruction_loss(model.decoder(quantized, mask), [example.mel for example in batch])
            total = total + training.reconstruction_loss_weight * sound_loss
        total.backward()
        nn.utils.clip_grad_norm_(modules.parameters(), training.max_gradient_norm)
        optimizer.step()
        frames_seen += int(frames.sum())
        if step % _LOG_EVERY_STEPS == 0 or step == training.steps - 1:
            value = loss.item()
            if not math.isfinite(value):
                raise RuntimeError(f"the loss is {value} at step {step}: lower the learning rate")
            used = len(torch.unique(codes[mask])) / config.codebook_size
            curve.append((step, value, used))
            sound = "" if sound_loss is None else f"{sound_loss.item():.3f} nats of mel, "
            log(
                f"step {step}/{training.steps}: loss {value:.3f} a character, {word_loss.item():.3f} a word, {sound}"
                f"{used:.0%} of the codes in the batch, correlation {apart.item():.4f}"
            )
        progress(step + 1, training.steps, "steps")
        if work is not None and (step + 1) % checkpoint_every_steps == 0 and step + 1 < training.steps:
            reached = dataclasses.replace(state, step=step + 1, curve=tuple(curve), frames_seen=frames_seen)
            speech_checkpoint.save(work, reached, modules, optimizer)
    return TrainedSpeechTokenizer(model.eval(), curve, frames_seen / 360_000)


def _digest(examples: Sequence[Example], config: SpeechTokenizerConfig, training: SpeechTraining) -> str:
    digest = hashlib.sha256(json.dumps([config.to_dict(), dataclasses.asdict(training)], sort_keys=True).encode())
    for example in examples:
        digest.update(f"{len(example.features)} {' '.join(example.words)}\n".encode())
    return digest.hexdigest()


def correlation(latents: torch.Tensor) -> torch.Tensor:
    """Return the mean squared correlation between two dimensions of latents (tokens, levels): 0 apart, 1 alike."""
    centred = latents - latents.mean(0)
    normal = centred / (centred.square().mean(0) + 1e-5).sqrt()
    products = normal.T @ normal / len(normal)
    return (products - products.diag().diag()).square().sum() / max(len(products) * (len(products) - 1), 1)


def reconstruction_loss(decoded: torch.Tensor, wanted: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Return the mean absolute error, in nats, of decoded log-mel power (batch, frames, mel_bins).

    `wanted` has each row's own frames; those beyond count for nothing.
    """
    mels = [mel.float() for mel in wanted if mel is not None]
    target = nn.utils.rnn.pad_sequence(mels, batch_first=True)
    frames = torch.tensor([len(mel) for mel in mels])
    spoken = (torch.arange(target.shape[1]) < frames[:, None])[..., None]
    apart = (decoded[:, : target.shape[1]] - target).abs() * spoken
    return apart.sum() / (frames.sum() * target.shape[2])


def _ctc(log_probabilities: torch.Tensor, lengths: torch.Tensor, labels: list[torch.Tensor]) -> torch.Tensor:
    return nn.functional.ctc_loss(
        log_probabilities.transpose(0, 1),
        torch.cat(labels),
        lengths,
        torch.tensor([len(one) for one in labels]),
        zero_infinity=True,  # a text with more words than steps does not train the word head
    )


def round_trip(model: SpeechTokenizer, utterances: Sequence[np.ndarray], texts: Sequence[str]) -> RoundTrip:
    """Encode utterances, read the codes back, and compare with `texts` (both in the CTC head's characters).

    Error rates are edits over the reference's length, over all utterances together (jiwer).
    """
    import jiwer

    references = [ctc_text(text) for text in texts]
    read = model.transcribe(utterances)
    return RoundTrip(
        character_error_rate=float(jiwer.cer(references, read)),
        word_error_rate=float(jiwer.wer(references, read)),
        utterances=len(references),
        characters=sum(len(reference) for reference in references),
    )
