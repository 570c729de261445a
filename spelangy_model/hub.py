"""Models of the Hugging Face hub that are on this machine.

Put here: finding a model's folder by name or path, without a network. Do not put here: downloads (a person decides
them), loading a model, or files that packages carry (weights.py).
"""

from __future__ import annotations

from pathlib import Path


class ModelMissing(RuntimeError):
    """A model that is not on this machine; the text states how to get it."""


def local_model(model: str) -> Path:
    """Return the folder of a model: `model` itself when it is one, else its snapshot in the local hub cache.

    Raises ModelMissing when it is neither.
    """
    if model and Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise ModelMissing(
            f"the model {model!r} is neither a folder nor in the local Hugging Face cache; "
            f"get it once with: hf download {model}"
        ) from error
