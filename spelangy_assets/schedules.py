"""The nightly repair: asks the manifests what is missing or stale and requests exactly that, within a budget.

Put here: schedules. Do not put here: the question itself (stages/status.py) or the plan (stages/repairs.py).
"""

from collections.abc import Sequence

import dagster as dg

from spelangy_assets.jobs import JobKind, job_name
from spelangy_assets.keys import asset_key, partitions_name
from spelangy_assets.laboratory import Laboratory
from spelangy_assets.recipes.graph import Graph, PartitionKind
from spelangy_assets.recipes.recipe import Recipe
from spelangy_assets.stages.repairs import plan_repairs
from spelangy_assets.stages.status import Status, status_of
from spelangy_assets.task_sizes import size_tags

REPAIR_TAG = "repair"
_RUNS_PER_NIGHT = 20
# Snapshots first; what is made of many of them three hours later, when most of them are there.
_CRON: dict[JobKind, str] = {"audio_snapshot": "0 2 * * *", "page_snapshot": "0 2 * * *", None: "0 5 * * *"}
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def recipe_statuses(instance: dg.DagsterInstance, recipe: Recipe, graph: Graph, laboratory: Laboratory) -> list[Status]:
    """Return the state of every dataset that a recipe asks for at the snapshots that the instance knows."""
    kinds: list[PartitionKind] = ["audio_snapshot", "page_snapshot"]
    partitions: dict[PartitionKind, Sequence[str]] = {
        kind: instance.get_dynamic_partitions(partitions_name(recipe.name, kind)) for kind in kinds
    }
    return status_of(
        laboratory.store, graph, partitions, lambda node, partition: laboratory.source(recipe, node, partition)
    )


def repair_schedules(recipe: Recipe, graph: Graph, laboratory: Laboratory) -> list[dg.ScheduleDefinition]:
    """Return the nightly repair of a recipe, one schedule a job; off until somebody turns them on."""
    kinds: list[JobKind] = sorted({node.partition for node in graph}, key=str)
    return [_repair(recipe, graph, laboratory, kind) for kind in kinds]


def _repair(recipe: Recipe, graph: Graph, laboratory: Laboratory, kind: JobKind) -> dg.ScheduleDefinition:
    job = job_name(recipe.name, kind)

    @dg.schedule(
        name=f"{job}_repair",
        job_name=job,
        cron_schedule=_CRON[kind],
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Requests what is missing or stale by the manifests: one run a snapshot, the worst first",
    )
    def repair(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        statuses = recipe_statuses(context.instance, recipe, graph, laboratory)
        mine = [status for status in statuses if graph[status.asset].partition == kind]
        failed = [f"{status.place}: {status.why}" for status in mine if status.state == "failed"]
        for words in failed:
            context.log.warning(f"not requested, another run would fail again: {words}")
        # A run of an earlier night that still works on a snapshot is not given a rival.
        unfinished = context.instance.get_runs(dg.RunsFilter(job_name=job, statuses=_UNFINISHED))
        busy = {run.tags.get("dagster/partition") for run in unfinished if REPAIR_TAG in run.tags}
        plan = plan_repairs(graph, statuses, kind, _RUNS_PER_NIGHT, busy)
        if not plan:
            return dg.SkipReason("; ".join(["nothing to repair", *failed]))
        return [
            dg.RunRequest(
                run_key=f"{recipe.name}/{one.partition or ''}/{one.key}",
                partition_key=one.partition,
                asset_selection=[asset_key(recipe.name, asset) for asset in one.assets],
                tags={
                    REPAIR_TAG: one.state,
                    "why": one.why[:200],
                    **size_tags((graph[asset] for asset in one.assets), laboratory.settings.device),
                },
            )
            for one in plan
        ]

    return repair
