"""`spelangy calibrate`: fits the literals of the vote on a snapshot whose text is known.

Put here: joining hypotheses with reference texts, and the printing. Do not put here: fitting
(spelangy_model/audio/calibration.py).
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from spelangy_assets.execution.stage import InputError
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_model.audio.calibration import KnownSpeech, errors_of, fit_weights
from spelangy_model.audio.rover import RoverWeights
from spelangy_model.audio.wer import word_errors
from spelangy_model.audio.words import text_of
from spelangy_model.records import Hypothesis, Recording, Segment, Word
from spelangy_model.rng import stable_hash


def known_speech(
    store: ArtifactStore, recipe: str, snapshot: str | None, truth: Path
) -> tuple[list[str], dict[str, KnownSpeech]]:
    """Return the systems, and by its place in the snapshot each recording with a text in `truth`.

    `truth` is JSONL with the keys `path` and `text`, a line a recording. Raises InputError for a line without them or
    when no recording of the snapshot has a text, and what the store raises when a dataset is not published.
    """
    texts: dict[str, str] = {}
    for number, line in enumerate(truth.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            path, text = row["path"], row.get("text") or ""
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{truth}:{number}: a line is a JSON object with the keys path and text") from error
        if not isinstance(path, str) or not isinstance(text, str):
            raise InputError(f"{truth}:{number}: path and text are strings")
        if text.strip():
            texts[path] = text

    raw, cut, recognized = (
        store.resolve(DatasetName(recipe, one, snapshot))
        for one in ("raw_audio", "speech_segments", "transcript_hypotheses")
    )
    words: dict[str, dict[str, Sequence[Word]]] = defaultdict(dict)
    systems: dict[str, None] = {}
    for hypothesis in recognized.records("hypotheses", Hypothesis):
        words[hypothesis.segment_id][hypothesis.system] = hypothesis.words
        systems[hypothesis.system] = None
    segments: dict[str, list[Segment]] = defaultdict(list)
    for segment in cut.records("segments", Segment):
        if segment.segment_id in words:
            segments[segment.recording_id].append(segment)
    found = {}
    for recording in raw.records("recordings", Recording):
        if recording.source_uri in texts:
            turns = sorted(segments[recording.recording_id], key=lambda turn: (turn.start_s, turn.end_s))
            by_turn = [[words[turn.segment_id].get(system, []) for system in systems] for turn in turns]
            found[recording.source_uri] = KnownSpeech(texts[recording.source_uri], by_turn)
    if not found:
        raise InputError(f"{truth}: no path of it is a recording of the snapshot {snapshot or raw.name.partition}")
    return list(systems), found


def calibrate(
    store: ArtifactStore, recipe: str, snapshot: str | None, truth: Path, stream: TextIO = sys.stdout
) -> RoverWeights:
    """Fit on one half of the recordings, by a digest of their path; print the literals and both halves' word errors."""
    systems, speech = known_speech(store, recipe, snapshot, truth)
    halves: list[list[KnownSpeech]] = [[], []]
    for path, one in sorted(speech.items()):
        halves[int(stable_hash("calibrate", path), 16) % 2].append(one)
    fitted = fit_weights(halves[0] or halves[1], systems, RoverWeights(written=tuple(systems)))
    print(f"# {fitted}", file=stream)
    print("RoverWeights(", file=stream)
    print(f"    alpha={fitted.alpha}, null_confidence={fitted.null_confidence}, written={fitted.written},", file=stream)
    print(f"    calibrations=({', '.join(map(str, fitted.calibrations))},),", file=stream)
    print(")\n", file=stream)
    for name, half in zip(("fitted on", "set aside"), halves, strict=True):
        if not half:
            continue
        references = [one.text for one in half]
        errors = {
            system: word_errors(references, [" ".join(text_of(turn[place]) for turn in one.turns) for one in half])
            for place, system in enumerate(systems)
        }
        total = next(iter(errors.values())).reference_words
        rates = {system: found.errors / max(total, 1) for system, found in errors.items()}
        for label, weights in (("the vote by default", RoverWeights()), ("the vote as fitted", fitted)):
            rates[label] = errors_of(half, systems, weights) / max(total, 1)
        line = ", ".join(f"{label} {100 * rate:.2f}%" for label, rate in rates.items())
        print(f"# {name} {len(half)} recordings, {total} words: WER of {line}", file=stream)
    return fitted
