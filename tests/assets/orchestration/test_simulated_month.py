"""A month of nights, tick by tick: snapshots arrive, some are bad, runs are killed, a stage's code changes.

Nothing is materialized by hand: the snapshot sensor and the repair schedules alone, with Dagster's own scheduler
and backfill daemon, end with every partition right, and with nothing computed that had no cause. Every computation
leaves a line in a log, which is counted.
"""

import json
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.execution.backfill import BulkActionStatus

from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.stage import StageContext
from spelangy_assets.orchestration.jobs import jobs_of
from spelangy_assets.orchestration.repair import recipe_statuses
from spelangy_assets.orchestration.schedules import repair_schedules
from spelangy_assets.orchestration.sensors import snapshot_sensor
from spelangy_assets.orchestration.workers import PROCESS_TAG, close_orphans
from spelangy_model.records import Metric

pytestmark = pytest.mark.slow

DAYS = [f"day-{number:02}" for number in range(1, 31)]
BAD = {"day-07", "day-16", "day-23"}  # too loud a value: the contract of `words` fails
KILLED = {"day-05": "words", "day-20": "chunks"}  # the run of that night is killed in this asset, between two units
CORPUS = ["day-02", "day-03", "day-20"]
NEW_CODE_ON = "day-15"
ENDED = {BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.COMPLETED_FAILED}


class Month:
    """The toy recipe's definitions as of today, the ticks of a night, and a log of what was computed."""

    def __init__(self, bench: Any, deployment: Any, toys: Any, log: Path):
        self.bench, self.deployment, self.toys, self.log = bench, deployment, toys, log
        self.version = "1"
        self.kill: tuple[str, str] | None = None  # (asset, partition)
        deployment.launcher.around = self._run_or_kill
        self.deploy()

    # --- the toy graph -----------------------------------------------------------------------------------------

    def graph(self) -> Any:
        audio = {"partition": "audio_snapshot"}
        loud = self.bound(100)
        nodes = [
            self.node("raw_audio", self._read, has_source=True, folder="audio", **audio),
            self.node("words", self._double, self.version, inputs={"above": "raw_audio"}, contract=loud, **audio),
            self.node("chunks", self._double, inputs={"above": "words"}, cost="heavy", **audio),
            self.toys.roll_up("corpus", *(("chunks", day) for day in CORPUS)),
            self.toys.reader("mix", "corpus", run=self.toys.sum_members),
        ]
        return self.bench.graph(*nodes)

    def node(self, name: str, run: Any, version: str = "1", **more: Any) -> Node:
        stage = self.toys.make_stage(run, version=version, name=f"{name}_stage")
        return self.toys.node(name, stage=stage, config=self.toys.NoConfig(), **more)

    def bound(self, high: float) -> Any:
        from spelangy_assets.quality.contracts import Bound, Contract

        sql = "SELECT max(value) AS loudest FROM metrics"
        return Contract("words", sql, (Bound("loudest", 0, high, "block"),))

    def _log(self, ctx: StageContext, asset: str, unit: int) -> None:
        if self.kill == (asset, ctx.partition) and unit == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        with self.log.open("a") as log:
            log.write(json.dumps([asset, ctx.partition, unit, self.version]) + "\n")

    def _read(self, ctx: StageContext, config: Any) -> None:
        for unit, path in ctx.out.pending(sorted(ctx.source.path.iterdir())):
            self._log(ctx, "raw_audio", unit)
            with ctx.out.unit(unit) as out:
                value = float(path.read_text())
                out.write("metrics", [Metric(path.name, "value", value, value, value, 1)])

    def _double(self, ctx: StageContext, config: Any) -> None:
        above = ctx.inputs["above"]
        asset = "words" if above.name.dataset == "raw_audio" else "chunks"
        for unit, shard in ctx.out.pending(above.shards("metrics")):
            self._log(ctx, asset, unit)
            with ctx.out.unit(unit) as out:
                step = 2 if asset == "chunks" else int(self.version)  # other code gives other values
                out.write(
                    "metrics",
                    [Metric(one.subject, one.metric, one.value * step, 0, 0, 1) for one in shard.records(Metric)],
                )

    # --- a night -----------------------------------------------------------------------------------------------

    def arrive(self, day: str) -> None:
        folder = self.bench.settings.snapshots / "audio" / day
        folder.mkdir(parents=True)
        for part in range(2):
            (folder / f"{part}.txt").write_text("1000" if day in BAD else str(1 + DAYS.index(day) / 100 + part))

    def deploy(self) -> None:
        """Make the code of today what the daemons know."""
        graph = self.graph()
        jobs = jobs_of(graph, self.bench.settings)
        self.sensor = snapshot_sensor(self.bench.recipe, graph, self.bench.installation, jobs)
        self.definitions = dg.Definitions(
            assets=self.bench.assets(*graph),
            jobs=list(jobs.values()),
            sensors=[self.sensor],
            schedules=repair_schedules(self.bench.recipe, graph, self.bench.installation),
            resources={"installation": self.bench.installation},
        )
        self.deployment.load(self.definitions)

    def night(self) -> list[str]:
        """Tick the sensor, then each repair schedule, and run what they request; return what the repair logged."""
        self._find_snapshots()
        self.deployment.night()
        self.deployment.backfill()
        self.deployment.morning()
        return self.deployment.lines("recipe_audio_snapshot_repair")

    def _find_snapshots(self) -> None:
        context = dg.SensorEvaluationContext(
            instance_ref=self.deployment.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=None,
            repository_name=None,
            repository_def=self.definitions.get_repository_def(),
        )
        data = self.sensor.evaluate_tick(context)
        for added in data.dynamic_partitions_requests or ():
            self.deployment.instance.add_dynamic_partitions(added.partitions_def_name, list(added.partition_keys))
        for request in data.run_requests or ():
            self.definitions.resolve_job_def("recipe_audio_snapshot").execute_in_process(
                instance=self.deployment.instance,
                partition_key=request.partition_key,
                asset_selection=list(request.asset_selection),
                tags=dict(request.tags),
            )

    def _run_or_kill(self, run: dg.DagsterRun, go: Callable[[], None]) -> None:
        if not self.kill or run.tags.get("dagster/partition") != self.kill[1]:
            go()
            return
        process = multiprocessing.get_context("fork").Process(target=go)
        process.start()
        mark = f"{process.pid}:{psutil.Process(process.pid).create_time()}"
        self.deployment.instance.add_run_tags(run.run_id, {PROCESS_TAG: mark})
        process.join()
        assert process.exitcode == -signal.SIGKILL
        # What run monitoring does for a run that a daemon launched: its process is gone.
        assert close_orphans(self.deployment.instance) == [run.run_id]
        self.kill = None

    def computed(self) -> Counter:
        return Counter(tuple(json.loads(line)) for line in self.log.read_text().splitlines())

    def states(self) -> dict[str, str]:
        statuses = recipe_statuses(self.deployment.instance, self.bench.recipe, self.graph(), self.bench.installation)
        return {status.target: status.state for status in statuses}


@pytest.fixture
def month(bench: Any, deployment: Any, toys: Any, tmp_path: Path) -> Month:
    return Month(bench, deployment, toys, tmp_path / "computed.jsonl")


@pytest.mark.nightly
def test_a_month_of_nights_ends_with_every_partition_right_and_nothing_computed_without_cause(month: Month):
    for day in DAYS:
        month.arrive(day)
        if day == NEW_CODE_ON:
            month.version = "2"
            month.deploy()
        if day in KILLED:
            month.kill = (KILLED[day], day)
        month.night()
        assert month.kill is None
    lines = month.night()  # one more night, for what the last one left

    states = month.states()
    for day in DAYS:
        assert states[f"raw_audio[{day}]"] == "fresh"
        assert states[f"words[{day}]"] == ("failed" if day in BAD else "fresh")
        assert states[f"chunks[{day}]"] == ("waiting" if day in BAD else "fresh")
    assert (states["corpus"], states["mix"]) == ("fresh", "fresh")
    for day in BAD:  # reported with the reason, never run again
        assert [words for words in lines if f"run would fail again: words[{day}]: contract failed: loudest in" in words]

    before = [day for day in DAYS if day < NEW_CODE_ON]
    expected = Counter()
    for day in DAYS:
        for unit in (0, 1):
            expected["raw_audio", day, unit, "1" if day < NEW_CODE_ON else "2"] = 1
            for asset in ("words", "chunks"):
                if asset == "chunks" and day in BAD:
                    continue
                if day in before:
                    expected[asset, day, unit, "1"] = 1
                expected[asset, day, unit, "2"] = 1
    assert month.computed() == expected

    # Each night's repair was a backfill, of one run a snapshot, and all of them came to an end.
    backfills = month.deployment.backfills()
    assert {backfill.status for backfill in backfills} == ENDED
    for backfill in backfills:
        runs = month.deployment.runs("recipe_audio_snapshot", **{"dagster/backfill": backfill.backfill_id})
        assert [run.tags["dagster/partition"] for run in runs] == list(backfill.partition_names)

    assert month.night()[-1].startswith("nothing to repair")
    assert month.deployment.backfills() == backfills
