"""Diarization error rate (DER) of the diarizers on recordings whose turns are known.

    python benchmarks/diarization_error.py FOLDER

FOLDER holds recordings with an RTTM file of the same name beside each. Recordings that share a speaker are of one
meeting. A clustering threshold is chosen leave-one-meeting-out: for each meeting the one with the least error (no
collar, overlap counted; of equal ones the lowest) on the other meetings, so that no recording is scored with a
threshold that saw it or its speakers. Intervals are 95% percentile bootstraps over meetings and over recordings, the
thresholds kept. The networks run once a recording; a threshold costs the clustering alone. Errors are counted as NIST's
md-eval does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spelangy_model.audio.diarization import diarize, vad_diarize
from spelangy_model.audio.diarization.der import DiarizationError, diarization_error
from spelangy_model.audio.diarization.diarize import DiarizerSpec, EmbeddedDiarizer
from spelangy_model.audio.diarization.vad_diarize import VadDiarizer, VadSpec
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode
from spelangy_model.audio.rttm import read_rttm
from spelangy_model.audio.turns import Turn, join_gaps
from spelangy_model.rng import stable_rng

THRESHOLDS = tuple(round(0.2 + 0.05 * step, 2) for step in range(15))
SCORINGS = (
    ("no collar, overlap counted", 0.0, False),
    ("0.25 s collar, overlap counted", 0.25, False),
    ("no collar, overlap left out", 0.0, True),
    ("0.25 s collar, overlap left out", 0.25, True),
)
RESAMPLES = 10_000


@dataclass(frozen=True)
class Scored:
    """A recording: samples, true turns, the meeting it is of."""

    samples: np.ndarray
    turns: Sequence[Turn]
    meeting: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class System:
    """A diarizer: what costs (samples -> activity), what a threshold makes of it, the recipe's own threshold."""

    name: str
    analyze: Callable[[np.ndarray], Any]
    turns_of: Callable[[Any, float], list[Turn]]
    own_threshold: float | None


def systems() -> list[System]:
    spec, vad = DiarizerSpec(), VadSpec()
    return [
        System(
            "embedded (segmentation-3.0, CAM++)",
            EmbeddedDiarizer(spec).analyze,
            lambda activity, threshold: diarize.turns_of(activity, replace(spec, threshold=threshold)),
            spec.threshold,
        ),
        System(
            "silero-vad, CAM++",
            VadDiarizer(vad).analyze,
            lambda activity, threshold: vad_diarize.turns_of(activity, replace(vad, threshold=threshold)),
            vad.threshold,
        ),
        System(
            "silero-vad, one speaker",
            VadDiarizer(replace(vad, speakers="one")).analyze,
            lambda activity, threshold: vad_diarize.turns_of(activity, vad),
            None,
        ),
    ]


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    recordings = read_folder(chosen.folder)
    meetings = {recording.meeting for recording in recordings.values()}
    spoken_s = sum(turn.duration_s for recording in recordings.values() for turn in recording.turns)
    audio_s = sum(recording.duration_s for recording in recordings.values())
    size = (
        f"{len(recordings)} recordings of {len(meetings)} meetings, {audio_s:.0f} s, {spoken_s:.0f} s of speaker time"
    )
    print(f"{size}; one thread, CPU seconds\n")
    sweeps: dict[str, dict[float, Mapping[str, list[Turn]]]] = {}
    costs: dict[str, float] = {}
    owns: dict[str, float | None] = {}
    for system in systems():
        system.analyze(next(iter(recordings.values())).samples)  # what is loaded once is no part of the speed
        began = time.process_time()
        activity = {name: system.analyze(recording.samples) for name, recording in recordings.items()}
        for name in recordings:
            system.turns_of(activity[name], system.own_threshold or 0)
        costs[system.name] = time.process_time() - began
        owns[system.name] = system.own_threshold
        sweeps[system.name] = {
            threshold: {name: system.turns_of(activity[name], threshold) for name in recordings}
            for threshold in (THRESHOLDS if system.own_threshold else (0.0,))
        }
    print_errors(recordings, sweeps)
    print_thresholds(recordings, sweeps, owns)
    print_speech(recordings, sweeps, costs)


def read_folder(folder: Path) -> dict[str, Scored]:
    """Return the recordings with RTTM; those that a chain of shared speakers joins are of one meeting."""
    found: dict[str, tuple[np.ndarray, list[Turn]]] = {}
    for rttm in sorted(folder.rglob("*.rttm")):
        sound = next((path for path in sorted(rttm.parent.glob(f"{rttm.stem}.*")) if path.suffix != ".rttm"), None)
        if sound is None:
            print(f"{rttm.name}: no recording beside it\n")
            continue
        turns = [turn for several in read_rttm(rttm.read_text()).values() for turn in several]
        found[sound.relative_to(folder).as_posix()] = decode(sound).samples, turns
    meeting_of = dict(zip(found, range(len(found)), strict=True))
    for name, (_, turns) in found.items():
        speakers = {turn.speaker for turn in turns}
        for other, (_, others) in found.items():
            if speakers & {turn.speaker for turn in others}:
                old, new = sorted((meeting_of[name], meeting_of[other]), reverse=True)
                meeting_of = {key: new if meeting == old else meeting for key, meeting in meeting_of.items()}
    return {name: Scored(samples, turns, meeting_of[name]) for name, (samples, turns) in found.items()}


def errors_of(
    recordings: Mapping[str, Scored], turns: Mapping[str, Sequence[Turn]], collar_s: float = 0.0, skip: bool = False
) -> dict[str, DiarizationError]:
    return {
        name: diarization_error(
            {name: recording.turns}, {name: turns[name]}, duration_s={name: recording.duration_s},
            collar_s=collar_s, skip_overlap=skip,
        )
        for name, recording in recordings.items()
    }  # fmt: skip


def total(errors: Sequence[DiarizationError]) -> DiarizationError:
    parts = ("total_s", "missed_s", "false_alarm_s", "confusion_s")
    return DiarizationError(*(sum(getattr(error, part) for error in errors) for part in parts))


def left_out_thresholds(
    recordings: Mapping[str, Scored], sweep: Mapping[float, Mapping[str, Sequence[Turn]]]
) -> dict[str, float]:
    """Return for each recording the threshold that is best on all meetings but its own."""
    errors = {threshold: errors_of(recordings, turns) for threshold, turns in sweep.items()}

    def rate_without(meeting: int, threshold: float) -> float:
        return total([errors[threshold][name] for name, other in recordings.items() if other.meeting != meeting]).rate

    best = {
        meeting: min(sweep, key=lambda threshold: (rate_without(meeting, threshold), threshold))
        for meeting in {recording.meeting for recording in recordings.values()}
    }
    return {name: best[recording.meeting] for name, recording in recordings.items()}


def interval(errors: Mapping[str, DiarizationError], groups: Mapping[str, object], *key: str) -> str:
    """Return the 95% percentile interval of the rate over all, groups of recordings drawn with replacement."""
    _, index = np.unique([str(groups[name]) for name in errors], return_inverse=True)
    wrong = np.bincount(index, [error.rate * error.total_s if error.total_s else 0.0 for error in errors.values()])
    spoken = np.bincount(index, [error.total_s for error in errors.values()])
    drawn = stable_rng(0, "diarization", *key).integers(0, len(spoken), (RESAMPLES, len(spoken)))
    low, high = np.quantile(wrong[drawn].sum(1) / spoken[drawn].sum(1), [0.025, 0.975])
    return f"{100 * low:.1f} to {100 * high:.1f}%"


def print_errors(recordings: Mapping[str, Scored], sweeps: Mapping[str, Any]) -> None:
    print("## DER, the threshold chosen leave-one-meeting-out\n")
    print("| diarizer | scored | DER | 95% over meetings | 95% over recordings | missed | false alarm | confusion |")
    print("|---|---|---|---|---|---|---|---|")
    notes = []
    for system, sweep in sweeps.items():
        thresholds = left_out_thresholds(recordings, sweep)
        if len(sweep) > 1:
            notes.append(f"{system}: {', '.join(f'{value:g}' for value in sorted(set(thresholds.values())))}")
        found = {name: sweep[threshold][name] for name, threshold in thresholds.items()}
        for words, collar_s, skip in SCORINGS:
            errors = errors_of(recordings, found, collar_s, skip)
            whole = total(list(errors.values()))
            parts = [whole.missed_s, whole.false_alarm_s, whole.confusion_s]
            over_meetings = interval(errors, {name: recording.meeting for name, recording in recordings.items()}, words)
            over_recordings = interval(errors, {name: name for name in recordings}, words)
            print(
                f"| {system} | {words} | {100 * whole.rate:.1f}% | {over_meetings} | {over_recordings} | "
                + " | ".join(f"{100 * part / whole.total_s:.1f}%" for part in parts)
                + " |"
            )
    print(f"\nThresholds chosen: {'; '.join(notes)}\n")


def print_thresholds(
    recordings: Mapping[str, Scored], sweeps: Mapping[str, Any], owns: Mapping[str, float | None]
) -> None:
    names = [name for name in sweeps if owns[name]]
    print("## DER by threshold on all recordings (no collar, overlap counted); **default**\n")
    print(f"| threshold | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for threshold in THRESHOLDS:
        cells = []
        for name in names:
            rate = total(list(errors_of(recordings, sweeps[name][threshold]).values())).rate
            cells.append(f"**{100 * rate:.1f}%**" if threshold == owns[name] else f"{100 * rate:.1f}%")
        print(f"| {threshold:g} | {' | '.join(cells)} |")


def print_speech(recordings: Mapping[str, Scored], sweeps: Mapping[str, Any], costs: Mapping[str, float]) -> None:
    """Print how well speech is found, without speakers, and what a diarizer costs in all."""

    def as_one_speaker(turns: Sequence[Turn]) -> list[Turn]:
        return join_gaps([replace(turn, speaker="speech") for turn in turns], 0.0)

    truth = {name: replace(recording, turns=as_one_speaker(recording.turns)) for name, recording in recordings.items()}
    audio_s = sum(recording.duration_s for recording in recordings.values())
    print("\n## Speech against silence, without speakers (no collar), and the cost with speakers\n")
    print("| diarizer | error | missed | false alarm | CPU s | times real time |\n|---|---|---|---|---|---|")
    for system, sweep in sweeps.items():
        found = {name: as_one_speaker(turns) for name, turns in next(iter(sweep.values())).items()}
        whole = total(list(errors_of(truth, found).values()))
        shares = " | ".join(
            f"{100 * part / whole.total_s:.1f}%"
            for part in (whole.missed_s + whole.false_alarm_s, whole.missed_s, whole.false_alarm_s)
        )
        print(f"| {system} | {shares} | {costs[system]:.1f} | {audio_s / costs[system]:.0f} |")


if __name__ == "__main__":
    main()
