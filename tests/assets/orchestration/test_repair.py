"""The repair of snapshots: backfills of exactly what the plan names, asked for by a tick, run by Dagster's daemons."""

from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from spelangy_assets.execution.graph import Node
from spelangy_assets.orchestration import repair
from spelangy_assets.orchestration.jobs import jobs_of
from spelangy_assets.orchestration.repair import recipe_statuses
from spelangy_assets.orchestration.schedules import repair_schedules

AUDIO = {"partition": "audio_snapshot"}


class Nights:
    """Toy nodes as they are deployed, and what the repair of their audio snapshots asks for."""

    def __init__(self, deployment: Any, bench: Any, *nodes: Node):
        self.deployment, self.bench = deployment, bench
        self.graph = bench.graph(*nodes)
        self.definitions = dg.Definitions(
            assets=bench.assets(*nodes),
            jobs=list(jobs_of(self.graph, bench.settings).values()),
            schedules=repair_schedules(bench.recipe, self.graph, bench.installation),
            resources={"installation": bench.installation},
        )
        deployment.load(self.definitions)

    def add_snapshots(self, *days: str) -> None:
        self.deployment.instance.add_dynamic_partitions("recipe_audio_snapshot", list(days))

    def tick(self) -> list[PartitionBackfill]:
        """Let a night's tick come; return the backfills that it asked for."""
        known = {backfill.backfill_id for backfill in self.deployment.backfills()}
        self.deployment.night()
        return [backfill for backfill in self.deployment.backfills() if backfill.backfill_id not in known]

    def states(self) -> dict[str, str]:
        statuses = recipe_statuses(self.deployment.instance, self.bench.recipe, self.graph, self.bench.installation)
        return {status.target: status.state for status in statuses}


def asked(backfills: list[PartitionBackfill]) -> list[tuple[list[str], list[str]]]:
    """Return the snapshots and the assets of each backfill."""
    return [
        (list(backfill.partition_names or ()), [key.path[-1] for key in backfill.asset_selection or ()])
        for backfill in backfills
    ]


def test_a_tick_asks_for_backfills_of_exactly_what_is_missing_and_the_daemon_runs_them(
    deployment: Any, bench: Any, toys: Any
):
    raw, chunks = toys.node("raw", **AUDIO), toys.reader("chunks", "raw", cost="heavy", pool="asr", **AUDIO)
    notes = toys.make_stage(toys.double_input, name="toy_notes")
    nights = Nights(deployment, bench, raw, chunks, toys.reader("notes", "raw", stage=notes, **AUDIO))
    nights.add_snapshots("mon", "tue", "wed", "thu")
    for built in ("mon", "wed"):
        toys.build(bench.store, raw, partition=built)
    toys.build(bench.store, chunks, raw, partition="mon")

    backfills = nights.tick()
    # The most work first; one backfill where snapshots lack the same.
    assert asked(backfills) == [
        (["tue", "thu"], ["raw", "chunks", "notes"]),
        (["wed"], ["chunks", "notes"]),
        (["mon"], ["notes"]),
    ]
    (planned,) = deployment.runs("recipe_audio_snapshot_repair")
    night = f"{deployment.day:%Y-%m-%d}T02:00:00+00:00"
    tags = {
        "spelangy/repair": "missing",
        "spelangy/why": "raw: never built",
        "spelangy/asked_by": planned.run_id,
        "spelangy/tick": night,
        "dagster/schedule_name": "recipe_audio_snapshot_repair",
    }
    assert dict(backfills[0].tags) == {**tags, "ecs/cpu": "4096", "ecs/memory": "30720"}
    assert dict(backfills[2].tags) == {
        **tags,
        "spelangy/why": "notes: never built",
        "ecs/cpu": "2048",
        "ecs/memory": "16384",
    }
    assert backfills[0].title == "Repair of what is missing"
    assert set(deployment.messages("recipe_audio_snapshot_repair")) == {
        f"backfill {backfills[0].backfill_id}: tue: raw: never built",
        f"backfill {backfills[0].backfill_id}: thu: raw: never built",
        f"backfill {backfills[1].backfill_id}: wed: chunks: never built; notes: never built",
        f"backfill {backfills[2].backfill_id}: mon: notes: never built",
    }

    deployment.backfill()
    assert {backfill.status for backfill in deployment.backfills()} == {BulkActionStatus.COMPLETED_SUCCESS}
    runs = deployment.runs("recipe_audio_snapshot")
    assert [run.tags["dagster/partition"] for run in runs] == ["tue", "thu", "wed", "mon"]  # one run a snapshot
    assert [run.tags["dagster/backfill"] for run in runs] == [backfills[index].backfill_id for index in (0, 0, 1, 2)]
    assert [run.tags["ecs/cpu"] for run in runs] == ["4096", "4096", "4096", "2048"]
    assert set(nights.states().values()) == {"fresh"}

    assert nights.tick() == []
    assert deployment.messages("recipe_audio_snapshot_repair") == ["nothing to repair"]


def test_what_an_earlier_backfill_has_still_to_do_is_not_asked_for_again(deployment: Any, bench: Any, toys: Any):
    nights = Nights(deployment, bench, toys.node("raw", **AUDIO))
    nights.add_snapshots("mon", "tue")
    (first,) = nights.tick()
    nights.add_snapshots("wed")
    assert asked(nights.tick()) == [(["wed"], ["raw"])]  # the daemon has not looked yet

    # The plan is made, but what it asks for stays in the queue.
    deployment.launcher.around = lambda run, go: go() if run.job_name == "recipe_audio_snapshot_repair" else None
    deployment.backfill()
    assert nights.tick() == []
    (run, _) = deployment.runs("recipe_audio_snapshot", **{"dagster/backfill": first.backfill_id})
    deployment.instance.report_run_failed(run)
    assert asked(nights.tick()) == [(["mon"], ["raw"])]  # its run has ended, that of tue has not

    deployment.instance.update_backfill(first.with_status(BulkActionStatus.CANCELED))
    for other in deployment.runs("recipe_audio_snapshot"):
        deployment.instance.report_run_canceled(other)
    assert asked(nights.tick()) == [(["tue", "wed"], ["raw"])]


def test_a_night_has_a_budget(deployment: Any, bench: Any, toys: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(repair, "_RUNS_PER_NIGHT", 2)
    nights = Nights(deployment, bench, toys.node("raw", **AUDIO))
    nights.add_snapshots("mon", "tue", "wed")
    assert asked(nights.tick()) == [(["mon", "tue"], ["raw"])]
    assert asked(nights.tick()) == [(["wed"], ["raw"])]


def test_a_bad_file_is_tried_once_a_night_and_a_failed_contract_is_reported_and_not_tried(
    deployment: Any, bench: Any, toys: Any
):
    from spelangy_assets.execution.stage import InputError, StageContext

    tries = []

    def run(ctx: StageContext, config: Any) -> None:
        tries.append(ctx.partition)
        if ctx.partition == "mon":
            raise InputError("a.wav is cut off")
        toys.write_toy(ctx, config)

    stage = toys.make_stage(run, toys.tables, config=toys.Config)
    nights = Nights(deployment, bench, toys.node("raw", stage=stage, contract=toys.make_contract(low=100), **AUDIO))
    nights.add_snapshots("mon", "tue")
    for _ in range(2):
        assert nights.tick()
        deployment.backfill()
    assert tries == ["mon", "tue", "mon"]
    assert {backfill.status for backfill in deployment.backfills()} == {BulkActionStatus.COMPLETED_FAILED}
    assert "not requested, another run would fail again: raw[tue]: contract failed: metrics in [100, inf]: 3" in (
        deployment.messages("recipe_audio_snapshot_repair")
    )


def test_outside_of_dagsters_processes_the_repair_says_where_to_launch_it(deployment: Any, bench: Any, toys: Any):
    nights = Nights(deployment, bench, toys.node("raw", **AUDIO))
    nights.add_snapshots("mon")
    job = nights.definitions.resolve_job_def("recipe_audio_snapshot_repair")
    with pytest.raises(ValueError, match="launch it from the UI or turn its schedule on"):
        job.execute_in_process(instance=deployment.instance)
    assert deployment.backfills() == []
