"""The nightly repair: asks the manifests what is missing or stale and requests exactly that, within a budget.

Put here: schedules. Do not put here: the question itself (stages/status.py).
"""

from collections.abc import Sequence

import dagster as dg

from spelangy_assets.jobs import JobKind, job_name
from spelangy_assets.keys import asset_key, partitions_name
from spelangy_assets.laboratory import Laboratory
from spelangy_assets.recipes.graph import Graph, PartitionKind
from spelangy_assets.recipes.recipe import Recipe
from spelangy_assets.stages.status import Status, status_of

_RUNS_PER_NIGHT = 20
_ORDER = {"stale": 0, "missing": 1}


def plan_repairs(statuses: list[Status], budget: int) -> list[Status]:
    """Return what to run now: repairable datasets whose inputs are up to date, stale before missing, within a budget.

    A dataset below another that is out of date waits for the next round: its inputs' versions are not known yet.
    """
    repairable = [status for status in statuses if status.repairable]
    return sorted(repairable, key=lambda status: _ORDER[status.state])[:budget]


def repair_schedules(recipe: Recipe, graph: Graph, laboratory: Laboratory) -> list[dg.ScheduleDefinition]:
    """Return the nightly repair of a recipe, one schedule a job; off until somebody turns them on."""
    kinds: list[JobKind] = sorted({node.partition for node in graph}, key=str)
    return [_repair(recipe, graph, laboratory, kind) for kind in kinds]


def _repair(recipe: Recipe, graph: Graph, laboratory: Laboratory, kind: JobKind) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{job_name(recipe.name, kind)}_repair",
        job_name=job_name(recipe.name, kind),
        cron_schedule="0 2 * * *",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Requests what is missing or stale by the manifests, once a night each: run keys are build keys",
    )
    def repair(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        partition_kinds: list[PartitionKind] = ["audio_snapshot", "page_snapshot"]
        partitions: dict[PartitionKind, Sequence[str]] = {
            one: context.instance.get_dynamic_partitions(partitions_name(recipe.name, one)) for one in partition_kinds
        }
        statuses = status_of(
            laboratory.store, graph, partitions, lambda node, partition: laboratory.source(recipe, node, partition)
        )
        mine = [status for status in statuses if graph[status.asset].partition == kind]
        plan = plan_repairs(mine, _RUNS_PER_NIGHT)
        failed = [f"{status.place}: {status.why}" for status in mine if status.state == "failed"]
        for words in failed:
            context.log.warning(f"not requested, another run would fail again: {words}")
        if not plan:
            return dg.SkipReason("; ".join(["nothing to repair", *failed]))
        return [
            dg.RunRequest(
                run_key=f"{recipe.name}/{status.asset}/{status.partition or ''}/{status.build_key}",
                partition_key=status.partition,
                asset_selection=[asset_key(recipe.name, status.asset)],
                tags={"repair": status.state, "why": status.why[:200]},
            )
            for status in plan
        ]

    return repair
