"""The joint vocabulary of a speech language model: text ids, then markers, then speech codes.

Put here: the meaning of ids, and the extension of a causal LM and its tokenizer to them. Do not put here: the format
of sequences (data/interleave.py).

    0 .. text_size - 1                    the text tokenizer's ids, unchanged
    text_size .. text_size + 4            <bos> <eos> <|speech_start|> <|speech_end|> <pad>
    text_size + 5 ..                      speech codes, code c at first_code + c; they end the vocabulary

Codes come last so that a text-only LM (codebook_size 0, its markers trained) is widened by appending rows. The
layout is part of a checkpoint's identity: it is stored beside the weights and compared on every load.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from spelangy_model.guarded_json import JsonError, read_json_object
from spelangy_model.rng import stable_seed

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

NewEmbeddings = Literal["mean_and_spread", "xavier_normal"]
NEW_EMBEDDINGS: tuple[str, ...] = get_args(NewEmbeddings)
LAYOUT_FILE = "vocabulary_layout.json"
MARKERS = ("<bos>", "<eos>", "<|speech_start|>", "<|speech_end|>", "<pad>")


class LayoutError(ValueError):
    """A vocabulary that differs from the expected one."""


@dataclass(frozen=True)
class Layout:
    """The meaning of ids. `codebook_size` is 0 for a text-only model."""

    text_size: int
    codebook_size: int

    def __post_init__(self) -> None:
        if self.text_size < 1 or self.codebook_size < 0:
            raise LayoutError(f"a layout needs text_size >= 1 and codebook_size >= 0, not {self}")

    @property
    def bos(self) -> int:
        return self.text_size

    @property
    def eos(self) -> int:
        return self.text_size + 1

    @property
    def speech_start(self) -> int:
        return self.text_size + 2

    @property
    def speech_end(self) -> int:
        return self.text_size + 3

    @property
    def pad(self) -> int:
        return self.text_size + 4

    @property
    def first_code(self) -> int:
        return self.text_size + len(MARKERS)

    @property
    def size(self) -> int:
        return self.first_code + self.codebook_size

    def save(self, folder: Path) -> None:
        Path(folder, LAYOUT_FILE).write_text(json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Layout:
        """Read the layout of a checkpoint. Raises LayoutError when the folder has none or it cannot be read."""
        path = Path(folder, LAYOUT_FILE)
        try:
            return cls(**read_json_object(path))
        except (OSError, TypeError, JsonError) as error:
            raise LayoutError(f"{path}: no readable vocabulary layout ({error}); save the model with one") from error


def tokenizer_digest(folder: Path) -> str:
    """Return the SHA-256 of the text ids of a tokenizer's folder: token strings by id, markers and codes left out.

    It is equal for a text tokenizer and for the same one extended by `extend_tokenizer`.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    ids = tokenizer.get_vocab(with_added_tokens=False)
    text = "\n".join(f"{index} {token}" for token, index in sorted(ids.items(), key=lambda item: item[1]))
    return hashlib.sha256(text.encode()).hexdigest()


def code_token(code: int) -> str:
    """Return the token string of a speech code."""
    return f"<|speech_{code}|>"


def extend_tokenizer(tokenizer: PreTrainedTokenizerFast, layout: Layout) -> PreTrainedTokenizerFast:
    """Add markers and speech codes to a tokenizer, in place, at the ids of the layout, and return it.

    A tokenizer that already has the markers (a text-only model's) gets the codes only. Raises LayoutError when
    the tokens do not land on the layout's ids.
    """
    from tokenizers import AddedToken

    wanted = [*MARKERS, *(code_token(code) for code in range(layout.codebook_size))]
    added: list[Any] = [AddedToken(token, special=True, normalized=False) for token in wanted]
    tokenizer.add_tokens(added, special_tokens=True)
    for offset, token in enumerate(wanted):
        found = tokenizer.convert_tokens_to_ids(token)
        if found != layout.text_size + offset:
            raise LayoutError(f"token {token!r} has id {found}, the layout wants {layout.text_size + offset}")
    if len(tokenizer) != layout.size:
        raise LayoutError(f"the tokenizer has {len(tokenizer)} ids, the layout {layout.size}")
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = MARKERS[0], MARKERS[1], MARKERS[4]
    return tokenizer


def extend_model(
    model: PreTrainedModel, layout: Layout, known_size: int, seed: int, rule: NewEmbeddings = "mean_and_spread"
) -> None:
    """Give a causal LM the layout's vocabulary, in place: rows below `known_size` are kept, the rest are new.

    New rows, of the input embedding and (if untied) of the output embedding alike, are drawn by `new_rows`.
    `known_size` is the text size for an external LM (its padding rows count as new) and the whole size for a text-only
    model of this project. The draw depends on `seed` and the row's width only.
    """
    import torch

    model.resize_token_embeddings(layout.size, mean_resizing=False)
    embeddings: tuple[Any, Any] = (model.get_input_embeddings(), model.get_output_embeddings())
    tables = {id(table.weight): table.weight for table in embeddings}
    for index, weight in enumerate(tables.values()):
        with torch.no_grad():
            known = weight[:known_size].float()
            generator = torch.Generator().manual_seed(stable_seed(seed, "new_embeddings", index) % 2**63)
            noise = torch.randn(layout.size - known_size, weight.shape[1], generator=generator)
            weight[known_size:] = new_rows(known, noise.to(known.device), rule).to(weight.dtype)
    config: Any = model.config
    config.vocab_size = layout.size
    config.bos_token_id, config.eos_token_id, config.pad_token_id = layout.bos, layout.eos, layout.pad
    generation: Any = model.generation_config
    if generation is not None:
        generation.bos_token_id, generation.eos_token_id, generation.pad_token_id = layout.bos, layout.eos, layout.pad


def new_rows(known: torch.Tensor, noise: torch.Tensor, rule: NewEmbeddings) -> torch.Tensor:
    """Return embeddings of new tokens, of the shape of standard normal `noise` (rows, width).

    mean_and_spread: the mean and the standard deviation, per dimension, of the known rows. A new token starts in the
    distribution of the old ones, and its scale does not favour it in the softmax. xavier_normal (Glorot and Bengio
    2010): the mean 0 and the variance 2 / (rows + width), whatever the known rows are. LayoutError for another rule.
    """
    if rule == "mean_and_spread":
        return known.mean(0) + known.std(0, correction=0) * noise
    if rule == "xavier_normal":
        return noise * (2 / sum(noise.shape)) ** 0.5
    raise LayoutError(f"new embeddings are drawn by the rule {' or '.join(NEW_EMBEDDINGS)}, not {rule!r}")


def check_checkpoint(model: PreTrainedModel, folder: Path, expected: Layout | None = None) -> Layout:
    """Return the layout stored beside a loaded model after checking it against the weights (and `expected`).

    Raises LayoutError: training or scoring with another layout would silently use wrong ids.
    """
    layout = Layout.load(folder)
    if expected is not None and layout != expected:
        raise LayoutError(f"{folder}: the checkpoint has {layout}, this run needs {expected}; start from another one")
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.weight.shape[0]
    if rows != layout.size:
        raise LayoutError(f"{folder}: {rows} embeddings, but its layout has {layout.size} ids")
    return layout
