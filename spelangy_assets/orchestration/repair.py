"""The repair: finds in the manifests what is missing or stale and requests exactly that, within a budget.

Put here: how a plan becomes requests to Dagster. Do not put here: the states (execution/status.py), the plan
(execution/runs.py), when repairs run (schedules.py), or how Dagster makes a backfill (backfills.py).
"""

from collections.abc import Callable, Collection, Sequence
from itertools import groupby

import dagster as dg

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.runs import Run, repairs_of
from spelangy_assets.execution.status import Status, status_of
from spelangy_assets.orchestration.backfills import add_backfill, partitions_underway, tick_tags
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.jobs import job_name
from spelangy_assets.orchestration.keys import asset_key, partitions_name
from spelangy_assets.orchestration.task_sizes import size_tags

REPAIR_TAG = "spelangy/repair"
WHY_TAG = "spelangy/why"
ASKED_BY_TAG = "spelangy/asked_by"  # the run that planned a backfill
_RUNS_PER_NIGHT = 20
_WHY_CHARACTERS = 200


def recipe_statuses(
    instance: dg.DagsterInstance, recipe: Recipe, graph: Graph, installation: Installation
) -> list[Status]:
    """Return the state of every dataset that a recipe asks for at the snapshots that the instance knows."""
    partitions = {
        crawl: instance.get_dynamic_partitions(partitions_name(recipe.name, crawl))
        for crawl in dict.fromkeys(node.partition for node in graph)
        if crawl is not None
    }
    return status_of(installation.store, graph, partitions, installation.source)


class Repairs:
    """What to repair in the assets of a recipe that have one partitioning, and the tags of the runs that do it."""

    def __init__(self, recipe: Recipe, graph: Graph, installation: Installation, kind: str | None):
        self.recipe, self.graph, self.installation = recipe, graph, installation
        self.kind: str | None = kind
        self.job = job_name(recipe.name, kind)
        self.name = f"{self.job}_repair"

    def plan(
        self, instance: dg.DagsterInstance, warn: Callable[[str], object], busy: Collection[str | None] = ()
    ) -> tuple[list[Run], str]:
        """Return what to run, and the reason when that is nothing; `warn` is called for each failed contract."""
        statuses = recipe_statuses(instance, self.recipe, self.graph, self.installation)
        mine = [status for status in statuses if self.graph[status.asset].partition == self.kind]
        failed = [f"{status.target}: {status.why}" for status in mine if status.state == "failed"]
        for words in failed:
            warn(f"not requested, another run would fail again: {words}")
        plan = repairs_of(self.graph, statuses, self.kind, _RUNS_PER_NIGHT, busy)
        return plan, "; ".join(["nothing to repair", *failed])

    def keys(self, repair: Run) -> list[dg.AssetKey]:
        return [asset_key(self.recipe.name, asset) for asset in repair.assets]

    def tags(self, alike: Sequence[Run]) -> dict[str, str]:
        """Return the tags for repairs of equal state and assets."""
        nodes = (self.graph[asset] for asset in alike[0].assets)
        return {
            REPAIR_TAG: alike[0].state,
            WHY_TAG: " | ".join(dict.fromkeys(repair.why for repair in alike))[:_WHY_CHARACTERS],
            **size_tags(nodes, self.installation.settings.device),
        }


def repair_job(repairs: Repairs) -> dg.JobDefinition:
    """Return the job that requests the repair of snapshots: a backfill for each set of assets that some of them lack.

    Its run only plans and requests, which takes seconds. Its log states what was requested, what was not, and why.
    Partitions that an earlier backfill of the same assets has still to do are not requested again.
    """

    @dg.op(name=f"{repairs.name}_plan", out=dg.Out(dg.Nothing))
    def request(context: dg.OpExecutionContext) -> None:
        busy = partitions_underway(context.instance, repairs.job)
        plan, nothing = repairs.plan(context.instance, context.log.warning, busy)
        if not plan:
            context.log.info(nothing)
        asked_by = {ASKED_BY_TAG: context.run.run_id, **tick_tags(context.run)}
        # A plan groups equal runs, so that its order, the worst first, is the order of the backfills too.
        for (state, _), members in groupby(plan, key=lambda repair: (repair.state, repair.assets)):
            alike = list(members)
            backfill = add_backfill(
                context.instance,
                context.run,
                repairs.job,
                repairs.keys(alike[0]),
                [repair.partition for repair in alike if repair.partition],
                f"Repair of what is {state}",
                {**repairs.tags(alike), **asked_by},
            )
            for repair in alike:
                context.log.info(f"backfill {backfill}: {repair.partition}: {repair.why}")

    @dg.job(
        name=repairs.name,
        executor_def=dg.in_process_executor,
        description="Requests backfills of what is missing or stale by the manifests, the worst first",
    )
    def repair() -> None:
        request()

    return repair
