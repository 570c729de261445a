"""The nightly repair: exactly what is missing or stale and can be made now, within a budget."""

import dataclasses
from typing import Any

import dagster as dg
import pytest

from spelangy_assets import schedules
from spelangy_assets.jobs import jobs_of
from spelangy_assets.recipes.graph import Node
from spelangy_assets.schedules import plan_repairs, repair_schedules
from spelangy_assets.stages.status import Status


class Night:
    """Ticks the repair schedules over toy nodes, and runs what they request."""

    def __init__(self, bench: Any, ticks: dg.DagsterInstance, *nodes: Node):
        self.bench, self.ticks = bench, ticks
        graph = bench.graph(*nodes)
        self.schedules = repair_schedules(bench.recipe, graph, bench.laboratory)
        self.definitions = dg.Definitions(
            assets=bench.assets(*nodes),
            jobs=list(jobs_of(graph).values()),
            schedules=self.schedules,
            resources={"laboratory": bench.laboratory},
        )

    def tick(self, name: str = "recipe_models_repair") -> Any:
        """Evaluate as the daemon does, which validates the requests against the job."""
        (schedule,) = [one for one in self.schedules if one.name == name]
        repository = self.definitions.get_repository_def()
        return schedule.evaluate_tick(dg.build_schedule_context(self.ticks, repository_def=repository))

    def add_snapshots(self, *days: str) -> None:
        for instance in (self.ticks, self.bench.instance):
            instance.add_dynamic_partitions("recipe_audio_snapshot", list(days))

    def run(self, data: Any, job: str = "recipe_models") -> list[bool]:
        return [
            self.definitions.resolve_job_def(job)
            .execute_in_process(
                instance=self.bench.instance,
                partition_key=request.partition_key,
                asset_selection=list(request.asset_selection),
                raise_on_error=False,
            )
            .success
            for request in data.run_requests
        ]


def requested(data: Any) -> list[str]:
    return [request.run_key.rpartition("/")[0] for request in data.run_requests or ()]


def chain(toys: Any) -> list[Node]:
    return [toys.node(), toys.reader("reader", "source"), toys.reader("last", "reader")]


def test_night_by_night_a_chain_is_repaired_from_its_top(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    night, order = Night(bench, ticks, *chain(toys)), []
    for _ in range(4):
        data = night.tick()
        order.append(requested(data))
        assert all(night.run(data))
    assert order == [["recipe/source/"], ["recipe/reader/"], ["recipe/last/"], []]
    assert data.skip_message == "nothing to repair"


def test_only_what_is_stale_is_requested_and_says_why(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    bench.materialize(*chain(toys))
    changed = dataclasses.replace(chain(toys)[1], config=toys.Config())
    data = Night(bench, ticks, chain(toys)[0], changed, chain(toys)[2]).tick()
    (request,) = data.run_requests
    assert request.asset_selection[0].path == ["recipe", "reader"]
    assert request.tags["repair"] == "stale"
    assert request.tags["why"].startswith("config: ")


def test_a_run_key_is_the_build_key(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    night = Night(bench, ticks, toys.node())
    first, second = night.tick(), night.tick()
    assert [request.run_key for request in first.run_requests] == [request.run_key for request in second.run_requests]
    night.run(first)
    built = bench.store.resolve(toys.address()).manifest
    assert first.run_requests[0].run_key == f"recipe/source//{built.build_key}"


def test_each_partition_that_lacks_something_is_requested(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    node = toys.node("raw", partition="audio_snapshot")
    night = Night(bench, ticks, node, toys.reader("chunks", "raw", partition="audio_snapshot"))
    night.add_snapshots("mon", "tue", "wed")
    bench.materialize(node, partition="mon")
    data = night.tick("recipe_audio_repair")
    assert sorted(requested(data)) == ["recipe/chunks/mon", "recipe/raw/tue", "recipe/raw/wed"]
    assert sorted(request.partition_key for request in data.run_requests) == ["mon", "tue", "wed"]
    assert all(night.run(data, "recipe_audio"))
    assert sorted(requested(night.tick("recipe_audio_repair"))) == ["recipe/chunks/tue", "recipe/chunks/wed"]


def test_every_partitioning_has_a_schedule_of_its_own_and_all_are_off(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    child = toys.node("tokens", partition="audio_snapshot")
    night = Night(bench, ticks, child, toys.roll_up("corpus", ("tokens", "mon")))
    assert sorted(one.name for one in night.schedules) == ["recipe_audio_repair", "recipe_models_repair"]
    assert {one.default_status for one in night.schedules} == {dg.DefaultScheduleStatus.STOPPED}
    night.add_snapshots("mon")
    assert requested(night.tick("recipe_models_repair")) == []  # its child is missing, which is the other's matter
    night.run(night.tick("recipe_audio_repair"), "recipe_audio")
    assert requested(night.tick("recipe_models_repair")) == ["recipe/corpus/"]


def test_a_failed_contract_is_told_and_never_requested(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    strict = toys.node(contract=toys.make_contract(low=100))
    bench.materialize(strict)
    nodes = [strict, toys.reader("reader", "source")]
    data = Night(bench, ticks, *nodes).tick()
    assert not data.run_requests
    assert data.skip_message == "nothing to repair; source: contract failed: metrics in [100, inf]: 3"


def test_a_failed_contract_keeps_nothing_else_from_repair(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    strict = toys.node(contract=toys.make_contract(low=100))
    bench.materialize(strict)
    assert requested(Night(bench, ticks, strict, toys.node("other")).tick()) == ["recipe/other/"]


def test_a_run_that_failed_is_requested_again_the_next_night(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    from spelangy_assets.stages.stage import InputError, StageContext

    broken = [True]

    def run(ctx: StageContext, config: Any) -> None:
        if broken:
            raise InputError("the disk is full")
        toys.write_toy(ctx, config)

    night = Night(bench, ticks, toys.node(stage=toys.make_stage(run, toys.tables, config=toys.Config)))
    assert night.run(night.tick()) == [False]
    broken.clear()
    assert night.run(night.tick()) == [True]


def test_a_night_has_a_budget(bench: Any, ticks: dg.DagsterInstance, toys: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(schedules, "_RUNS_PER_NIGHT", 2)
    night = Night(bench, ticks, *(toys.node(f"node-{number}".replace("-", "_")) for number in range(3)))
    assert len(requested(night.tick())) == 2


def status(name: str, state: Any) -> Status:
    return Status(name, None, state, "why", "key")


def test_a_plan_is_stale_before_missing_within_the_budget():
    statuses = [
        *(status(f"missing {number}", "missing") for number in range(2)),
        *(status(name, name) for name in ("failed", "waiting", "fresh")),
        *(status(f"stale {number}", "stale") for number in range(2)),
    ]
    assert [one.asset for one in plan_repairs(statuses, 9)] == ["stale 0", "stale 1", "missing 0", "missing 1"]
    assert [one.asset for one in plan_repairs(statuses, 3)] == ["stale 0", "stale 1", "missing 0"]
    assert plan_repairs(statuses, 0) == []
    assert plan_repairs([], 3) == []
