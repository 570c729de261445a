"""ROVER against crowd-kit's, in words a second and word for word; NIST SCTK's `rover` is the judge where there is one.

    pip install crowd-kit
    python benchmarks/rover.py

The hypotheses are the sample crawl's true sentences, joined to segments of `--words` words on average, with seeded
errors: `--wrong` of the words are left out, replaced or doubled, each system by itself. Votes go by frequency alone, as
crowd-kit knows neither times nor confidence. Both sides run in one process, in turn, and their best round counts;
what either imports or compiles in its first call does not.
crowd-kit's costs differ (a substitution costs as much as a gap), and so do its ties: "same words" is counted on the
segments on which SCTK and crowd-kit agree. Votes by frequency alone often tie; where a word and nothing have as many,
SpeLangy takes the word, and SCTK what stands first in the slot: the word that opened it, nothing, then the others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rivals import rival, span

import spelangy_assets
from spelangy_model.audio.ctm import write_ctm
from spelangy_model.audio.rover import RoverWeights, rover
from spelangy_model.audio.words import normalized
from spelangy_model.records import Word
from spelangy_model.rng import stable_rng

SENTENCES = Path(spelangy_assets.__file__).parent / "sample/snapshots/truth/sentences.jsonl"
WEIGHTS = RoverWeights(alpha=1.0, null_confidence=0.0, times=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=40)
    parser.add_argument("--words", type=int, nargs="+", default=[25, 100], help="words a segment, on average")
    parser.add_argument("--systems", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--wrong", type=float, nargs="+", default=[0.1, 0.3], help="share of wrong words a system")
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    compares = rival("crowdkit", "crowd-kit")
    print(f"{chosen.segments} segments, one thread, CPU seconds, words/s of the best of {chosen.rounds} rounds\n")
    print("| words a segment | systems | wrong words | SpeLangy, words/s | crowd-kit, words/s | ratio | same words |")
    print("|---|---|---|---|---|---|---|")
    for length, systems, wrong in itertools.product(chosen.words, chosen.systems, chosen.wrong):
        segments = hypotheses(chosen.segments, length, systems, wrong)
        words = sum(len(hypothesis) for segment in segments for hypothesis in segment)
        vote(segments[0])  # what it compiles once is no part of its speed
        theirs, their_s = None, []
        if compares:
            crowd_kit(segments[:1])
            theirs, their_s = timed(lambda s=segments: crowd_kit(s), chosen.rounds)
        ours, our_s = timed(lambda s=segments: [vote(segment) for segment in s], chosen.rounds)
        speeds = f"{words / min(our_s):,.0f} | - | -"
        if their_s:
            ratios = [other / own for other, own in zip(their_s, our_s, strict=True)]
            speeds = f"{words / min(our_s):,.0f} | {words / min(their_s):,.0f} | {span(ratios, '.1f')}"
        print(
            f"| {length} | {systems} | {wrong:.0%} | {speeds} | {same(ours, theirs, nist(segments))} |",
            flush=True,
        )


def hypotheses(count: int, words: int, systems: int, wrong: float) -> list[list[list[Word]]]:
    """Return for each segment the words of each system."""
    spoken = [w for row in SENTENCES.read_text().splitlines() for w in json.loads(row)["text"].split() if normalized(w)]
    vocabulary = sorted({normalized(word) for word in spoken})
    segments = []
    for index in range(count):
        rng = stable_rng(1, "rover", index, systems, round(100 * wrong))
        length = int(rng.integers(words // 2, words + words // 2 + 1))
        start = int(rng.integers(0, len(spoken) - length))
        truth = [normalized(word) for word in spoken[start : start + length]]
        segments.append([_hypothesis(rng, truth, vocabulary, wrong) for _ in range(systems)])
    return segments


def _hypothesis(rng: np.random.Generator, truth: list[str], vocabulary: list[str], wrong: float) -> list[Word]:
    words = []
    for place, word in enumerate(truth):
        draw = rng.random() / wrong
        other = vocabulary[int(rng.integers(len(vocabulary)))]
        texts = [] if draw < 1 / 3 else [other] if draw < 2 / 3 else [word, other] if draw < 1 else [word]
        for part, text in enumerate(texts):
            start_s = round(0.3 * place + 0.12 * part, 3)
            words.append(Word(text, start_s, round(start_s + 0.11, 3), round(float(rng.uniform(0.3, 1.0)), 6)))
    end_s = round(0.3 * len(truth), 3)  # SCTK cuts what is after the first system has ended
    return [*words, Word("end", end_s, end_s + 0.1, 0.9)]


def timed(work: Callable[[], list[str]], rounds: int) -> tuple[list[str], list[float]]:
    """Return the result and the CPU seconds of each round."""
    taken: list[float] = []
    result: list[str] = []
    for _ in range(rounds):
        began = time.process_time()
        result = work()
        taken.append(time.process_time() - began)
    return result, taken


def vote(segment: list[list[Word]]) -> str:
    return " ".join(word.text for word in rover(segment, WEIGHTS).words)


def crowd_kit(segments: list[list[list[Word]]]) -> list[str]:
    import pandas
    from crowdkit.aggregation import ROVER

    rows = [
        {"task": index, "worker": system, "text": " ".join(word.text for word in words)}
        for index, segment in enumerate(segments)
        for system, words in enumerate(segment)
    ]
    return ROVER(str.split, " ".join).fit_predict(pandas.DataFrame(rows)).sort_index().tolist()


def nist(segments: list[list[list[Word]]]) -> list[str] | None:
    """Return SCTK's words, or None where it is not installed (apt-get install sctk)."""
    program = shutil.which("rover") or shutil.which("rover", path="/usr/lib/sctk/bin")
    if not program:
        return None
    with tempfile.TemporaryDirectory() as folder:
        arguments = []
        for system in range(len(segments[0])):
            path = Path(folder) / f"{system}.ctm"
            path.write_text(write_ctm({f"s{index:06d}": segment[system] for index, segment in enumerate(segments)}))
            arguments += ["-h", str(path), "ctm"]
        out = Path(folder) / "out.ctm"
        settings = ["-m", "meth1", "-a", "1.0", "-c", "0.0", "-s", "-f", "0"]
        subprocess.run([program, *arguments, "-o", str(out), *settings], check=True, capture_output=True)
        texts: list[list[str]] = [[] for _ in segments]
        for row in out.read_text().splitlines():
            fields = row.split()
            texts[int(fields[0][1:])].append(fields[4])
    return [" ".join(words) for words in texts]


def same(ours: list[str], theirs: list[str] | None, judge: list[str] | None) -> str:
    if theirs is None:
        return "-" if judge is None else f"{sum(map(str.__eq__, ours, judge))} of {len(ours)} as SCTK"
    if judge is None:
        return f"{sum(map(str.__eq__, ours, theirs))} of {len(ours)} as crowd-kit (no SCTK to judge)"
    agreed = [index for index, text in enumerate(theirs) if text == judge[index]]
    right = sum(ours[index] == judge[index] for index in agreed)
    return (
        f"{right} of the {len(agreed)} on which both agree; {sum(map(str.__eq__, ours, judge))} of {len(ours)} as SCTK"
    )


if __name__ == "__main__":
    main()
