"""The nightly repair: when missing and stale datasets are looked for.

Put here: schedules. Do not put here: what they request (repair.py).
"""

import dagster as dg

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.repair import REPAIR_TAG, Repairs, repair_job

# Snapshots first; datasets over many snapshots three hours later, when most snapshots are done.
_SNAPSHOTS_CRON = "0 2 * * *"
_MODELS_CRON = "0 5 * * *"
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def repair_schedules(recipe: Recipe, graph: Graph, installation: Installation) -> list[dg.ScheduleDefinition]:
    """Return the nightly repair of a recipe, one schedule a partitioning; off until a person turns them on."""
    kinds = sorted({node.partition for node in graph}, key=str)
    return [_schedule(Repairs(recipe, graph, installation, kind)) for kind in kinds]


def _schedule(repairs: Repairs) -> dg.ScheduleDefinition:
    return _snapshots(repairs) if repairs.kind else _models(repairs)


def _snapshots(repairs: Repairs) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=repairs.name,
        job=repair_job(repairs),
        cron_schedule=_SNAPSHOTS_CRON,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Backfills the snapshots in which something is missing or stale by the manifests",
    )


def _models(repairs: Repairs) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=repairs.name,
        job_name=repairs.job,
        cron_schedule=_MODELS_CRON,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Requests one run of what has no snapshot and is missing or stale by the manifests",
    )
    def repair(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        unfinished = context.instance.get_runs(dg.RunsFilter(job_name=repairs.job, statuses=_UNFINISHED))
        if any(REPAIR_TAG in run.tags for run in unfinished):
            return dg.SkipReason("the run of an earlier night still works")
        plan, nothing = repairs.plan(context.instance, context.log.warning)
        if not plan:
            return dg.SkipReason(nothing)
        return [
            dg.RunRequest(
                run_key=f"{repairs.recipe.name}/{one.key}", asset_selection=repairs.keys(one), tags=repairs.tags([one])
            )
            for one in plan
        ]

    return repair
