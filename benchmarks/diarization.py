"""Speed and memory of speech_segments (VAD and diarization) over one recording of 1, 2 and 4 times a length.

    python benchmarks/diarization.py [FOLDER] [--minutes 10]

The recordings are those of FOLDER (the sample crawl's talks without one), over and over in a seeded order at changing
levels, as one FLAC file; the longer ones are the shortest one two and four times. raw_audio makes parts of it. Then a
process of its own for each diarizer and length builds speech_segments over two minutes, so that all is loaded, and over
the recording, which is measured: decoding, finding speech, telling speakers apart, segments with their levels, the
shard, its contract. Printed as Markdown: CPU seconds on one thread (the best of `--rounds`), times real time, the
greatest resident memory of the process (libraries included), and by how much that is above what it was before.

Why it is linear: no diarizer sees more than a part (PartRule: half an hour, here `--minutes`); windows are taken one by
one, and more than 1,000 voices are clustered in blocks whose centres are then clustered, as BIRCH does with its
subclusters (Zhang et al., 1996; spelangy_model/audio/diarization/voice_clusters.py).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import soundfile

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution
from spelangy_assets.settings import PACKAGE_FOLDER
from spelangy_assets.sources.audio_snapshot import AUDIO_SUFFIXES
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stages import ingest_audio, segment_speech
from spelangy_assets.stages.ingest_audio import CONTRACT as RAW_AUDIO
from spelangy_assets.stages.segment_speech import CONTRACT as SPEECH_SEGMENTS
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_model.audio.diarization.diarize import DiarizerChoice, DiarizerSpec
from spelangy_model.audio.diarization.vad_diarize import VadSpec
from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError, mono_16k, open_stream
from spelangy_model.audio.parts import PartRule
from spelangy_model.rng import stable_rng

DIARIZERS: dict[str, DiarizerChoice] = {
    "embedded (segmentation-3.0, CAM++)": DiarizerSpec(),
    "silero-vad, CAM++": VadSpec(),
    "silero-vad, one speaker": VadSpec(speakers="one"),
}

WARM_MINUTES = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=PACKAGE_FOLDER / "sample/snapshots/audio")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the shortest and of a part")
    parser.add_argument("--rounds", type=int, default=2, help="of which the best counts")
    parser.add_argument("--ingest", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--segment", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--warm", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--diarizer", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ingest:
        build(*stage_of(chosen.ingest, "", chosen.minutes), FolderSource(chosen.ingest))
    elif chosen.segment:
        print(json.dumps(segment(chosen.segment, chosen.warm, chosen.diarizer, chosen.minutes, chosen.rounds)))
    else:
        measure_all(chosen.folder, chosen.minutes, chosen.rounds)


def measure_all(sounds: Path, minutes: float, rounds: int) -> None:
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in DIARIZERS}
    with tempfile.TemporaryDirectory() as folder:
        warm = prepared(Path(folder) / "warm", sounds, WARM_MINUTES, 1, minutes)
        for times in (1, 2, 4):
            snapshot = prepared(Path(folder) / f"{times}", sounds, minutes, times, minutes)
            for name, measured in rows.items():
                asked = {"--segment": snapshot, "--warm": warm, "--diarizer": name, "--minutes": minutes}
                asked["--rounds"] = rounds
                measured.append(json.loads(child(*(str(word) for pair in asked.items() for word in pair))))
    print("| diarizer | minutes | parts | segments | CPU s | times real time | peak memory | above warm |")
    print("|---|---|---|---|---|---|---|---|")
    for name, measured in rows.items():
        for row in measured:
            print(
                f"| {name} | {row['audio_s'] / 60:.0f} | {row['parts']} | {row['segments']} | {row['cpu_s']:.1f} | "
                f"{row['audio_s'] / row['cpu_s']:.1f} | {row['peak_bytes'] / 1e6:.0f} MB | "
                f"{row['grown_bytes'] / 1e6:.0f} MB |"
            )
    print("\nFrom 1 to 4 times the length, the greatest over the least:\n")
    for name, measured in rows.items():
        costs = [row["cpu_s"] / row["audio_s"] for row in measured]
        peaks = [row["peak_bytes"] for row in measured]
        print(
            f"* {name}: cost of a second of sound +{100 * (max(costs) / min(costs) - 1):.1f}%, "
            f"peak memory +{100 * (max(peaks) / min(peaks) - 1):.1f}%"
        )


def prepared(snapshot: Path, sounds: Path, minutes: float, times: int, part_minutes: float) -> Path:
    """Return the folder of a snapshot of one recording, with the store that holds its raw_audio."""
    snapshot.mkdir()
    write_recording(snapshot / "long.flac", sounds, minutes, times)
    child("--ingest", str(snapshot), "--minutes", str(part_minutes))
    (snapshot / "long.flac").unlink()
    return snapshot


def child(*arguments: str) -> str:
    """Run this script in a process of its own and return the last line that it prints."""
    ended = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return (ended.stdout.splitlines() or [""])[-1]


def write_recording(path: Path, folder: Path, minutes: float, times: int) -> None:
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, format="FLAC") as file:
        for _ in range(times):
            left = round(minutes * 60 * SAMPLE_RATE_HZ)
            for block in endless(folder):
                file.write(block[:left])
                left -= len(block)
                if left <= 0:
                    break


def endless(folder: Path) -> Iterator[np.ndarray]:
    """Yield blocks of the folder's recordings, mono at 16 kHz, over and over; what cannot be decoded is passed over."""
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in AUDIO_SUFFIXES]
    rng = stable_rng(0, "benchmark")
    while True:
        found = False
        for place in rng.permutation(len(paths)):
            gain = np.float32(rng.uniform(0.3, 1))
            try:
                for block in mono_16k(open_stream(paths[place])):
                    yield block * gain
                    found = True
            except AudioError:
                continue
        if not found:
            sys.exit(f"no recording in {folder} can be decoded")


def stage_of(
    snapshot: Path, diarizer: str, part_minutes: float = 0.0
) -> tuple[ArtifactStore, Graph, Node, None, Execution]:
    """Return what `build` takes for raw_audio, or with a diarizer for speech_segments above it."""
    parts = PartRule(60 * part_minutes or PartRule.max_part_s)
    raw = Node(
        name="raw_audio", group="crawl", description="", stage=ingest_audio, config=ingest_audio.Config(parts=parts),
        contract=RAW_AUDIO, has_source=True,
    )  # fmt: skip
    name = f"speech_segments_{list(DIARIZERS).index(diarizer)}" if diarizer else "speech_segments"
    config = segment_speech.Config(diarizer=DIARIZERS.get(diarizer, DiarizerSpec()))
    segments = Node(
        name=name, group="transcripts", description="", stage=segment_speech, config=config,
        contract=SPEECH_SEGMENTS, inputs={"raw_audio": "raw_audio"},
    )  # fmt: skip

    def launch(*spec: object) -> float:
        raise NotImplementedError

    store = ArtifactStore(snapshot / "store", snapshot / "cache")
    execution = Execution(cache_dir=snapshot / "cache", launch=launch)
    return store, Graph("benchmark", [raw, segments]), segments if diarizer else raw, None, execution


def segment(snapshot: Path, warm: Path, diarizer: str, part_minutes: float, rounds: int) -> dict[str, float]:
    build(*stage_of(warm, diarizer, part_minutes))
    store, graph, node, partition, execution = stage_of(snapshot, diarizer, part_minutes)
    before_bytes = psutil.Process().memory_info().rss
    costs = []
    for turn in range(rounds):
        began = time.process_time()
        manifest = build(store, graph, node, partition, execution, force=turn > 0).artifact.manifest
        costs.append(time.process_time() - began)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "audio_s": manifest.counts.stats["hours_in"] * 3600,
        "parts": store.resolve(DatasetName("benchmark", "raw_audio")).manifest.rows("recordings"),
        "segments": manifest.rows("segments"),
        "cpu_s": min(costs),
        "peak_bytes": peak_bytes,
        "grown_bytes": peak_bytes - before_bytes,
    }


if __name__ == "__main__":
    main()
