"""The nightly repair: exactly what is missing or stale and can be made now, within a budget."""

import dataclasses
from typing import Any

import dagster as dg

from spelangy_assets.execution.graph import Node
from spelangy_assets.orchestration.jobs import jobs_of
from spelangy_assets.orchestration.schedules import repair_schedules


class Night:
    """Ticks the repair schedules over toy nodes, and runs what they request."""

    def __init__(self, bench: Any, ticks: dg.DagsterInstance, *nodes: Node):
        self.bench, self.ticks = bench, ticks
        graph = bench.graph(*nodes)
        self.schedules = repair_schedules(bench.recipe, graph, bench.installation)
        self.definitions = dg.Definitions(
            assets=bench.assets(*nodes),
            jobs=list(jobs_of(graph, bench.settings).values()),
            schedules=self.schedules,
            resources={"installation": bench.installation},
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


def requested(data: Any) -> list[tuple[str | None, list[str]]]:
    """Return the partition and the assets of each run that was requested."""
    return [
        (request.partition_key, [key.path[-1] for key in request.asset_selection])
        for request in data.run_requests or ()
    ]


def chain(toys: Any) -> list[Node]:
    return [toys.node(), toys.reader("reader", "source"), toys.reader("last", "reader")]


def test_a_chain_is_repaired_in_one_run_and_then_there_is_nothing_to_do(
    bench: Any, ticks: dg.DagsterInstance, toys: Any
):
    night = Night(bench, ticks, *chain(toys))
    data = night.tick()
    assert requested(data) == [(None, ["source", "reader", "last"])]
    assert night.run(data) == [True]
    assert night.tick().skip_message == "nothing to repair"


def test_only_what_is_stale_is_requested_and_says_why(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    bench.materialize(*chain(toys))
    changed = dataclasses.replace(chain(toys)[1], config=toys.Config())
    data = Night(bench, ticks, chain(toys)[0], changed, chain(toys)[2]).tick()
    (request,) = data.run_requests
    assert [key.path for key in request.asset_selection] == [["recipe", "reader"], ["recipe", "last"]]
    assert request.tags["spelangy/repair"] == "stale"
    assert request.tags["spelangy/why"].startswith("reader: config: ")


def test_the_same_work_has_the_same_run_key_and_other_work_another(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    night = Night(bench, ticks, *chain(toys))
    first, second = night.tick(), night.tick()
    assert [request.run_key for request in first.run_requests] == [request.run_key for request in second.run_requests]
    bench.materialize(chain(toys)[0])
    (left,) = night.tick().run_requests
    assert left.run_key != first.run_requests[0].run_key


def test_while_the_run_of_an_earlier_night_works_there_is_no_other(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    night = Night(bench, ticks, *chain(toys))
    (request,) = night.tick().run_requests
    run = ticks.create_run_for_job(night.definitions.resolve_job_def("recipe_models"), tags=request.tags)
    assert night.tick().skip_message == "the run of an earlier night still works"
    ticks.report_run_failed(run)
    assert requested(night.tick()) == [(None, ["source", "reader", "last"])]


def test_every_partitioning_has_a_schedule_of_its_own_and_all_are_off(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    child = toys.node("tokens", partition="audio_snapshot")
    night = Night(bench, ticks, child, toys.roll_up("corpus", ("tokens", "mon")))
    assert sorted(one.name for one in night.schedules) == ["recipe_audio_snapshot_repair", "recipe_models_repair"]
    assert {one.default_status for one in night.schedules} == {dg.DefaultScheduleStatus.STOPPED}
    night.add_snapshots("mon")
    assert requested(night.tick("recipe_models_repair")) == []  # its child is missing, which is the other's matter
    bench.materialize(child, partition="mon")
    assert requested(night.tick("recipe_models_repair")) == [(None, ["corpus"])]


def test_a_failed_contract_is_reported_and_never_requested(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    strict = toys.node(contract=toys.make_contract(low=100))
    bench.materialize(strict)
    nodes = [strict, toys.reader("reader", "source")]
    data = Night(bench, ticks, *nodes).tick()
    assert not data.run_requests
    assert data.skip_message == "nothing to repair; source: contract failed: metrics in [100, inf]: 3"


def test_a_failed_contract_keeps_nothing_else_from_repair(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    strict = toys.node(contract=toys.make_contract(low=100))
    bench.materialize(strict)
    assert requested(Night(bench, ticks, strict, toys.node("other")).tick()) == [(None, ["other"])]


def test_a_run_that_failed_is_requested_again_the_next_night(bench: Any, ticks: dg.DagsterInstance, toys: Any):
    from spelangy_assets.execution.stage import InputError, StageContext

    broken = [True]

    def run(ctx: StageContext, config: Any) -> None:
        if broken:
            raise InputError("the disk is full")
        toys.write_toy(ctx, config)

    night = Night(bench, ticks, toys.node(stage=toys.make_stage(run, toys.tables, config=toys.Config)))
    assert night.run(night.tick()) == [False]
    broken.clear()
    assert night.run(night.tick()) == [True]
