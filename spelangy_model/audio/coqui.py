"""The coqui-tts adapter: natural voices for recipes at scale, for example VITS trained on VCTK, an accent a speaker.

Put here: everything that knows coqui-tts: where its models lie, how one is opened and asked, the roster of VCTK
speakers. Nothing here downloads: a model that is not there is an error that says how to get it.

coqui-tts refuses to be imported unless torchaudio and torchcodec can be; VITS and GlowTTS call neither to speak. On a
machine without a CUDA runtime their wheels fail to load, so `_import_api` registers a minimal stand-in for whichever of
the two cannot be imported. Where the real one works, the real one is used.
Source: https://github.com/idiap/coqui-ai-TTS, version 0.28; accents after speaker-info.txt of the VCTK corpus 0.92.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import shutil
import sys
import threading
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.tts import Samples, TtsUnavailable, Unspeakable, Voice, finish
from spelangy_model.rng import stable_seed

VCTK_VITS = "tts_models/en/vctk/vits"

_VCTK_SPEAKERS = {
    "american": ("p294", "p299", "p311", "p334"),
    "english": ("p225", "p226", "p227", "p228"),
    "indian": ("p248", "p251", "p376"),
    "irish": ("p245", "p266", "p288", "p298"),
    "scottish": ("p237", "p241", "p262", "p264"),
}
VCTK_VOICES: tuple[Voice, ...] = tuple(
    Voice(name=speaker, accent=accent) for accent, speakers in _VCTK_SPEAKERS.items() for speaker in speakers
)

_CHECKPOINTS = ("model_file.pth", "model_file.pth.tar", "model.pth", "checkpoint.pth", "best_model.pth")


@dataclass(frozen=True)
class ModelFiles:
    """A model on disk. `speakers` is empty for a model of one voice."""

    checkpoint: Path
    config: Path
    speakers: frozenset[str]


def find_model(model: str) -> ModelFiles:
    """Return the files of a model: a folder, or a name such as `tts_models/en/vctk/vits` in coqui's own folder.

    That folder is TTS_HOME/tts or XDG_DATA_HOME/tts, else ~/.local/share/tts, as coqui-tts has it. Raises
    TtsUnavailable, which says how to get the model, when a file is missing.
    """
    if not model:
        raise TtsUnavailable(f"name a model of coqui-tts, for example {VCTK_VITS}, or a folder that holds one")
    folder = Path(model)
    if not folder.is_dir():
        home = os.environ.get("TTS_HOME") or os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        folder = Path(home).expanduser() / "tts" / model.replace("/", "--")
    config = folder / "config.json"
    checkpoint = next((folder / name for name in _CHECKPOINTS if (folder / name).is_file()), None)
    if checkpoint is None or not config.is_file():
        raise TtsUnavailable(
            f"the coqui-tts model {model!r} is not there (looked for config.json and a checkpoint in {folder}): "
            f"get it once, with a network, by `tts --model_name {model} --text ready --out_path ready.wav`, "
            "or name a folder that holds both"
        )
    return ModelFiles(checkpoint, config, _speakers_of(folder, config))


def _speakers_of(folder: Path, config: Path) -> frozenset[str]:
    literals = json.loads(config.read_text())
    named = literals.get("speakers_file") or (literals.get("model_args") or {}).get("speakers_file") or ""
    for path in (Path(named), folder / Path(named).name, folder / "speaker_ids.json"):
        if path.suffix == ".json" and path.is_file():
            return frozenset(json.loads(path.read_text()))
    return frozenset()


def check_model(model: str, voices: Sequence[Voice]) -> None:
    """Raise TtsUnavailable unless coqui-tts, the model and what it asks for are there. Loads no weights."""
    if importlib.util.find_spec("TTS") is None:
        raise TtsUnavailable("coqui-tts is missing: pip install coqui-tts")
    files = find_model(model)
    if files.speakers:
        unknown = sorted({voice.name for voice in voices} - files.speakers)
        if unknown:
            raise TtsUnavailable(
                f"the coqui-tts model {model!r} has no speaker {unknown}; it has {len(files.speakers)}"
            )
    literals = json.loads(files.config.read_text())
    reads_phonemes = literals.get("use_phonemes") and "espeak" in (literals.get("phonemizer") or "espeak")
    # coqui-tts runs the program; the library in a wheel does not serve it.
    if reads_phonemes and not (shutil.which("espeak-ng") or shutil.which("espeak")):
        raise TtsUnavailable(
            f"the coqui-tts model {model!r} reads phonemes of the program espeak-ng: apt-get install espeak-ng"
        )


class CoquiSynthesizer:
    """Speaks through a coqui-tts model. The same text and voice give the same samples on a CPU with one thread."""

    def __init__(self, model: str, device: str = "cpu") -> None:
        """Load the model; `digest` is that of its files. Raises TtsUnavailable when one is missing."""
        files = find_model(model)
        api = _import_api()
        self._tts: Any = api.TTS(model_path=str(files.checkpoint), config_path=str(files.config), progress_bar=False)
        self._tts.to(device)
        self.digest = hashlib.sha256(files.checkpoint.read_bytes() + files.config.read_bytes()).hexdigest()
        self._rate_hz = int(self._tts.synthesizer.output_sample_rate)
        self._turn = threading.Lock()  # the draws below come from torch's one generator

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return `text` by the speaker `voice.name`, float32 mono 16 kHz; see `Synthesizer.speak`.

        The voice's rate and pitch are not obeyed: these models have no such dial. The models draw noise; it is
        seeded from the text and the speaker. Raises Unspeakable for a text without a letter or digit, and
        TtsUnavailable for a speaker that the model does not have.
        """
        import torch

        if not any(character.isalnum() for character in text):
            raise Unspeakable("nothing_to_say", f"no letter or digit in {text[:80]!r}")
        speaker = self._speaker(voice)
        seed = stable_seed(0, "coqui", voice.name, text) % 2**63
        with self._turn, torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            kept = np.random.get_state()  # noqa: NPY002 (GlowTTS draws from numpy's global generator)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            try:
                wave = self._tts.tts(text, speaker=speaker, split_sentences=False)
            finally:
                np.random.set_state(kept)  # noqa: NPY002
        samples = np.asarray(wave, dtype=np.float32)
        if not np.all(np.isfinite(samples)):
            raise Unspeakable("not_finite", f"the model gave NaN or infinity for {text[:80]!r}")
        samples = finish(soxr.resample(samples, self._rate_hz, SAMPLE_RATE_HZ).astype(np.float32))
        if samples.size == 0:
            raise Unspeakable("nothing_to_say", f"the model is silent for {text[:80]!r}")
        return samples

    def _speaker(self, voice: Voice) -> str | None:
        if not self._tts.is_multi_speaker:
            return None
        # The speakers' file of VCTK VITS has a line break after one name.
        for speaker in self._tts.speakers:
            if speaker.strip() == voice.name:
                return speaker
        raise TtsUnavailable(f"the coqui-tts model has no speaker {voice.name!r}; it has {self._tts.speakers[:10]} ...")


# --- importing coqui-tts ------------------------------------------------------------------------------------


def _import_api() -> Any:
    """Import TTS.api, with a stand-in for torchaudio and torchcodec where those cannot be imported."""
    for name, make in (("torchaudio", _torchaudio_stand_in), ("torchcodec", _torchcodec_stand_in)):
        try:
            importlib.import_module(name)
        except (ImportError, OSError, RuntimeError):  # a wheel of another build fails on its shared libraries
            for module in [loaded for loaded in sys.modules if loaded.split(".")[0] == name]:
                del sys.modules[module]
            sys.modules.update(make())
    return importlib.import_module("TTS.api")


def _module(name: str, is_package: bool = True, **members: Any) -> types.ModuleType:
    module = types.ModuleType(name, "A stand-in with what coqui-tts asks for in order to speak.")
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=is_package)
    for member, value in members.items():
        setattr(module, member, value)
    return module


def _torchaudio_stand_in() -> dict[str, types.ModuleType]:
    """Return `load` and `functional.resample`, over soundfile and soxr; anything else is an AttributeError."""

    def load(uri: str | Path, **_: Any) -> tuple[Any, int]:
        import soundfile
        import torch

        samples, rate_hz = soundfile.read(str(uri), dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate_hz

    def resample(waveform: Any, orig_freq: int, new_freq: int, **_: Any) -> Any:
        import torch

        changed = soxr.resample(np.moveaxis(waveform.detach().cpu().numpy(), -1, 0), orig_freq, new_freq)
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(changed, 0, -1))).to(waveform)

    functional = _module("torchaudio.functional", is_package=False, resample=resample)
    transforms = _module("torchaudio.transforms", is_package=False)
    package = _module("torchaudio", load=load, functional=functional, transforms=transforms, __version__="0")
    return {"torchaudio": package, "torchaudio.functional": functional, "torchaudio.transforms": transforms}


def _torchcodec_stand_in() -> dict[str, types.ModuleType]:
    """Return a package without members: coqui-tts only asks whether there is one."""
    return {"torchcodec": _module("torchcodec", __version__="0")}
