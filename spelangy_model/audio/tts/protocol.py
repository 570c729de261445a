"""Text to speech: voices, the interface of synthesizers, and the processing of their sound.

Put here: the `Synthesizer` protocol, the choice of a voice, trimming, level and the checks of a spoken line.
Do not put here: an engine (`espeak.py`, `coqui.py`), the spelling out of numbers (`text/spoken.py`), or shards.

A synthesizer's sound is always float32, mono, 16 kHz, in [-1, 1], with the silence at its ends cut to the
constants below and its active level at `TARGET_LEVEL_DBFS`, so that loudness and pauses reveal neither the accent nor
the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.rng import Key, stable_rng

LEAD_S = 0.05
TAIL_S = 0.10
TARGET_LEVEL_DBFS = -23.0
PEAK_LIMIT = 0.9
OWN_RATE_WPM = 195
_FRAME_S = 0.01
_SILENCE_BELOW_PEAK_DB = 45.0
_ACTIVE_BELOW_PEAK_DB = 30.0

Samples = npt.NDArray[np.float32]


class TtsError(Exception):
    """Speech could not be made from a text; the message names the text or voice and the cure."""


class TtsUnavailable(TtsError):
    """An engine, its model or a voice is missing; the message states how to get it."""


class Unspeakable(TtsError):
    """A text gives no usable speech. `reason` is a fixed word for counts, `detail` the measured fault.

    Reasons: nothing_to_say, control_character, and those of `speech_fault`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice as a recipe names it.

    `name` is the engine's name of it (espeak: `en-us+m3`; coqui: a speaker such as `p225`) and `accent` the accent for
    which it counts. `pitch` is 0 to 100, 50 being the voice's own, and `rate_wpm` words a minute, for coqui relative to
    `OWN_RATE_WPM`, the speaker's own pace; engines without control of rate or pitch ignore them. The jitters are
    half-widths: `choose_voice` draws around the two centres.
    """

    name: str
    accent: str
    rate_wpm: int = OWN_RATE_WPM
    pitch: int = 50
    rate_jitter_wpm: int = 20
    pitch_jitter: int = 15


class Synthesizer(Protocol):
    """An engine that speaks."""

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return `text` in `voice`: float32 mono at 16 kHz, shape (samples,), trimmed and levelled by `finish`.

        Jitters of the voice are not drawn here. The result depends on (text, voice) alone, to the bit where the
        engine runs on a CPU with one thread. Raises Unspeakable when the text gives no speech.
        """
        ...


class SynthesizerChoice(Protocol):
    """The configuration of an engine in a recipe; external: a frozen dataclass with a `version` and these methods."""

    def locate(self, voices: Sequence[Voice]) -> None:
        """Raise TtsUnavailable, with the cure, unless engine, model and each voice are there. Cheap: loads no model."""
        ...

    def load(self, cache_dir: Path | None, device: str = "cpu") -> Synthesizer:
        """Load the engine; with a `cache_dir`, a slow one may cache its speech there."""
        ...


@runtime_checkable
class BatchSynthesizer(Synthesizer, Protocol):
    """An engine that speaks several lines in the time of few."""

    def speak_batch(self, lines: Sequence[tuple[str, Voice]]) -> list[Samples | Unspeakable]:
        """Return what `speak` gives for each (text, voice), up to rounding, or why there is no speech of it."""
        ...


def speak_all(synthesizer: Synthesizer, lines: Sequence[tuple[str, Voice]]) -> list[Samples | Unspeakable]:
    """Return the speech of each (text, voice), or the reason for none; in batches if the engine can."""
    if isinstance(synthesizer, BatchSynthesizer):
        return synthesizer.speak_batch(lines)
    spoken: list[Samples | Unspeakable] = []
    for text, voice in lines:
        try:
            spoken.append(synthesizer.speak(text, voice))
        except Unspeakable as fault:
            spoken.append(fault)
    return spoken


class LoudnessSynthesizer:
    """Brings the speech of another synthesizer to one integrated loudness (ITU-R BS.1770-4), in LUFS.

    Peaks stay at or below `PEAK_LIMIT`, and speech that is too short to have a loudness (0.4 s) stays as it was.
    """

    def __init__(self, synthesizer: Synthesizer, loudness_lufs: float):
        self._synthesizer = synthesizer
        self._target = loudness_lufs

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return `text` in `voice`; see `Synthesizer.speak`."""
        return self._levelled(self._synthesizer.speak(text, voice))

    def speak_batch(self, lines: Sequence[tuple[str, Voice]]) -> list[Samples | Unspeakable]:
        """Return the speech of each line; see `BatchSynthesizer.speak_batch`."""
        spoken = speak_all(self._synthesizer, lines)
        return [one if isinstance(one, Unspeakable) else self._levelled(one) for one in spoken]

    def _levelled(self, samples: Samples) -> Samples:
        from spelangy_model.audio.measures import LEAST_LOUDNESS_LUFS, measure_signal

        loudness = measure_signal(samples).loudness_lufs
        if loudness <= LEAST_LOUDNESS_LUFS:
            return samples
        gain = min(10 ** ((self._target - loudness) / 20), PEAK_LIMIT / float(np.abs(samples).max()))
        return (samples * np.float32(gain)).astype(np.float32)


def choose_voice(voices: Sequence[Voice], seed: int, *keys: Key) -> Voice:
    """Draw a voice, accent first so that accents are equally likely however many voices each has.

    Rate and pitch are drawn uniformly inside the jitters of the voice; the voice that is returned has none left.
    Raises ValueError when `voices` is empty.
    """
    if not voices:
        raise ValueError("choose_voice needs at least one voice")
    rng = stable_rng(seed, "voice", *keys)
    accents = sorted({voice.accent for voice in voices})
    accent = accents[int(rng.integers(len(accents)))]
    candidates = [voice for voice in voices if voice.accent == accent]
    voice = candidates[int(rng.integers(len(candidates)))]
    rate = voice.rate_wpm + int(rng.integers(-voice.rate_jitter_wpm, voice.rate_jitter_wpm + 1))
    pitch = voice.pitch + int(rng.integers(-voice.pitch_jitter, voice.pitch_jitter + 1))
    return replace(voice, rate_wpm=rate, pitch=min(100, max(0, pitch)), rate_jitter_wpm=0, pitch_jitter=0)


def finish(samples: Samples) -> Samples:
    """Trim the silence at both ends and bring speech to the target level.

    Silence is `_SILENCE_BELOW_PEAK_DB` under the loudest 10 ms frame; `LEAD_S` and `TAIL_S` seconds of it are
    left. The level is the RMS of the active frames (those within `_ACTIVE_BELOW_PEAK_DB` of the loudest, the idea
    of ITU-T P.56), lowered when a peak would pass `PEAK_LIMIT`. Sound without any signal comes back empty.
    """
    frame = int(_FRAME_S * SAMPLE_RATE_HZ)
    count = len(samples) // frame
    if count == 0:
        return np.zeros(0, np.float32)
    power = np.mean(samples[: count * frame].reshape(count, frame).astype(np.float64) ** 2, axis=1)
    loudest = float(power.max())
    if loudest <= 0.0:
        return np.zeros(0, np.float32)
    loud = np.flatnonzero(power > loudest * 10 ** (-_SILENCE_BELOW_PEAK_DB / 10))
    start = max(0, int(loud[0]) * frame - int(LEAD_S * SAMPLE_RATE_HZ))
    end = min(len(samples), (int(loud[-1]) + 1) * frame + int(TAIL_S * SAMPLE_RATE_HZ))
    speech = samples[start:end]
    active = power[power > loudest * 10 ** (-_ACTIVE_BELOW_PEAK_DB / 10)]
    gain = 10 ** (TARGET_LEVEL_DBFS / 20) / float(np.sqrt(active.mean()))
    gain = min(gain, PEAK_LIMIT / float(np.abs(speech).max()))
    return (speech * np.float32(gain)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """Limits of a spoken line. Seconds per character are over the characters of the spoken text.

    The band of seconds per character holds every sentence of ordinary English at 120 to 300 words a minute; outside
    it the engine skipped or repeated something. `short_text_characters` and fewer are too few to judge.
    """

    min_s_per_character: ClassVar[float] = 0.025
    max_s_per_character: ClassVar[float] = 0.20
    short_text_characters: ClassVar[int] = 12
    max_duration_s: float = 28.0
    clipped_at: ClassVar[float] = 0.999
    max_clipped_share: ClassVar[float] = 0.001
    max_silence_s: ClassVar[float] = 2.0


def speech_fault(samples: Samples, text: str, limits: SpeechLimits) -> tuple[str, str] | None:
    """Return (reason, measured against threshold) when `samples` cannot be `text` read aloud well, else None.

    Reasons: silent, not_finite, clipped, too_long, spoken_too_fast, spoken_too_slow, long_silence.
    """
    if samples.size == 0 or not np.any(samples):
        return "silent", "no sample differs from zero"
    if not np.all(np.isfinite(samples)):
        return "not_finite", "a sample is NaN or infinite"
    duration_s = samples.size / SAMPLE_RATE_HZ
    clipped = float(np.mean(np.abs(samples) >= limits.clipped_at))
    if clipped > limits.max_clipped_share:
        return "clipped", f"{clipped:.4f} of samples at full scale > {limits.max_clipped_share}"
    if duration_s > limits.max_duration_s:
        return "too_long", f"{duration_s:.2f} s > {limits.max_duration_s} s"
    characters = sum(character.isalnum() for character in text)
    if characters > limits.short_text_characters:
        pace = duration_s / characters
        if pace < limits.min_s_per_character:
            return "spoken_too_fast", f"{pace:.4f} s a character < {limits.min_s_per_character}"
        if pace > limits.max_s_per_character:
            return "spoken_too_slow", f"{pace:.4f} s a character > {limits.max_s_per_character}"
    silence_s = longest_silence_s(samples)
    if silence_s > limits.max_silence_s:
        return "long_silence", f"{silence_s:.2f} s > {limits.max_silence_s} s"
    return None


def speak_lines(
    synthesizer: Synthesizer, lines: Sequence[tuple[str, Voice]], limits: SpeechLimits
) -> list[Samples | Unspeakable]:
    """Speak lines and check the speech of each; a line without usable speech is returned with its reason."""
    checked: list[Samples | Unspeakable] = []
    for (text, _), spoken in zip(lines, speak_all(synthesizer, lines), strict=True):
        fault = None if isinstance(spoken, Unspeakable) else speech_fault(spoken, text, limits)
        checked.append(Unspeakable(*fault) if fault else spoken)
    return checked


def speak_line(synthesizer: Synthesizer, text: str, voice: Voice, limits: SpeechLimits) -> Samples:
    """Speak a text and check the speech. Raises Unspeakable, whose reason the caller counts."""
    (spoken,) = speak_lines(synthesizer, [(text, voice)], limits)
    if isinstance(spoken, Unspeakable):
        raise spoken
    return spoken


def longest_silence_s(samples: Samples) -> float:
    """Return the longest run of 10 ms frames `_SILENCE_BELOW_PEAK_DB` under the loudest, in seconds."""
    frame = int(_FRAME_S * SAMPLE_RATE_HZ)
    count = len(samples) // frame
    if count == 0:
        return 0.0
    power = np.mean(samples[: count * frame].reshape(count, frame).astype(np.float64) ** 2, axis=1)
    loud = power > power.max() * 10 ** (-_SILENCE_BELOW_PEAK_DB / 10)
    edges = np.flatnonzero(np.concatenate(([True], loud, [True])))
    return float(np.diff(edges).max() - 1) * _FRAME_S
