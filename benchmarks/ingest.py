"""Time and memory of raw_audio over one recording of 1, 2 and 4 times a length.

    python benchmarks/ingest.py [--hours 1.5]

The recordings are the sample crawl's talks, over and over at changing levels, as one FLAC file. Each is ingested by a
process of its own: decoded, measured, fingerprinted, cut into parts, written as a shard, judged. Printed as Markdown:
processor seconds, times real time, and the greatest resident memory of the process (its imports alone: the first row).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution
from spelangy_assets.settings import PACKAGE_FOLDER
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stages import ingest_audio
from spelangy_assets.stages.ingest_audio import CONTRACT as RAW_AUDIO
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode
from spelangy_model.rng import stable_rng


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.5, help="of the shortest; the longest has four times")
    parser.add_argument("--child", type=Path, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(ingest(chosen.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), hours) for hours in (0.02, *(chosen.hours * factor for factor in (1, 2, 4)))]
    print("| recording | rows | CPU s | CPU s an hour | times real time | peak memory |\n|---|---|---|---|---|---|")
    for row in rows:
        per_hour = row["cpu_s"] / row["hours"]
        print(
            f"| {row['hours']:.2f} h | {row['rows']} | {row['cpu_s']:.1f} | {per_hour:.1f} | {3600 / per_hour:.0f} | "
            f"{row['peak_bytes'] / 1e6:.0f} MB |"
        )
    costs = [row["cpu_s"] / row["hours"] for row in rows[1:]]
    peaks = [row["peak_bytes"] for row in rows[1:]]
    print(
        f"\nFrom 1 to 4 times the length the cost of an hour changes by {100 * (max(costs) / min(costs) - 1):.1f}%, "
        f"the peak by {100 * (max(peaks) / min(peaks) - 1):.1f}%."
    )


def measure(folder: Path, hours: float) -> dict[str, float]:
    snapshot = folder / f"{hours}"
    snapshot.mkdir()
    write_recording(snapshot / "talk.flac", hours)
    ended = subprocess.run(
        [sys.executable, __file__, "--child", str(snapshot)], check=True, stdout=subprocess.PIPE, text=True
    )
    (snapshot / "talk.flac").unlink()
    return {"hours": hours, **json.loads(ended.stdout.splitlines()[-1])}


def write_recording(path: Path, hours: float) -> None:
    talks = sorted((PACKAGE_FOLDER / "sample/snapshots/audio").rglob("talk-*.opus"))
    left = round(hours * 3600 * SAMPLE_RATE_HZ)
    rng = stable_rng(0, "benchmark")
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, format="FLAC") as file:
        sounds = [decode(talk).samples for talk in talks]
        while left > 0:
            sound = sounds[int(rng.integers(len(sounds)))][:left]
            file.write((sound * rng.uniform(0.3, 1)).astype(np.float32))
            left -= len(sound)


def ingest(snapshot: Path) -> dict[str, float]:
    node = Node(
        name="raw_audio", group="crawl", description="", stage=ingest_audio, config=ingest_audio.Config(),
        contract=RAW_AUDIO, has_source=True,
    )  # fmt: skip

    def launch(*spec: object) -> float:
        raise NotImplementedError

    store = ArtifactStore(snapshot / "store", snapshot / "cache")
    graph, execution = Graph("benchmark", [node]), Execution(cache_dir=snapshot / "cache", launch=launch)
    started = time.process_time()
    manifest = build(store, graph, node, None, execution, FolderSource(snapshot)).artifact.manifest
    cpu_s = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"rows": manifest.rows("recordings"), "cpu_s": cpu_s, "peak_bytes": peak}


if __name__ == "__main__":
    main()
