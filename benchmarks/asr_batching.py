"""ASR over a folder of short recordings, against whisper-timestamped called file by file with the same weights.

    python benchmarks/asr_batching.py FOLDER

FOLDER holds recordings and manifest.jsonl (path, lang, text where known); `--every` takes each so many-th of its
English recordings of a known text that last at most `--longest` seconds. Two ways, from files to words with times:

* file by file: `whisper_timestamped.transcribe(model, samples, language="en")` with its defaults (greedy, float32);
* SpeLangy: FasterWhisper (CTranslate2, the same tensors), as the stage transcript_hypotheses asks its first system of
  recordings whose language is known (`recognize_together`): joined into windows of up to 28 s, in batches, words given
  back to recordings; one without a word, or with more words than speech has in its time, again by itself.

Neither is given turns. Both run in one process of one thread with their models loaded, in turn on `--group` recordings
at a time, the number that the stage takes together.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import whisper
import whisper_timestamped

from spelangy_assets.settings import Settings
from spelangy_model.audio.asr import FasterWhisper, Recognizer, recognize_together
from spelangy_model.audio.io import decode
from spelangy_model.audio.wer import word_errors
from spelangy_model.audio.windows import Piece, Window
from spelangy_model.audio.words import text_of
from spelangy_model.weights import whisper_openai


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", choices=["tiny.en", "base"], default=["tiny.en", "base"])
    parser.add_argument("--precision", default="int8", help="of CTranslate2: int8 or float32")
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--longest", type=float, default=20.0)
    parser.add_argument("--group", type=int, default=32)
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
    print("| weights | way | CPU s | wall s | WER | substitutions | deletions | insertions | calls |")
    print("|---|---|---|---|---|---|---|---|---|")
    for model in chosen.models:
        compare(model, files, texts, chosen)


def compare(model: str, files: Sequence[Path], texts: Sequence[str], chosen: argparse.Namespace) -> None:
    cache_dir = Settings.from_environment().cache_dir
    ways: dict[str, Callable[[Sequence[Path]], tuple[list[str], int]]] = {}
    theirs = load_theirs(model, cache_dir)
    system = FasterWhisper(name=model, model=f"package:{model}", beam_size=chosen.beam_size, precision=chosen.precision)
    ours = system.load(cache_dir)
    ways["file by file"] = lambda some: file_by_file(theirs, some)
    ways["SpeLangy"] = lambda some: shared_windows(ours, some)
    file_by_file(theirs, files[:1])
    shared_windows(ours, files[:1])
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
    rates = {}
    for way, hypotheses in recognized.items():
        e = word_errors(texts, hypotheses)
        rates[way] = 100 * e.rate
        cpu_s, wall_s = taken[way]
        print(
            f"| {model} | {way} | {cpu_s:.1f} | {wall_s:.1f} | {rates[way]:.2f}% | {e.substitutions} | {e.deletions} | "
            f"{e.insertions} | {calls[way]} |"
        )
    cpu, wall = (taken["file by file"][i] / taken["SpeLangy"][i] for i in (0, 1))
    points = rates["SpeLangy"] - rates["file by file"]
    print(f"| {model} | ratio | x{cpu:.1f} | x{wall:.1f} | {points:+.2f} points | | | | |", flush=True)


def load_theirs(model: str, cache_dir: Path) -> Any:
    loaded: Any = whisper_timestamped.load_model(str(whisper_openai(model, cache_dir)), device="cpu")  # type: ignore[arg-type]
    loaded.set_alignment_heads(vars(whisper)["_ALIGNMENT_HEADS"][model])  # known by a model's name, not by its file
    return loaded


def file_by_file(model: Any, files: Sequence[Path]) -> tuple[list[str], int]:
    texts = []
    for file in files:
        # None: no progress bars (its types do not know of it).
        result = whisper_timestamped.transcribe(model, decode(file).samples, language="en", verbose=None)  # pyright: ignore
        texts.append(" ".join(word["text"] for segment in result["segments"] for word in segment["words"]))
    return texts, len(files)


def shared_windows(recognizer: Recognizer, files: Sequence[Path]) -> tuple[list[str], int]:
    windows = []
    for file in files:
        samples = decode(file).samples
        windows.append(Window(samples, (Piece(str(file), 0, 0, len(samples)),), "en"))
    recognized = recognize_together("ours", recognizer, windows)
    texts = [text_of(result.words) for result in recognized.results]
    return texts, recognized.shared + recognized.again


if __name__ == "__main__":
    main()
