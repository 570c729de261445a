"""The interface of speech tokenizers, and the choice of the one for a checkpoint.

Put here: the protocol, and the choice of a backend by the model type that a checkpoint's config.json states. Do not
put here: a backend (speech.py, mimi.py). No backend is imported before one is opened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

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


class CodecChoice(Protocol):
    """An external speech tokenizer: a frozen dataclass with a `version`, which `codec` decorates.

    Its checkpoint's config.json states `model_type`, by which readers of the codes find the type.
    """

    model_type: ClassVar[str]

    def locate(self) -> Path:
        """Return the folder of its checkpoint (config.json, model.safetensors). CodecError, with the cure, without."""
        ...

    @staticmethod
    def codebook_size_of(config: Mapping[str, Any]) -> int:
        """Return how many codes a checkpoint has, from its config.json."""
        ...

    @staticmethod
    def load(folder: Path, device: str = "cpu") -> SpeechCodec: ...


_own: dict[str, type[CodecChoice]] = {}
_C = TypeVar("_C", bound=type)


def codec(choice: _C) -> _C:
    """Register the type of a CodecChoice for its checkpoints; the module must be imported.

    ValueError for a model type that is taken.
    """
    kind, known = choice.model_type, _own.get(choice.model_type)
    same = known is None or (known.__module__, known.__qualname__) == (choice.__module__, choice.__qualname__)
    if kind in ("spelangy_speech_tokenizer", "mimi") or not same:
        raise ValueError(f"two speech tokenizers are of the model type {kind!r}: call one otherwise")
    _own[kind] = choice
    return choice


def own_codec(model_type: object) -> type[CodecChoice] | None:
    """Return the external type that opens checkpoints of a model type."""
    return _own.get(str(model_type))


class CodecError(ValueError):
    """A checkpoint that holds no speech tokenizer of this project; the text names the file."""


def codebook_size_of(config: Mapping[str, Any], where: str) -> int:
    """Return how many codes a checkpoint has, from its config.json. Raises CodecError for another kind of model."""
    match config.get("model_type"):
        case "spelangy_speech_tokenizer":
            return math.prod(config["fsq_levels"])
        case "mimi":
            return int(config["codebook_size"])
        case kind if (choice := own_codec(kind)) is not None:
            return choice.codebook_size_of(config)
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
