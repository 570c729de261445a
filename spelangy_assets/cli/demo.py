"""`make demo`: runs the whole recipe through Dagster, prints its progress, and checks it against Dagster's event log.

Put here: the printing, and the check at the end. Do not put here: how work is divided into runs
(execution/runs.py).
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import dagster as dg

from spelangy_assets.cli.progress_bar import Bars
from spelangy_assets.execution.build import Built
from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.runs import runs_of
from spelangy_assets.execution.stage import InputError
from spelangy_assets.execution.targets import Target, required_targets, target_name
from spelangy_assets.orchestration.event_log import record_present, unfinished
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.partitions import add_partitions, statuses_of
from spelangy_assets.orchestration.workers import Finished, Message, Outcome, Working, close_orphans, run_in_workers
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import DatasetName
from spelangy_assets.store.names import check_name
from spelangy_model.progress import standing

_WHOLE = "all"
# The pages that a run names at its end, by their stage.
_PAGES = {
    "write_question_page": ("Questions page", "question_page.html"),
    "write_chunk_page": ("Listening page", "chunk_page.html"),
}


def prepare_instance(settings: Settings) -> None:
    """Make this process and its children use the instance below the home folder, unless DAGSTER_HOME names another.

    The configuration is dagster.yaml's of the working directory with the folders of these settings, so that the pages
    of `dagster dev` show what was run here.
    """
    if os.environ.get("DAGSTER_HOME"):
        return
    home = settings.dagster_dir
    home.mkdir(parents=True, exist_ok=True)
    if Path.cwd().joinpath("dagster.yaml").exists() and settings.home == Path.cwd() / ".spelangy":
        os.environ["DAGSTER_HOME"] = str(Path.cwd())
        return
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n")
    os.environ["DAGSTER_HOME"] = str(home)


class ProgressPrinter:
    """Prints a line for each dataset as it is done, and on a terminal a bar for each that is worked on and for all."""

    def __init__(self, weights: Mapping[str, int], targets: list[Target], stream: TextIO):
        self._weights = weights
        self._targets = targets
        self._work = sum(weights[asset] for asset, _ in targets)
        self._working: dict[Target, float] = {}
        self._bars = Bars(stream)
        self._started = time.perf_counter()
        self.done: list[Finished] = []

    def __call__(self, message: Message) -> None:
        if isinstance(message, Working):
            target = (message.asset, message.partition)
            self._working[target] = message.standing.share
            self._bars.draw(target_name(*target), message.standing)
        elif isinstance(message, Finished):
            self._forget((message.asset, message.partition))
            self.done.append(message)
            self._bars.above(self._line(message))
        else:  # the bar of a dataset whose run has failed
            for target in message.run.targets:
                self._forget(target)
        if self._bars.shown:
            finished = sum(self._weights[one.asset] for one in self.done)
            under_way = sum(self._weights[asset] * share for (asset, _), share in self._working.items())
            share = (finished + under_way) / self._work if self._work else 1.0
            text = f"{len(self.done)} of {len(self._targets)} datasets"
            self._bars.draw(_WHOLE, standing(share, time.perf_counter() - self._started, text))

    def there(self, target: Target, built: Built) -> None:
        """Count a dataset that needed no run, without a line of its own."""
        self.done.append(Finished.of(*target, built))

    def _forget(self, target: Target) -> None:
        self._working.pop(target, None)
        self._bars.remove(target_name(*target))

    def _line(self, one: Finished) -> str:
        drops = ", ".join(f"{reason} {count}" for reason, count in sorted(one.counts.dropped.items()))
        how = "as it was" if one.cached else f"{one.seconds:6.1f} s"
        state = "" if one.passed else "  CONTRACT FAILED"
        elapsed_s = time.perf_counter() - self._started
        return (
            f"[{elapsed_s:5.0f} s {len(self.done):3}/{len(self._targets)}] {target_name(one.asset, one.partition):<44}"
            f"{how:>10}{one.counts.records_kept:>8} kept" + (f"  dropped: {drops}" if drops else "") + state
        )

    def close(self) -> None:
        self._bars.close()


@dataclass
class Materialized:
    """The datasets that were brought up to date, and those that were not."""

    done: list[Finished]
    outcome: Outcome
    problems: list[str]
    wall_s: float

    @property
    def complete(self) -> bool:
        return not self.problems and not self.outcome.failures


def materialize(
    recipe: Recipe, settings: Settings, targets: list[Target], workers: int, stream: TextIO
) -> Materialized:
    """Bring targets up to date, line by line, and read the result back from Dagster's event log.

    Runs make only the datasets that are missing or out of date. A dataset that exists, made for this recipe or for
    another, is written into the event log where it does not hold it yet.
    """
    started = time.perf_counter()
    prepare_instance(settings)
    graph, installation = recipe.graph, Installation(settings)
    printer = ProgressPrinter({node.name: node.weight for node in graph}, targets, stream)
    with dg.DagsterInstance.get() as instance:
        for run_id in close_orphans(instance):
            print(f"marked run {run_id} as failed: its process was killed", file=stream, flush=True)
        add_partitions(instance, recipe, settings)
        statuses = statuses_of(recipe, installation)
        there = {(one.asset, one.partition) for one in statuses if one.state in ("fresh", "shared")} & set(targets)
        to_make = [target for target in targets if target not in there]
        runs = runs_of(graph, to_make)
        print(
            f"recipe {recipe.name}: {len(there)} of {len(targets)} datasets are there; "
            f"{len(to_make)} to make in {len(runs)} Dagster runs over {workers} workers",
            file=stream,
            flush=True,
        )
        try:
            for target in (target for target in targets if target in there):
                printer.there(*record_present(instance, installation, graph, target))
            outcome = run_in_workers(recipe, settings, runs, workers, printer)
        finally:
            printer.close()
        problems = unfinished(instance, recipe.name, to_make)
    for title, failure in outcome.failures.items():
        print(f"\nFAILED {title}: {failure}", file=stream)
    for problem in problems:
        print(f"not done: {problem}", file=stream)
    return Materialized(printer.done, outcome, problems, time.perf_counter() - started)


def demo(
    recipe: Recipe,
    settings: Settings,
    workers: int = 2,
    stream: TextIO = sys.stdout,
    roots: list[Target] | None = None,
) -> int:
    """Materialize a recipe, or the `roots` of it, and print its leaderboard.

    Return 0 when all is there and every blocking check passed.
    """
    graph = recipe.graph
    result = materialize(recipe, settings, required_targets(graph, roots), workers, stream)
    if result.complete and roots is None:
        _print_leaderboard(recipe, graph, Installation(settings), stream)
    _print_costs(recipe, settings, result, stream)
    return 0 if result.complete else 1


def web_speech(folder: Path, name: str, settings: Settings, stream: TextIO = sys.stdout) -> int:
    """Run the web-speech part of the sample recipe on a folder of the user's recordings; return the exit status.

    The folder becomes the audio snapshot `name` (a link in the snapshots folder), so that the UI knows it too.
    Raises InputError when there is no such folder, or the name cannot be a snapshot's or is taken by another one.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: name a folder that holds recordings")
    try:
        check_name(name)
    except ValueError as error:
        raise InputError(f"{error}: choose another name with --name") from None
    link = settings.snapshots / "audio" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(folder.resolve(), target_is_directory=True)
    elif link.resolve() != folder.resolve():
        raise InputError(f"the snapshot {name!r} is {link.resolve()} already; choose another name with --name")
    graph = SAMPLE.graph
    pages = [node.name for node in graph if node.stage_name == "write_chunk_page"]
    roots: list[Target] = [(page, name) for page in pages]
    result = materialize(SAMPLE, settings, required_targets(graph, roots), 1, stream)
    if result.complete:
        store = Installation(settings).store
        for asset, _ in required_targets(graph, roots):
            counts = store.resolve(DatasetName(SAMPLE.name, asset, name)).manifest.counts
            sums = ", ".join(f"{stat} {amount:.4g}" for stat, amount in counts.stats.items())
            print(
                f"{asset:<24}in {counts.records_in:>6}  kept {counts.records_kept:>6}  {counts.dropped}  {sums}",
                file=stream,
            )
        for asset in pages:
            chunks = store.resolve(DatasetName(SAMPLE.name, graph[asset].inputs["chunks"], name))
            page = store.resolve(DatasetName(SAMPLE.name, asset, name))
            print(f"\n{graph[asset].inputs['chunks']}: {chunks.uri}", file=stream)
            print(f"Listening page: {page.uri}/chunk_page.html", file=stream)
    return 0 if result.complete else 1


def _print_leaderboard(recipe: Recipe, graph: Graph, installation: Installation, stream: TextIO) -> None:
    if recipe.board is None:
        return
    board = installation.store.resolve(DatasetName(recipe.name, recipe.board.name))
    print("\n" + board.read_file("leaderboard.md").decode(), file=stream)
    print(f"Leaderboard page: {board.uri}/leaderboard.html", file=stream)
    for name, partition in required_targets(graph):
        if (stage := graph[name].stage_name) in _PAGES:
            title, file = _PAGES[stage]
            page = installation.store.resolve(DatasetName(recipe.name, name, partition))
            print(f"{title + ':':<17} {page.uri}/{file}", file=stream)
    print("Assets, lineage and checks: make ui, then http://127.0.0.1:3000\n", file=stream)


def _print_costs(recipe: Recipe, settings: Settings, result: Materialized, stream: TextIO) -> None:
    done, outcome = result.done, result.outcome
    by_asset: dict[str, dict[str, float]] = {}
    for one in done:
        row = by_asset.setdefault(one.asset, {"wall_s": 0.0, "cpu_s": 0.0, "partitions": 0, "computed": 0})
        row["partitions"] += 1
        if not one.cached:
            row["computed"] += 1
            row["wall_s"] += one.seconds
            row["cpu_s"] += one.cpu_seconds
    stages_cpu = sum(row["cpu_s"] for row in by_asset.values())
    print(f"{'asset':<28}{'partitions':>11}{'computed':>10}{'wall s':>9}{'CPU s':>9}", file=stream)
    for asset, row in by_asset.items():
        print(
            f"{asset:<28}{row['partitions']:>11.0f}{row['computed']:>10.0f}{row['wall_s']:>9.1f}{row['cpu_s']:>9.1f}",
            file=stream,
        )
    overhead = outcome.cpu_seconds - stages_cpu
    print(f"{'imports, Dagster, contracts':<58}{overhead:>9.1f}", file=stream)
    summary = {
        "recipe": recipe.name,
        "assets": by_asset,
        "wall_s": round(result.wall_s, 1),
        "cpu_s": round(outcome.cpu_seconds, 1),
        "stages_cpu_s": round(stages_cpu, 1),
        "peak_memory_mib": round(outcome.peak_memory_bytes / 2**20),
        "peak_memory_runs": outcome.peak_memory_runs,
        "runs": outcome.run_ids,
        "failures": outcome.failures,
        "not_run": outcome.not_run,
        "problems": result.problems,
    }
    report = settings.home / f"demo-{recipe.name}.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(summary, indent=1, sort_keys=True))
    peak = f"peak memory {summary['peak_memory_mib']} MiB, shared pages once, during "
    memory = peak + ", ".join(outcome.peak_memory_runs) + "; " if outcome.peak_memory_bytes else ""
    print(
        f"{'whole':<28}{len(done):>11}{sum(int(row['computed']) for row in by_asset.values()):>10}"
        f"{result.wall_s:>9.1f}{outcome.cpu_seconds:>9.1f}\n{memory}the same as JSON: {report}",
        file=stream,
        flush=True,
    )
