"""Opens the speech tokenizer that a checkpoint holds.

Put here: the choice of a backend by what a checkpoint's config.json states. Do not put here: the protocol (codec.py) or
a backend. No backend is imported before one is opened.
"""

from __future__ import annotations

from pathlib import Path

from spelangy_model.tokenizer.codec import SpeechCodec, own_codec, read_config


def open_codec(folder: Path, device: str = "cpu") -> SpeechCodec:
    """Load the speech tokenizer of a checkpoint folder onto a device. Raises CodecError when it holds none."""
    kind = read_config(folder)["model_type"]
    if (choice := own_codec(kind)) is not None:
        return choice.load(folder, device)
    import torch

    if kind == "mimi":
        from spelangy_model.tokenizer.mimi import MimiCodec

        return MimiCodec.open(folder, device)
    from spelangy_model.pretrained import load_weights
    from spelangy_model.tokenizer.speech import SpeechTokenizer

    model = load_weights(SpeechTokenizer, folder)
    torch.nn.Module.to(model, device)
    return model
