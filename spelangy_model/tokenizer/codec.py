"""What the rest of the system asks of a speech tokenizer, and which one a checkpoint holds.

Put here: the protocol, and the choice of a backend by the model type that a checkpoint's config.json states. Do not
put here: a backend (speech.py, mimi.py). No backend is imported before one is opened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spelangy_model.guarded_json import JsonError, read_json_object

CODES_PER_S = 12.5  # of every speech tokenizer


class SpeechCodec(Protocol):
    """A frozen speech tokenizer: mono float32 at 16 kHz in, CODES_PER_S codes a second out."""

    @property
    def codebook_size(self) -> int: ...

    def encode(self, utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the codes of each utterance, int32, one for each 80 ms begun, 0 to codebook_size - 1.

        The codes of an utterance depend on its own samples alone. Raises ValueError, naming its position, for an
        utterance that cannot be tokenized.
        """
        ...


class CodecError(ValueError):
    """A checkpoint that holds no speech tokenizer of this project; the text names the file."""


def codebook_size_of(config: Mapping[str, Any], where: str) -> int:
    """Return how many codes a checkpoint has, from its config.json. Raises CodecError for another kind of model."""
    match config.get("model_type"):
        case "spelangy_speech_tokenizer":
            return math.prod(config["fsq_levels"])
        case "mimi":
            return int(config["codebook_size"])
    raise CodecError(
        f"{where} is of a model of type {config.get('model_type')!r}; a speech tokenizer is of type "
        "'spelangy_speech_tokenizer' or 'mimi'"
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config.json of a speech tokenizer's folder. Raises CodecError when it holds none."""
    path = Path(folder, "config.json")
    try:
        config = read_json_object(path)
    except (OSError, JsonError) as error:
        raise CodecError(f"{path}: no readable configuration of a speech tokenizer ({error})") from error
    codebook_size_of(config, str(path))
    return config
