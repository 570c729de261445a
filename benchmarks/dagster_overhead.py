"""What Dagster costs: a whole graph through it, in process, against the same stages called directly.

    python benchmarks/dagster_overhead.py                       # recipe tiny
    python benchmarks/dagster_overhead.py --recipe sample

Each side is a process of its own with an empty home, one thread a library, the sides in turn. `direct` calls the build
of each dataset in a loop, parents first: read guard, stage, manifest, contract, verdict. `dagster` runs the recipe's
jobs with the in-process executor on an instance on disk, the runs cut as `make demo` cuts them: assets, checks and
event log on top of the same builds. Processor seconds of the process and its children, imports and the loading of
models included on both sides; of each side the least of the rounds. `stages` are the seconds that the manifests tell.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from spelangy_assets.execution.build import build
from spelangy_assets.execution.runs import runs_of
from spelangy_assets.execution.targets import Target, required_targets
from spelangy_assets.orchestration.definitions import build_definitions
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.jobs import job_name
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.partitions import add_partitions
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings
from spelangy_model.cpu_time import cpu_seconds

SIDES = ("direct", "dagster")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--root", default="", help="only what this asset needs, for example text_corpus")
    parser.add_argument("--side", choices=SIDES, help="run one side below SPELANGY_HOME and print its figures")
    chosen = parser.parse_args()
    if chosen.side:
        run_side(chosen.side, chosen.recipe, chosen.root)
        return
    found: dict[str, list[dict]] = {side: [] for side in SIDES}
    for number in range(chosen.rounds):
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            with tempfile.TemporaryDirectory() as home:
                found[side].append(in_a_process(side, chosen.recipe, chosen.root, home))
    versions = [one.pop("versions") for many in found.values() for one in many]
    if any(one != versions[0] for one in versions):
        raise SystemExit("the two sides did not give the same data versions")
    print(f"recipe {chosen.recipe}, {len(versions[0])} datasets, equal data versions; {chosen.rounds} round(s)\n")
    print("| | CPU s | ratio | stages CPU s | Dagster runs | wall s |\n|---|---|---|---|---|---|")
    best = {side: min(many, key=lambda one: one["cpu_s"]) for side, many in found.items()}
    for side in SIDES:
        one, ratio = best[side], best[side]["cpu_s"] / best["direct"]["cpu_s"]
        print(
            f"| {side} | {one['cpu_s']:.1f} | {ratio:.3f} | {one['stages_cpu_s']:.1f} | {one['runs']} "
            f"| {one['wall_s']:.0f} |"
        )


def in_a_process(side: str, recipe: str, root: str, home: str) -> dict:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SPELANGY_", "DAGSTER_"))},
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
        "SPELANGY_HOME": home,
        "DAGSTER_HOME": home,
    }
    Path(home, "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    command = [sys.executable, __file__, "--side", side, "--recipe", recipe, "--root", root]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def run_side(side: str, recipe_name: str, root: str) -> None:
    warnings.filterwarnings("ignore")
    started = time.perf_counter()
    recipe, settings = recipe_named(recipe_name), Settings.from_environment()
    graph = recipe.graph
    targets = required_targets(graph, [(root, None)] if root else None)
    runs = (
        through_dagster(recipe_name, settings, targets)
        if side == "dagster"
        else directly(recipe_name, settings, targets)
    )
    cpu_s = cpu_seconds()
    published = list(Installation(settings).store.published(recipe_name))
    print(
        json.dumps(
            {
                "cpu_s": cpu_s,
                "wall_s": time.perf_counter() - started,
                "stages_cpu_s": sum(one.manifest.cpu_seconds for one in published),
                "runs": runs,
                "versions": {f"{one.name.dataset}[{one.name.partition or ''}]": one.data_version for one in published},
            }
        )
    )


def directly(recipe_name: str, settings: Settings, targets: list[Target]) -> int:
    recipe, installation = recipe_named(recipe_name), Installation(settings)
    graph = recipe.graph
    for name, partition in targets:
        node = graph[name]
        source = installation.source(node, partition)
        built = build(installation.store, graph, node, partition, installation.execution(), source)
        if not built.verdict.passed:
            raise SystemExit(f"{name} failed its contract: {built.verdict.failures()}")
    return 0


def through_dagster(recipe_name: str, settings: Settings, targets: list[Target]) -> int:
    import dagster as dg

    recipe = recipe_named(recipe_name)
    definitions = build_definitions(settings, recipes=[recipe])
    runs = runs_of(recipe.graph, targets)
    with dg.DagsterInstance.get() as instance:
        add_partitions(instance, recipe, settings)
        for run in runs:  # parents first, as the targets are
            definitions.resolve_job_def(job_name(recipe_name, run.crawl)).execute_in_process(
                instance=instance,
                partition_key=run.partition,
                asset_selection=[asset_key(recipe_name, name) for name in run.assets],
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
    return len(runs)


if __name__ == "__main__":
    main()
