"""ROVER of three ASR systems, its weights fitted on one half of a folder's recordings and judged on the other.

    make web-speech AUDIO=FOLDER
    python benchmarks/ensemble.py FOLDER

FOLDER holds recordings and manifest.jsonl (path, lang, text where known). The systems are those of recipe `sample`,
whose hypotheses are read from the store, and pocketsphinx, which is run here. The halves are parted by a digest of the
recordings' paths. Printed as Markdown, for the half that was fitted on, the one set aside and both:

* word errors of each system, of ROVER by default and as fitted, and the difference of ROVER to the best single system,
  all with the 95% interval of a bootstrap over recordings;
* what changes with the order of the systems;
* what planted words do: in one system after another, every tenth word is followed by one that is not spoken, at
  confidence 0.9.
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
from sample_truth import total, word_interval

from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_model.audio.asr import PocketSphinx, Recognizer, recognize_all
from spelangy_model.audio.calibration import KnownSpeech, fit_weights
from spelangy_model.audio.io import decode_flac
from spelangy_model.audio.rover import RoverWeights, rover
from spelangy_model.audio.wer import WordErrors, normalize_english, word_errors
from spelangy_model.audio.windows import Window, make_windows, words_by_segment
from spelangy_model.audio.words import text_of
from spelangy_model.eval.stats import ratio_bootstrap
from spelangy_model.records import Hypothesis, Recording, Segment, Word
from spelangy_model.rng import stable_hash, stable_rng

THIRD = PocketSphinx(name="pocketsphinx")
SEED = 20260101
PLANTED_SHARE, PLANTED_CONFIDENCE = 0.1, 0.9


@dataclass
class Speech:
    """A recording's true words, each system's text of it, and the systems' words turn by turn, in order of time."""

    text: str
    recognized: dict[str, str] = field(default_factory=dict)
    turns: list[list[Sequence[Word]]] = field(default_factory=list)

    def voted(self, weights: RoverWeights) -> str:
        return " ".join(text_of(rover(words, weights, list(self.recognized)).words) for words in self.turns)


class Remembering:
    """The third system; what it recognized in equal sound is kept in a file, so that a second run is cheap."""

    def __init__(self, file: Path, cache_dir: Path) -> None:
        self._file, self._cache_dir = file, cache_dir
        self._known: dict[str, list[list[Any]]] = json.loads(file.read_text()) if file.exists() else {}
        self._recognizer: Recognizer | None = None

    def recognize(self, windows: Sequence[Window]) -> list[list[Word]]:
        keys = [f"{THIRD} {hashlib.sha256(window.samples.tobytes()).hexdigest()}" for window in windows]
        if new := {key: window for key, window in zip(keys, windows, strict=True) if key not in self._known}:
            self._recognizer = self._recognizer or THIRD.load(self._cache_dir)
            results = recognize_all(THIRD.name, self._recognizer, list(new.values()))
            for key, result in zip(new, results, strict=True):
                self._known[key] = [[w.text, w.start_s, w.end_s, w.confidence] for w in result.words]
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._known))
        return [[Word(*word) for word in self._known[key]] for key in keys]


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
    truth = {row["path"]: row for row in map(json.loads, (chosen.folder / "manifest.jsonl").read_text().splitlines())}
    texts = {path: row["text"] for path, row in truth.items() if row.get("text") and row["lang"] == "en"}
    report(read(store, chosen.name or chosen.folder.resolve().name, third, texts))


def report(speech: Mapping[str, Speech]) -> None:
    """Fit on one half of recordings, by path, and print what came of it."""
    halves: list[list[Speech]] = [[], []]
    for path, one in sorted(speech.items()):
        halves[int(stable_hash("calibrate", path), 16) % 2].append(one)
    systems = list(halves[0][0].recognized)
    fitted = fit_weights(list(map(known, halves[0])), systems, RoverWeights(written=tuple(systems)))
    print(f"Fitted: {fitted}")
    for title, several in (("fitted on", halves[0]), ("set aside", halves[1]), ("all", halves[0] + halves[1])):
        print(f"\n## {len(several)} English recordings with a text: {title}\n")
        print("| system | WER | 95% over recordings | reference words | substitutions | deletions | insertions |")
        print("|---|---|---|---|---|---|---|")
        for system in systems:
            _print_row(system, [word_errors([s.text], [s.recognized[system]]) for s in several])
        for name, weights in (("ROVER by default", RoverWeights()), ("ROVER as fitted", fitted)):
            _print_row(name, [word_errors([s.text], [s.voted(weights)]) for s in several])
        print_difference(several, fitted)
        print_orders(several, fitted)
        print_planted(several, fitted)


def known(speech: Speech) -> KnownSpeech:
    return KnownSpeech(speech.text, speech.turns)


def print_orders(several: Sequence[Speech], weights: RoverWeights) -> None:
    """Print between which word errors ROVER's lie over all orders of the systems, by default and as fitted."""
    systems = list(several[0].recognized)
    for name, chosen in (("by default", RoverWeights()), ("as fitted", weights)):
        rates = [
            total(
                word_errors(
                    [s.text],
                    [
                        " ".join(
                            text_of(rover([turn[i] for i in order], chosen, [systems[i] for i in order]).words)
                            for turn in s.turns
                        )
                    ],
                )
                for s in several
            ).rate
            for order in itertools.permutations(range(len(systems)))
        ]
        print(f"\nOver all orders of the systems, {name}: {100 * min(rates):.2f}% to {100 * max(rates):.2f}%.")


def print_planted(several: Sequence[Speech], weights: RoverWeights) -> None:
    """Print ROVER's word errors where one system has words that are not spoken, less those where none does."""
    systems = list(several[0].recognized)
    for name, chosen in (("by default", RoverWeights()), ("as fitted", weights)):
        clean = _errors(several, chosen).rate
        more = []
        for place in range(len(systems)):
            with_them = [
                Speech(s.text, s.recognized, [planted(turn, place, f"{n}/{t}") for t, turn in enumerate(s.turns)])
                for n, s in enumerate(several)
            ]
            more.append(f"{100 * (_errors(with_them, chosen).rate - clean):+.2f} in {systems[place]}")
        print(f"\nPlanted words, {name}, points of WER: {', '.join(more)}.")


def planted(turn: Sequence[Sequence[Word]], place: int, key: str) -> list[Sequence[Word]]:
    """Return a turn in which one system says further words, each in the middle between two of its own."""
    rng = stable_rng(SEED, "planted", place, key)
    words: list[Word] = []
    for word in turn[place]:
        words.append(word)
        if rng.random() < PLANTED_SHARE:
            words.append(Word("indeed", word.end_s, word.end_s, PLANTED_CONFIDENCE))
    return [words if system == place else own for system, own in enumerate(turn)]


def read(store: ArtifactStore, snapshot: str, third: Remembering, texts: Mapping[str, str]) -> dict[str, Speech]:
    """Return by path the recognized words of a snapshot's recordings of known text."""
    raw, cut, hypotheses = (
        store.resolve(DatasetName(SAMPLE.name, asset, snapshot))
        for asset in ("raw_audio", "speech_segments", "transcript_hypotheses")
    )
    segments: dict[str, list[Segment]] = defaultdict(list)
    for segment in cut.records("segments", Segment):
        segments[segment.recording_id].append(segment)
    words: dict[str, dict[str, Sequence[Word]]] = defaultdict(dict)
    for hypothesis in hypotheses.records("hypotheses", Hypothesis):
        words[hypothesis.segment_id][hypothesis.system] = hypothesis.words
    systems = [system.name for system in SAMPLE.graph["transcript_hypotheses"].config.systems] + [THIRD.name]
    several = {}
    for recording in raw.records("recordings", Recording):
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
            speech.recognized[system] = " ".join(text_of(words[turn.segment_id][system]) for turn in turns)
        speech.turns = [[words[turn.segment_id][system] for system in systems] for turn in turns]
        several[recording.source_uri] = speech
    return several


def _errors(several: Iterable[Speech], weights: RoverWeights) -> WordErrors:
    return total(word_errors([speech.text], [speech.voted(weights)]) for speech in several)


def _print_row(name: str, errors: Sequence[WordErrors]) -> None:
    e = total(errors)
    print(
        f"| {name} | {100 * e.rate:.2f}% | {word_interval(errors, 2)} | {e.reference_words} | {e.substitutions} | "
        f"{e.deletions} | {e.insertions} |"
    )


def print_difference(several: Sequence[Speech], weights: RoverWeights) -> None:
    """Print ROVER's word error less the best single system's, its interval, and the words that changed."""
    by_system = {
        system: [word_errors([s.text], [s.recognized[system]]) for s in several] for system in several[0].recognized
    }
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
        one, other = (aligned(speech.text, text) for text in (speech.recognized[best], speech.voted(weights)))
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
    wanted, recognized = normalize_english(reference), normalize_english(hypothesis)
    right = [False] * len(wanted.split())
    if not right:
        return Aligned(right, len(recognized.split()))
    inserted = 0
    for chunk in jiwer.process_words(wanted, recognized).alignments[0]:
        if chunk.type == "equal":
            right[chunk.ref_start_idx : chunk.ref_end_idx] = [True] * (chunk.ref_end_idx - chunk.ref_start_idx)
        elif chunk.type == "insert":
            inserted += chunk.hyp_end_idx - chunk.hyp_start_idx
    return Aligned(right, inserted)


if __name__ == "__main__":
    main()
