"""A month of nights, tick by tick: snapshots arrive, some are bad, runs are killed, a stage's code changes.

Nobody materializes anything by hand: the snapshot sensor and the repair schedules alone end with every partition
right, and with nothing computed that had no cause. Every computation leaves a line in a log, which is counted.
"""

import dataclasses
import json
import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from spelangy_assets.jobs import jobs_of
from spelangy_assets.lanes import PROCESS_TAG, close_orphans
from spelangy_assets.recipes.graph import Node
from spelangy_assets.schedules import recipe_statuses, repair_schedules
from spelangy_assets.sensors import snapshot_sensor
from spelangy_assets.stages.stage import StageContext
from spelangy_model.records import Metric

pytestmark = pytest.mark.slow

DAYS = [f"day-{number:02}" for number in range(1, 31)]
BAD = {"day-07", "day-16", "day-23"}  # too loud a value: the contract of `words` fails
KILLED = {"day-05": "words", "day-20": "chunks"}  # the run of that night is killed in this asset, between two units
CORPUS = ["day-02", "day-03", "day-20"]
NEW_CODE_ON = "day-15"


class Month:
    """The toy recipe's definitions as of today, the ticks of a night, and a log of what was computed."""

    def __init__(self, bench: Any, ticks: dg.DagsterInstance, toys: Any, log: Path):
        self.bench, self.ticks, self.toys, self.log = bench, ticks, toys, log
        self.version = "1"
        self.kill: tuple[str, str] | None = None  # (asset, partition)
        self.requests = 0

    # --- the toy graph -----------------------------------------------------------------------------------------

    def graph(self) -> Any:
        audio = {"partition": "audio_snapshot"}
        loud = self.bound(100)
        nodes = [
            self.node("raw_audio", self._read, has_source=True, **audio),
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

    def _tell(self, ctx: StageContext, asset: str, unit: int) -> None:
        if self.kill == (asset, ctx.partition) and unit == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        with self.log.open("a") as log:
            log.write(json.dumps([asset, ctx.partition, unit, self.version]) + "\n")

    def _read(self, ctx: StageContext, config: Any) -> None:
        for unit, path in ctx.out.pending(sorted(ctx.source.path.iterdir())):
            self._tell(ctx, "raw_audio", unit)
            with ctx.out.unit(unit) as out:
                value = float(path.read_text())
                out.write("metrics", [Metric(path.name, "value", value, value, value, 1)])

    def _double(self, ctx: StageContext, config: Any) -> None:
        above = ctx.inputs["above"]
        asset = "words" if above.address.asset == "raw_audio" else "chunks"
        for unit, shard in ctx.out.pending(above.shards("metrics")):
            self._tell(ctx, asset, unit)
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

    def night(self) -> list[str]:
        """Tick the sensor, then each repair schedule, and run what they request; return what they warned of."""
        graph = self.graph()
        jobs = jobs_of(graph, self.bench.settings)
        sensor = snapshot_sensor(self.bench.recipe, graph, self.bench.laboratory, jobs)
        schedules = repair_schedules(self.bench.recipe, graph, self.bench.laboratory)
        definitions = dg.Definitions(
            assets=self.bench.assets(*graph),
            jobs=list(jobs.values()),
            sensors=[sensor],
            schedules=schedules,
            resources={"laboratory": self.bench.laboratory},
        )
        repository = definitions.get_repository_def()
        context = dg.SensorEvaluationContext(
            instance_ref=self.ticks.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=None,
            repository_name=None,
            repository_def=repository,
        )
        data = sensor.evaluate_tick(context)
        for request in data.dynamic_partitions_requests or ():
            for instance in (self.ticks, self.bench.instance):
                instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        self._run_all(definitions, data, "recipe_audio")
        warned = []
        for name in ("recipe_audio", "recipe_models"):
            (schedule,) = [one for one in schedules if one.name == f"{name}_repair"]
            data = schedule.evaluate_tick(dg.build_schedule_context(self.ticks, repository_def=repository))
            warned.append(data.skip_message or "")
            self._run_all(definitions, data, name)
        return warned

    def _run_all(self, definitions: dg.Definitions, data: Any, job: str) -> None:
        for request in data.run_requests or ():
            self.requests += 1
            if self.kill and request.partition_key == self.kill[1] and "repair" in request.tags:
                self._run_and_be_killed(definitions, request, job)
                self.kill = None
            else:
                self._run(definitions, request, job, self.bench.instance)

    def _run(self, definitions: dg.Definitions, request: Any, job: str, instance: dg.DagsterInstance) -> None:
        definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            asset_selection=list(request.asset_selection),
            tags={**request.tags, PROCESS_TAG: f"{os.getpid()}:{psutil.Process().create_time()}"},
            raise_on_error=False,
        )

    def _run_and_be_killed(self, definitions: dg.Definitions, request: Any, job: str) -> None:
        process = multiprocessing.get_context("fork").Process(
            target=self._run, args=(definitions, request, job, self.ticks)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        # What run monitoring does for a run that a daemon launched: its process is gone.
        assert len(close_orphans(self.ticks)) == 1

    def computed(self) -> Counter:
        return Counter(tuple(json.loads(line)) for line in self.log.read_text().splitlines())

    def states(self) -> dict[str, str]:
        statuses = recipe_statuses(self.ticks, self.bench.recipe, self.graph(), self.bench.laboratory)
        return {status.place: status.state for status in statuses}


@pytest.fixture
def month(bench: Any, ticks: dg.DagsterInstance, toys: Any, tmp_path: Path) -> Month:

    bench.recipe = dataclasses.replace(bench.recipe, audio_snapshots={})
    return Month(bench, ticks, toys, tmp_path / "computed.jsonl")


def test_a_month_of_nights_ends_with_every_partition_right_and_nothing_computed_without_cause(month: Month):
    warned: list[str] = []
    for day in DAYS:
        month.arrive(day)
        if day == NEW_CODE_ON:
            month.version = "2"
        if day in KILLED:
            month.kill = (KILLED[day], day)
        warned = month.night()
    warned = month.night()  # one more night, for what the last one left

    states = month.states()
    for day in DAYS:
        assert states[f"raw_audio[{day}]"] == "fresh"
        assert states[f"words[{day}]"] == ("failed" if day in BAD else "fresh")
        assert states[f"chunks[{day}]"] == ("waiting" if day in BAD else "fresh")
    assert (states["corpus"], states["mix"]) == ("fresh", "fresh")
    for day in BAD:  # told with the reason, never run again
        assert f"words[{day}]: contract failed: loudest in [0, 100]: " in warned[0]

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

    again = month.requests
    assert "nothing to repair" in month.night()[0]
    assert month.requests == again
