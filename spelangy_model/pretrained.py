"""Load external models and tokenizers as data only; no other module loads them.

Put here: every call of `from_pretrained` and of `torch.load`, and the checks of a folder before it. Do not put here:
finding a folder (hub.py), or the use of a model.

A folder of Hugging Face can hold code (`auto_map`), pickles, and settings that name other places. None is used:

    load_settings, load_weights   transformers, from a folder alone: no network, no code, safetensors only;
                                  since `trust_remote_code` is False, transformers asks nothing on stdin
    load_tensors                  a file of torch, as tensors and plain containers only
    tensors_only                  the same for a library that calls `torch.load` itself
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".npz")
_REFUSED_SETTINGS = {
    "auto_map": "needs code of its own, which is never run: where transformers knows the kind of model, take auto_map "
    "out of the file, else name another model",
    "transformers_weights": "names its file of weights: save the model again with save_pretrained",
    "base_model_name_or_path": "is an adapter of another model: merge the two and save the whole model",
    "audio_tokenizer_name_or_path": "names another model, which would be loaded from elsewhere: take one that does not",
}
_FORCE_TENSORS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class CheckpointRefused(ValueError):
    """A model folder that is refused; the text names the file, the reason and the cure."""


def check_settings(folder: Path) -> None:
    """Raise CheckpointRefused when a JSON file of a folder asks for code or for files outside of the folder.

    All JSON files are checked, in subfolders too, because the kind of model decides which of them are read. A
    file that cannot be parsed is skipped: transformers reads JSON in the same way, and fails on it.
    """
    if not folder.is_dir():
        raise CheckpointRefused(f"{folder} is no folder: name one that holds a model of Hugging Face")
    for path in sorted(folder.rglob("*.json")):
        if not path.is_file():
            continue
        for name in _settings_of(path) & _REFUSED_SETTINGS.keys():
            raise CheckpointRefused(f"{folder} {_REFUSED_SETTINGS[name]} ({path.relative_to(folder)} has {name!r})")


def _settings_of(path: Path) -> set[str]:
    """Return all names of all objects of a JSON file, but those of numbers: they are the tokens of a vocabulary."""
    names: set[str] = set()

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names.update(name for name, value in pairs if value is not None and not isinstance(value, int | float))
        return {}

    with contextlib.suppress(OSError, ValueError, RecursionError):
        json.loads(path.read_text("utf-8"), object_pairs_hook=look)
    return names


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights that transformers loads from a folder: all are safetensors inside it.

    Raises CheckpointRefused when there are none, or the index names one that is missing or not beside it.
    """
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    index = folder / INDEX_FILE
    if not index.is_file():
        raise CheckpointRefused(
            f"{folder} holds {_instead(folder)}: save it again as safetensors (save_pretrained does), whose file is "
            f"called {WEIGHTS_FILE}"
        )
    try:
        names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointRefused(f"{index} cannot be read ({error}): save the whole model again") from error
    for name in names:
        plain = isinstance(name, str) and name.endswith(".safetensors") and not set(name) & set("/\\")
        if not plain or not (folder / name).is_file():
            raise CheckpointRefused(
                f"{index} names {name!r}, which is no file of safetensors beside it: save the whole model again"
            )
    return [index, *(folder / name for name in sorted(names))]


def _instead(folder: Path) -> str:
    pickles = pickles_of(folder)
    others = [path.name for path in sorted(folder.glob("*.safetensors"))]
    if pickles:
        beside = f" beside {', '.join(others)}, which transformers does not load" if others else ""
        return f"only {', '.join(pickles)}{beside}, and no pickle is opened"
    return f"no {WEIGHTS_FILE}, only {', '.join(others)}" if others else "no weights"


def pickles_of(folder: Path) -> list[str]:
    """Return the names of a folder's files that hold weights in a form other than safetensors."""
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _PICKLES and path.is_file())


def load_settings(loader: Any, folder: Path | str, **options: Any) -> Any:
    """Return `loader.from_pretrained(folder)`: a tokenizer, a configuration or a processor of transformers.

    Raises CheckpointRefused as `check_settings` does.
    """
    check_settings(Path(folder))
    return loader.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False, **options)


def load_weights(loader: Any, folder: Path | str, **options: Any) -> Any:
    """Return `loader.from_pretrained(folder)`: a model of transformers.

    Raises CheckpointRefused as `check_settings` and `weight_files` do.
    """
    from transformers.utils.logging import disable_progress_bar

    check_settings(Path(folder))
    weight_files(Path(folder))
    disable_progress_bar()  # no progress bar in a log
    return loader.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, use_safetensors=True, **options
    )


def load_tensors(path: Path, device: str = "cpu") -> Any:
    """Return what `torch.load` gives: tensors in plain containers. Raises UnpicklingError for anything else."""
    import torch

    return torch.load(path, map_location=device, weights_only=True)


@contextlib.contextmanager
def tensors_only(*also: Any) -> Iterator[None]:
    """Let every `torch.load` of this process take tensors, plain containers and the classes `also`, and nothing else.

    It is for libraries that open files themselves. It overrides their arguments, because torch's environment variable
    takes precedence. The library must be imported first, so that it can register its types.
    """
    import torch

    before = os.environ.get(_FORCE_TENSORS)
    os.environ[_FORCE_TENSORS] = "1"
    try:
        with torch.serialization.safe_globals(list(also)) if also else contextlib.nullcontext():
            yield
    finally:
        if before is None:
            del os.environ[_FORCE_TENSORS]
        else:
            os.environ[_FORCE_TENSORS] = before


def load_pyannote(folder: Path) -> Any:
    """Return a pipeline of pyannote.audio from its folder; of its weights, tensors and pyannote's own descriptions.

    Raises CheckpointRefused as `check_pyannote` does, UnpicklingError for weights that hold anything else.
    """
    check_pyannote(folder)
    from pyannote.audio import Pipeline  # pyright: ignore[reportMissingImports]
    from pyannote.audio.core.task import (  # pyright: ignore[reportMissingImports]
        Problem,
        Resolution,
        Specifications,
    )
    from torch.torch_version import TorchVersion

    with tensors_only(Problem, Resolution, Specifications, TorchVersion):
        return Pipeline.from_pretrained(str(folder))


def check_pyannote(folder: Path) -> None:
    """Raise CheckpointRefused unless the config.yaml of a pipeline names pyannote's own classes and models alone.

    pyannote imports and calls any class named there, and passes models of some names to libraries whose settings are
    code.
    """
    import yaml

    path = folder / "config.yaml"
    try:
        settings = yaml.safe_load(path.read_text("utf-8"))
        pipeline = settings["pipeline"]
        name, parameters = str(pipeline["name"]), json.dumps(pipeline.get("params", {})).lower()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CheckpointRefused(f"{path} cannot be read ({error}): name the folder of a pipeline") from error
    if not name.startswith("pyannote.audio.pipelines."):
        raise CheckpointRefused(f"{path} names the class {name!r}: a pipeline is one of pyannote.audio.pipelines")
    if "preprocessors" in settings:
        raise CheckpointRefused(f"{path} names preprocessors, which would be called: take them out")
    for library in ("speechbrain", "nvidia"):
        if library in parameters:
            raise CheckpointRefused(f"{path} names a model of {library}, whose settings are code: name one of pyannote")
