"""ASR over a folder of short recordings: windows that recordings share, each alone, and whisper-timestamped by files.

    python benchmarks/asr_batching.py FOLDER [--models base --every 4 --rival]

FOLDER holds recordings and manifest.jsonl (path, lang, text where known); `--every` takes each so many-th of its
English recordings of a known text that last at most `--longest` seconds. Three ways, from files to words with times,
all with the same weights:

* shared: FasterWhisper (CTranslate2), as the stage transcript_hypotheses asks its first system of recordings whose
  language is known (`recognize_together`): joined into windows of up to 28 s, in batches, words given back to
  recordings; one without words, or with more words than speech has in its time, again by itself;
* alone: the same system on each recording by itself, in batches;
* with `--rival`, by files: `whisper_timestamped.transcribe(model, samples, language="en")` with its defaults.

None is given turns. All run in one process of one thread with their models loaded, in turn on `--group` recordings at a
time, the number that the stage takes together. Errors are compared on the whole and on each of four parts (every fourth
recording, from the first, the second, ...), by a paired bootstrap over recordings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spelangy_assets.settings import Settings
from spelangy_model.audio.asr import FasterWhisper, Recognizer, recognize_together
from spelangy_model.audio.asr.protocol import recognize_all
from spelangy_model.audio.io import decode
from spelangy_model.audio.wer import word_errors
from spelangy_model.audio.windows import Piece, Window
from spelangy_model.audio.words import text_of
from spelangy_model.eval.stats import ratio_bootstrap
from spelangy_model.weights import whisper_openai

PARTS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", choices=["tiny.en", "base"], default=["tiny.en", "base"])
    parser.add_argument("--precision", default="int8", help="of CTranslate2: int8 or float32")
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--longest", type=float, default=20.0)
    parser.add_argument("--group", type=int, default=32)
    parser.add_argument("--rival", action="store_true", help="whisper-timestamped too")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in (chosen.folder / "manifest.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["lang"] == "en" and row.get("text") and row["duration_s"] <= chosen.longest][
        :: chosen.every
    ]
    files, texts = [chosen.folder / row["path"] for row in rows], [row["text"] for row in rows]
    seconds = sum(row["duration_s"] for row in rows)
    print(
        f"{len(files)} recordings, {seconds:.0f} s, every {chosen.every}th of at most {chosen.longest:g} s; "
        f"CTranslate2 at {chosen.precision}, beam {chosen.beam_size}; in turn on {chosen.group} recordings\n"
    )
    for model in chosen.models:
        compare(model, files, texts, chosen)


def compare(model: str, files: Sequence[Path], texts: Sequence[str], chosen: argparse.Namespace) -> None:
    cache_dir = Settings.from_environment().cache_dir
    system = FasterWhisper(name=model, model=f"package:{model}", beam_size=chosen.beam_size, precision=chosen.precision)
    ours = system.load(cache_dir)
    ways: dict[str, Callable[[Sequence[Path]], tuple[list[str], int]]] = {
        "shared": lambda some: shared_windows(ours, some),
        "alone": lambda some: each_alone(ours, some),
    }
    if chosen.rival:
        theirs = load_theirs(model, cache_dir)
        ways["whisper-timestamped"] = lambda some: file_by_file(theirs, some)
    for listen in ways.values():
        listen(files[:1])
    taken = {way: [0.0, 0.0] for way in ways}
    recognized: dict[str, list[str]] = {way: [] for way in ways}
    calls = dict.fromkeys(ways, 0)
    for begin in range(0, len(files), chosen.group):
        for way, listen in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            found, called = listen(files[begin : begin + chosen.group])
            taken[way][0] += time.process_time() - cpu
            taken[way][1] += time.perf_counter() - wall
            recognized[way] += found
            calls[way] += called
    print("| weights | way | CPU s | ratio | wall s | WER | substitutions | deletions | insertions | calls |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for way, hypotheses in recognized.items():
        e = word_errors(texts, hypotheses)
        cpu_s, wall_s = taken[way]
        print(
            f"| {model} | {way} | {cpu_s:.1f} | x{cpu_s / taken['shared'][0]:.1f} | {wall_s:.1f} | "
            f"{100 * e.rate:.2f}% | {e.substitutions} | {e.deletions} | {e.insertions} | {calls[way]} |"
        )
    print("\n| weights | recordings | shared | alone | shared less alone, 95% over recordings |\n|---|---|---|---|---|")
    parts = {f"every {PARTS}th, from number {part}": slice(part, None, PARTS) for part in range(PARTS)}
    for name, places in {"all": slice(None), **parts}.items():
        print_difference(model, name, texts[places], recognized["shared"][places], recognized["alone"][places])


def print_difference(model: str, name: str, texts: Sequence[str], shared: Sequence[str], alone: Sequence[str]) -> None:
    errors = [[word_errors([text], [one]) for text, one in zip(texts, found, strict=True)] for found in (shared, alone)]
    units = np.array([one.reference_words for one in errors[0]], float)
    wrong = np.array([[one.errors for one in found] for found in errors], float)
    difference = ratio_bootstrap(wrong, units, lambda rate: rate[0] - rate[1], 0, "sharing", resamples=10_000)
    rates = 100 * wrong.sum(axis=1) / units.sum()
    print(
        f"| {model} | {name}: {len(texts)} | {rates[0]:.2f}% | {rates[1]:.2f}% | {rates[0] - rates[1]:+.2f} points, "
        f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f} |",
        flush=True,
    )


def load_theirs(model: str, cache_dir: Path) -> Any:
    import whisper
    import whisper_timestamped

    loaded: Any = whisper_timestamped.load_model(str(whisper_openai(model, cache_dir)), device="cpu")  # type: ignore[arg-type]
    loaded.set_alignment_heads(vars(whisper)["_ALIGNMENT_HEADS"][model])  # known by a model's name, not by its file
    return loaded


def file_by_file(model: Any, files: Sequence[Path]) -> tuple[list[str], int]:
    import whisper_timestamped

    texts = []
    for file in files:
        # None: no progress bars (its types do not know of it).
        result = whisper_timestamped.transcribe(model, decode(file).samples, language="en", verbose=None)  # pyright: ignore
        texts.append(" ".join(word["text"] for segment in result["segments"] for word in segment["words"]))
    return texts, len(files)


def windows_of(files: Sequence[Path]) -> list[Window]:
    sounds = [(file, decode(file).samples) for file in files]
    return [Window(samples, (Piece(str(file), 0, 0, len(samples)),), "en") for file, samples in sounds]


def shared_windows(recognizer: Recognizer, files: Sequence[Path]) -> tuple[list[str], int]:
    found = recognize_together("ours", recognizer, windows_of(files))
    return [text_of(result.words) for result in found.results], found.shared + found.again


def each_alone(recognizer: Recognizer, files: Sequence[Path]) -> tuple[list[str], int]:
    results = recognize_all("ours", recognizer, windows_of(files))
    return [text_of(result.words) for result in results], len(results)


if __name__ == "__main__":
    main()
