"""One stage's units in one process and over a local Ray cluster: the same data version, in how much less time?

    python benchmarks/ray_units.py FOLDER [--processes 2] [--recordings-per-unit 4]

FOLDER holds recordings. raw_audio, speech_segments and transcript_hypotheses are built from it with the systems of
recipe `sample`: by a plain loop in this process, and with their units shared by a Ray cluster of so many nodes of one
CPU each. A stage's time is that of its units: in one process their sum, on the cluster the largest sum over a node's
units, since the nodes work at the same time. The models are loaded once by each of them, in its first unit; the seconds
that this takes, measured here, are taken off the recognizers' times.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import pyarrow as pa  # noqa: F401 - before ray: both carry an Arrow

from spelangy_assets.execution.build import build
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.ray_cluster import ray_distribute
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import Artifact
from spelangy_assets.store.manifest import Receipt

STAGES = ("raw_audio", "speech_segments", "transcript_hypotheses")
# A file, for the nodes are sent its text.
RECIPE = """
from spelangy_assets import lab
from spelangy_assets.recipes.sample import SAMPLE

audio = lab.recordings({{"folder": lab.Arriving()}}, recordings_per_unit={recordings_per_unit})
turns = lab.segments(audio)
systems = SAMPLE.graph["transcript_hypotheses"].config.systems
RECIPE = lab.Recipe("ray_units", lab.hypotheses(audio, turns, systems))
"""


def seconds_of_units(artifact: Artifact) -> list[float]:
    """Return each unit's seconds, in order."""
    names = sorted(name for name, _ in artifact.files.names(artifact.path) if name.startswith("unit-"))
    return [Receipt.from_json(artifact.read_file(name)).seconds for name in names]


def seconds_to_load(recipe: Recipe, cache_dir: Path) -> float:
    """Return how long the recognizers take to load, their files being in the cache."""
    started = time.perf_counter()
    for system in recipe.graph["transcript_hypotheses"].config.systems:
        system.load(cache_dir, "cpu")
    return time.perf_counter() - started


def build_all(recipe: Recipe, settings: Settings) -> dict[str, Artifact]:
    installation, graph, built = Installation(settings), recipe.graph, {}
    for name in STAGES:
        node = graph[name]
        source = installation.source(node, "folder")
        execution = installation.execution(distribute=ray_distribute(settings, recipe, node))
        built[name] = build(installation.store, graph, node, "folder", execution, source=source).artifact
    return built


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--recordings-per-unit", type=int, default=4)
    chosen = arguments.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"

    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "ray_units.py"
        file.write_text(RECIPE.format(recordings_per_unit=chosen.recordings_per_unit))
        recipe = recipe_named(str(file))
        snapshots = Path(home) / "snapshots"
        shutil.copytree(chosen.folder, snapshots / "audio" / "folder")
        alone = Settings.at(Path(home) / "alone", SPELANGY_SNAPSHOTS=str(snapshots))
        one = build_all(recipe, alone)

        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        for _ in range(chosen.processes - 1):
            cluster.add_node(num_cpus=1)
        try:
            more = {"SPELANGY_SNAPSHOTS": str(snapshots), "SPELANGY_RAY": str(cluster.address)}
            many = build_all(recipe, Settings.at(Path(home) / "shared", **more))
        finally:
            ray.shutdown()  # a cluster does not end under a process that is connected to it
            cluster.shutdown()

        load_s = seconds_to_load(recipe, alone.cache_dir)
        print(f"loading the recognizers: {load_s:.1f} s\n")
        print("| stage | units | one process, s | ", f"{chosen.processes} nodes, s | ratio | data version |", sep="")
        print("|---|---|---|---|---|---|")
        for name in STAGES:
            mine, theirs = seconds_of_units(one[name]), seconds_of_units(many[name])
            off = load_s if name == "transcript_hypotheses" else 0.0
            alone_s = sum(mine) - off
            longest_s = max(sum(theirs[index :: chosen.processes]) for index in range(chosen.processes)) - off
            same = one[name].manifest.data_version == many[name].manifest.data_version
            print(
                f"| {name} | {len(mine)} | {alone_s:.1f} | {longest_s:.1f} | {alone_s / longest_s:.2f} | "
                f"{'equal' if same else 'DIFFERENT'} |"
            )


if __name__ == "__main__":
    main()
