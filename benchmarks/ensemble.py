"""ROVER of three ASR systems, its weights frozen on the sample crawl's truth, on recordings it has not seen.

    make demo
    make web-speech AUDIO=FOLDER
    python benchmarks/ensemble.py FOLDER

FOLDER holds recordings and manifest.jsonl (path, lang, text where known). The systems are those of recipe `sample`,
whose hypotheses are read from the store, and pocketsphinx, which hears the same turns here. Two steps, printed as
Markdown:

1. On the sample crawl's English every setting of a grid (alpha, null's confidence, method, pocketsphinx's weight)
   votes; the one with the fewest word errors is frozen, of equal ones that whose neighbours in the grid err least.
2. With that setting ROVER votes over all English recordings of FOLDER with a text: word errors of each system and of
   ROVER, the difference to the best single system with the 95% interval of a paired bootstrap over recordings, and
   which words became right and which wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from sample_truth import rows_of, total, true_name

from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_model.audio.asr import PocketSphinx, Recognizer, recognize_all
from spelangy_model.audio.io import decode_flac
from spelangy_model.audio.rover import RoverWeights, SystemWeight, rover
from spelangy_model.audio.wer import WordErrors, normalize_english, word_errors
from spelangy_model.audio.windows import Window, make_windows, words_by_segment
from spelangy_model.audio.words import text_of
from spelangy_model.eval.stats import ratio_bootstrap
from spelangy_model.records import Hypothesis, Recording, Segment, Word

THIRD = PocketSphinx(name="pocketsphinx")
ALPHA = (0.0, 0.25, 0.5, 0.75, 1.0)
NULL_CONFIDENCE = (0.1, 0.3, 0.5, 0.7, 0.9)
METHOD = ("meth1", "maxconf", "avgconf")
WEIGHT = (0.2, 0.4, 0.6, 0.8, 1.0)
SEED = 20260101


@dataclass
class Speech:
    """A recording's true words, each system's text of it, and the systems' words turn by turn, in order of time."""

    text: str
    heard: dict[str, str] = field(default_factory=dict)
    turns: list[list[Sequence[Word]]] = field(default_factory=list)

    def voted(self, weights: RoverWeights) -> str:
        return " ".join(text_of(rover(words, weights, list(self.heard)).words) for words in self.turns)


class Remembering:
    """The third system; what it heard in equal sound is kept in a file, so that a second run is cheap."""

    def __init__(self, file: Path, cache_dir: Path) -> None:
        self._file, self._cache_dir = file, cache_dir
        self._heard: dict[str, list[list[Any]]] = json.loads(file.read_text()) if file.exists() else {}
        self._recognizer: Recognizer | None = None

    def recognize(self, windows: Sequence[Window]) -> list[list[Word]]:
        keys = [f"{THIRD} {hashlib.sha256(window.samples.tobytes()).hexdigest()}" for window in windows]
        if new := {key: window for key, window in zip(keys, windows, strict=True) if key not in self._heard}:
            self._recognizer = self._recognizer or THIRD.load(self._cache_dir)
            results = recognize_all(THIRD.name, self._recognizer, list(new.values()))
            for key, result in zip(new, results, strict=True):
                self._heard[key] = [[w.text, w.start_s, w.end_s, w.confidence] for w in result.words]
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._heard))
        return [[Word(*word) for word in self._heard[key]] for key in keys]


@dataclass(frozen=True)
class Aligned:
    """A hypothesis against the reference: which of its words are right, and how many are too many."""

    right: list[bool]
    inserted: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default=None, help="the snapshot's name; default: the folder's")
    chosen = parser.parse_args()
    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    third = Remembering(settings.cache_dir / "ensemble.json", settings.cache_dir)
    snapshots = sorted({row["snapshot"] for row in rows_of("files")})
    sample = [speech for name in snapshots for speech in read(store, name, third, None)]
    weights = frozen(sample)
    print_errors("The sample crawl, on which the weights are chosen", sample, weights)
    print(f"\nFrozen: {weights}")
    truth = {row["path"]: row for row in map(json.loads, (chosen.folder / "manifest.jsonl").read_text().splitlines())}
    texts = {path: row["text"] for path, row in truth.items() if row.get("text") and row["lang"] == "en"}
    unseen = read(store, chosen.name or chosen.folder.resolve().name, third, texts)
    print_errors(f"{chosen.folder.name}: {len(unseen)} English recordings with a text, unseen", unseen, weights)
    print_difference(unseen, weights)


def read(store: ArtifactStore, snapshot: str, third: Remembering, texts: Mapping[str, str] | None) -> list[Speech]:
    """Return what was heard of a snapshot's recordings of known text (by `texts` or the sample's truth), in English."""
    raw, cut, heard = (
        store.resolve(DatasetName(SAMPLE.name, asset, snapshot))
        for asset in ("raw_audio", "speech_segments", "transcript_hypotheses")
    )
    segments: dict[str, list[Segment]] = defaultdict(list)
    for segment in cut.records("segments", Segment):
        segments[segment.recording_id].append(segment)
    words: dict[str, dict[str, Sequence[Word]]] = defaultdict(dict)
    for hypothesis in heard.records("hypotheses", Hypothesis):
        if texts is not None or hypothesis.language == "en":
            words[hypothesis.segment_id][hypothesis.system] = hypothesis.words
    systems = [system.name for system in SAMPLE.graph["transcript_hypotheses"].config.systems] + [THIRD.name]
    several = []
    for recording in raw.records("recordings", Recording):
        if texts is None:
            of_it = [row for row in rows_of("sentences") if row["recording"] == true_name(recording)]
            text = " ".join(row["text"] for row in of_it if row["language"] == "en")
        else:
            text = texts.get(recording.source_uri, "")
        turns = sorted(segments[recording.recording_id], key=lambda s: (s.start_s, s.end_s))
        turns = [turn for turn in turns if turn.segment_id in words]
        if not text:
            continue
        windows = make_windows(decode_flac(recording.audio.bytes), turns)
        for window, spoken in zip(windows, third.recognize(windows), strict=True):
            for segment_id, found in words_by_segment(window, spoken).items():
                words[segment_id][THIRD.name] = found
        speech = Speech(text)
        for system in systems:
            speech.heard[system] = " ".join(text_of(words[turn.segment_id][system]) for turn in turns)
        speech.turns = [[words[turn.segment_id][system] for system in systems] for turn in turns]
        several.append(speech)
    return several


def frozen(sample: Sequence[Speech]) -> RoverWeights:
    """Return the setting of the grid with the fewest word errors; of equals, the one whose neighbours err least."""
    grid = (ALPHA, NULL_CONFIDENCE, METHOD, WEIGHT)
    errors = np.zeros([len(axis) for axis in grid])
    for place in itertools.product(*(range(len(axis)) for axis in grid)):
        errors[place] = _errors(sample, _setting(place)).errors

    def rank(place: tuple[int, ...]) -> tuple[float, float]:
        around = tuple(
            slice(i, i + 1) if axis is METHOD else slice(max(0, i - 1), i + 2)
            for i, axis in zip(place, grid, strict=True)
        )
        return float(errors[place]), float(errors[around].mean())

    return _setting(min(itertools.product(*(range(len(axis)) for axis in grid)), key=rank))


def _setting(place: tuple[int, ...]) -> RoverWeights:
    alpha, null, method, weight = place
    return RoverWeights(
        ALPHA[alpha], NULL_CONFIDENCE[null], METHOD[method], (SystemWeight(THIRD.name, WEIGHT[weight]),)
    )


def _errors(several: Iterable[Speech], weights: RoverWeights) -> WordErrors:
    return total(word_errors([speech.text], [speech.voted(weights)]) for speech in several)


def print_errors(title: str, several: Sequence[Speech], weights: RoverWeights) -> None:
    print(f"\n## {title}\n")
    print("| system | WER | reference words | substitutions | deletions | insertions |\n|---|---|---|---|---|---|")
    for system in several[0].heard:
        _print_row(system, total(word_errors([s.text], [s.heard[system]]) for s in several))
    _print_row("ROVER", _errors(several, weights))


def _print_row(name: str, e: WordErrors) -> None:
    print(
        f"| {name} | {100 * e.rate:.2f}% | {e.reference_words} | {e.substitutions} | {e.deletions} | {e.insertions} |"
    )


def print_difference(several: Sequence[Speech], weights: RoverWeights) -> None:
    """Print ROVER's word error less the best single system's, its interval, and the words that changed."""
    by_system = {system: [word_errors([s.text], [s.heard[system]]) for s in several] for system in several[0].heard}
    best = min(by_system, key=lambda system: total(by_system[system]).rate)
    ours = [word_errors([s.text], [s.voted(weights)]) for s in several]
    more = [mine.errors - its.errors for mine, its in zip(ours, by_system[best], strict=True)]
    units = np.array([errors.reference_words for errors in ours])
    interval = ratio_bootstrap(np.array(more), units, lambda ratios: ratios[0], SEED, "ensemble", resamples=10_000)
    print(
        f"\nROVER less {best}, the best single system: {100 * interval.value:+.2f} points, 95% interval "
        f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f} ({len(several)} recordings, paired bootstrap)."
    )
    right = wrong = added = removed = 0
    for speech in several:
        one, other = (aligned(speech.text, text) for text in (speech.heard[best], speech.voted(weights)))
        right += sum(b and not a for a, b in zip(one.right, other.right, strict=True))
        wrong += sum(a and not b for a, b in zip(one.right, other.right, strict=True))
        removed += max(0, one.inserted - other.inserted)
        added += max(0, other.inserted - one.inserted)
    print(
        f"Of the reference words whose fate ROVER changed against {best}, {right} became right and {wrong} wrong; "
        f"of inserted words it took away {removed} and added {added}."
    )


def aligned(reference: str, hypothesis: str) -> Aligned:
    """Say of each normalized reference word whether a hypothesis has it right, and count what it inserts."""
    said, heard = normalize_english(reference), normalize_english(hypothesis)
    right = [False] * len(said.split())
    if not right:
        return Aligned(right, len(heard.split()))
    inserted = 0
    for chunk in jiwer.process_words(said, heard).alignments[0]:
        if chunk.type == "equal":
            right[chunk.ref_start_idx : chunk.ref_end_idx] = [True] * (chunk.ref_end_idx - chunk.ref_start_idx)
        elif chunk.type == "insert":
            inserted += chunk.hyp_end_idx - chunk.hyp_start_idx
    return Aligned(right, inserted)


if __name__ == "__main__":
    main()
