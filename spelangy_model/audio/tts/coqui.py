"""The coqui-tts adapter: natural voices for recipes at scale, for example VITS trained on VCTK, an accent a speaker.

Put here: all that depends on coqui-tts: the paths of its models, loading a model, synthesis alone or in batches, the
list of VCTK speakers. Nothing here downloads: a missing model is an error that states how to get it.

coqui-tts refuses to be imported unless torchaudio and torchcodec can be; VITS and GlowTTS call neither to speak. On a
machine without a CUDA runtime their wheels fail to load, so `_import_api` registers a minimal stand-in for whichever of
the two cannot be imported. Where the real one works, the real one is used.
Source: https://github.com/idiap/coqui-ai-TTS, version 0.28; accents after speaker-info.txt of the VCTK corpus 0.92.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import os
import shutil
import sys
import threading
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.tts.protocol import (
    OWN_RATE_WPM,
    Samples,
    TtsError,
    TtsUnavailable,
    Unspeakable,
    Voice,
    finish,
)
from spelangy_model.extras import missing
from spelangy_model.guarded_json import read_json, read_json_object
from spelangy_model.pretrained import tensors_only
from spelangy_model.rng import stable_rng, stable_seed

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
    TtsUnavailable, which states how to get the model, when a file is missing.
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
    literals = read_json_object(config)
    named = literals.get("speakers_file") or (literals.get("model_args") or {}).get("speakers_file") or ""
    for path in (Path(named), folder / Path(named).name, folder / "speaker_ids.json"):
        if path.suffix == ".json" and path.is_file():
            return frozenset(read_json(path))
    return frozenset()


def check_model(model: str, voices: Sequence[Voice]) -> None:
    """Raise TtsUnavailable unless coqui-tts, the model and its requirements are installed. Loads no weights."""
    if lacking := missing("TTS"):
        raise TtsUnavailable(lacking)
    files = find_model(model)
    if files.speakers:
        unknown = sorted({voice.name for voice in voices} - files.speakers)
        if unknown:
            raise TtsUnavailable(
                f"the coqui-tts model {model!r} has no speaker {unknown}; it has {len(files.speakers)}"
            )
    literals = read_json_object(files.config)
    reads_phonemes = literals.get("use_phonemes") and "espeak" in (literals.get("phonemizer") or "espeak")
    # coqui-tts runs the program; the library in a wheel does not serve it.
    if reads_phonemes and not (shutil.which("espeak-ng") or shutil.which("espeak")):
        raise TtsUnavailable(
            f"the coqui-tts model {model!r} reads phonemes of the program espeak-ng: apt-get install espeak-ng"
        )


class CoquiSynthesizer:
    """Speaks through a coqui-tts model. The same text and voice give the same samples on a CPU with one thread.

    VITS speaks in batches, with the rate and pitch of the voice. The pitch is changed by a change of pace that
    resampling undoes; this also shifts the formants, as in another speaker. Other models speak line by line, without
    control of rate and pitch. Apart from rounding, which depends on the size of the batch, a line does not depend on
    its batch: each line draws its own noise, and beyond its ends the vocoder has the same input as for the line alone.
    """

    def __init__(self, model: str, device: str = "cpu", batch_utterances: int = 1) -> None:
        """Load the model; `digest` is that of its files. Raises TtsUnavailable when one is missing."""
        files = find_model(model)
        api = _import_api()
        with tensors_only():
            self._tts: Any = api.TTS(
                model_path=str(files.checkpoint), config_path=str(files.config), progress_bar=False
            )
        self._tts.to(device)
        self.digest = hashlib.sha256(files.checkpoint.read_bytes() + files.config.read_bytes()).hexdigest()
        self._rate_hz = int(self._tts.synthesizer.output_sample_rate)
        self._batch_utterances = batch_utterances
        self._turn = threading.Lock()  # the draws below come from torch's one generator, and a pace is set on the model
        self._vits = self._open_vits()

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return `text` by the speaker `voice.name`, float32 mono 16 kHz; see `Synthesizer.speak`.

        The models draw noise; it is seeded from the text and the speaker. Raises Unspeakable for a text without a
        letter or digit, and TtsUnavailable for a speaker that the model does not have.
        """
        (spoken,) = self.speak_batch([(text, voice)])
        if isinstance(spoken, Unspeakable):
            raise spoken
        return spoken

    def speak_batch(self, lines: Sequence[tuple[str, Voice]]) -> list[Samples | Unspeakable]:
        """Return the speech of each line; see `BatchSynthesizer.speak_batch`. Lines of similar length share a batch."""
        import torch

        spoken: dict[int, Samples | Unspeakable] = {}
        asked: list[tuple[int, int]] = []  # (length, place)
        for place, (text, voice) in enumerate(lines):
            if any(character.isalnum() for character in text):
                self._speaker(voice)
                asked.append((len(text), place))
            else:
                spoken[place] = Unspeakable("nothing_to_say", f"no letter or digit in {text[:80]!r}")
        places = [place for _, place in sorted(asked)]
        size = self._batch_utterances if self._vits is not None else 1
        with self._turn, torch.random.fork_rng(), torch.inference_mode():
            for start in range(0, len(places), size):
                batch = places[start : start + size]
                chosen = [lines[place] for place in batch]
                waves = [self._alone(*chosen[0])] if self._vits is None else self._vits.speak(chosen)
                for place, (wave, rate_hz) in zip(batch, waves, strict=True):
                    spoken[place] = _finished(wave, rate_hz, lines[place][0])
        return [spoken[place] for place in range(len(lines))]

    def _alone(self, text: str, voice: Voice) -> tuple[npt.NDArray[np.float32], float]:
        """Return the samples of coqui-tts's own interface, and their rate."""
        import torch

        seed = stable_seed(0, "coqui", voice.name, text) % 2**63
        torch.manual_seed(seed)
        kept = np.random.get_state()  # noqa: NPY002 (GlowTTS draws from numpy's global generator)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            wave = self._tts.tts(text, speaker=self._speaker(voice), split_sentences=False)
        finally:
            np.random.set_state(kept)  # noqa: NPY002
        return np.asarray(wave, dtype=np.float32), self._rate_hz

    def _open_vits(self) -> _Vits | None:
        """Return the batched synthesis, if the model is a VITS of one language with its own speakers."""
        from TTS.tts.models.vits import Vits

        model = self._tts.synthesizer.tts_model
        if not isinstance(model, Vits) or model.args.use_language_embedding:
            return None
        if self._tts.is_multi_speaker and not model.args.use_speaker_embedding:
            return None
        return _Vits(model, self._rate_hz, self._speaker)

    def _speaker(self, voice: Voice) -> str | None:
        if not self._tts.is_multi_speaker:
            return None
        # The speakers' file of VCTK VITS has a line break after one name.
        for speaker in self._tts.speakers:
            if speaker.strip() == voice.name:
                return speaker
        raise TtsUnavailable(f"the coqui-tts model has no speaker {voice.name!r}; it has {self._tts.speakers[:10]} ...")


def _finished(wave: npt.NDArray[np.float32], rate_hz: float, text: str) -> Samples | Unspeakable:
    if not np.all(np.isfinite(wave)):
        return Unspeakable("not_finite", f"the model gave NaN or infinity for {text[:80]!r}")
    samples = finish(soxr.resample(wave, rate_hz, SAMPLE_RATE_HZ).astype(np.float32))
    return samples if samples.size else Unspeakable("nothing_to_say", f"the model is silent for {text[:80]!r}")


# --- VITS in batches ----------------------------------------------------------------------------------------

_MARGIN_FRAMES = 16  # more than the vocoder looks ahead
_SEMITONES_AT_FULL_PITCH = 2.0  # of a voice's `pitch` at 0 or 100


class _Vits:
    """Speaks a batch through VITS.inference, with each line's own noise, pace and pitch."""

    def __init__(self, model: Any, rate_hz: int, speaker: Callable[[Voice], str | None]):
        self._model, self._rate_hz, self._speaker = model, rate_hz, speaker
        self._own_length_scale = float(model.length_scale)
        self._decoder, self._latents = model.waveform_decoder, _keep_latents()
        model.waveform_decoder = self._latents

    def speak(self, lines: Sequence[tuple[str, Voice]]) -> list[tuple[npt.NDArray[np.float32], float]]:
        """Return (samples, their sample rate in Hz) of each line."""
        import torch

        model, device = self._model, self._model.device
        ids = [model.tokenizer.text_to_ids(text, language=None) for text, _ in lines]
        lengths = [len(one) for one in ids]
        padded = torch.zeros(len(ids), max(lengths), dtype=torch.long)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = torch.as_tensor(one)
        bends = [2 ** ((voice.pitch - 50) / 50 * _SEMITONES_AT_FULL_PITCH / 12) for _, voice in lines]
        paces = [bend * OWN_RATE_WPM / voice.rate_wpm for bend, (_, voice) in zip(bends, lines, strict=True)]
        speakers = [self._speaker(voice) for _, voice in lines]
        numbers = None
        if speakers[0] is not None:
            known = model.speaker_manager.name_to_id
            numbers = torch.tensor([known[name] for name in speakers], device=device)
        conditions = {
            "x_lengths": torch.tensor(lengths, device=device),
            "speaker_ids": numbers,
            "d_vectors": None,
            "language_ids": None,
        }
        model.length_scale = self._own_length_scale * torch.tensor(paces, device=device).reshape(-1, 1, 1)
        try:
            with torch.inference_mode(), _own_noise([(voice.name, text) for text, voice in lines]):
                outputs = model.inference(padded.to(device), conditions)
                frames = outputs["y_mask"].sum((1, 2)).long().tolist()
                waves = self._decode(outputs["model_outputs"], self._latents.speakers, frames)
        finally:
            model.length_scale = self._own_length_scale
        return [(wave, self._rate_hz * bend) for wave, bend in zip(waves, bends, strict=True)]

    def _decode(self, latents: Any, speakers: Any, frames: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        """Return the samples of each row of latents, shape (rows, channels, frames), up to its number of frames.

        A GPU decodes all rows at once, a CPU one by one, because its cache holds one. Each row is padded with silence,
        since the vocoder looks ahead: its input is then the same whichever row is the longest.
        """
        import torch

        rows = [slice(0, len(frames))] if latents.is_cuda else [slice(i, i + 1) for i in range(len(frames))]
        waves = []
        for row in rows:
            chosen = latents[row, :, : max(frames[row])]
            wave = self._decoder(
                torch.nn.functional.pad(chosen, (0, _MARGIN_FRAMES)), g=None if speakers is None else speakers[row]
            )
            hop = wave.shape[2] // (chosen.shape[2] + _MARGIN_FRAMES)
            sounds = wave[:, 0].float().cpu().numpy()
            waves += [sound[: count * hop] for sound, count in zip(sounds, frames[row], strict=True)]
        return waves


def _keep_latents() -> Any:
    """Return a replacement for a VITS's vocoder that returns the vocoder's input."""
    import torch

    class Latents(torch.nn.Module):
        speakers: Any = None

        def forward(self, latents: Any, g: Any = None) -> Any:
            self.speakers = g
            return latents

    return Latents()


def _own_noise(lines: Sequence[tuple[str, str]]) -> Any:
    """Return a context in which torch.randn and randn_like give each row of a batch (rows, channels, steps) its noise.

    A row's noise depends on its (speaker, text) and on the index of the draw, and its first steps do not depend on
    the number of steps.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class OwnNoise(TorchFunctionMode):
        draws = 0

        def __torch_function__(
            self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            kwargs = kwargs or {}
            if function is torch.randn_like:
                shape, like = args[0].shape, {"device": args[0].device, "dtype": args[0].dtype}
            elif function is torch.randn:
                shape, like = args, {}
            else:
                return function(*args, **kwargs)
            if len(shape) != 3 or shape[0] != len(lines):
                raise TtsError(f"VITS draws noise of the shape {tuple(shape)} for {len(lines)} lines: not this version")
            draws = [
                stable_rng(0, "coqui", *line, self.draws).standard_normal((shape[2], shape[1]), np.float32).T
                for line in lines
            ]
            self.draws += 1
            return torch.from_numpy(np.stack(draws)).to(**like)

    return OwnNoise()


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
