"""The snapshot sensor: adds each snapshot of the snapshots folder as a partition and requests its crawl asset.

Put here: sensors. Do not put here: what a snapshot is (partitions.py).
"""

from collections.abc import Mapping

import dagster as dg

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.jobs import job_name
from spelangy_assets.orchestration.keys import asset_key, partitions_name
from spelangy_assets.orchestration.partitions import snapshots
from spelangy_assets.orchestration.task_sizes import size_tags

_SNAPSHOTS_PER_TICK = 10


def snapshot_sensor(recipe: Recipe, graph: Graph, installation: Installation, jobs: Mapping) -> dg.SensorDefinition:
    """Return the sensor of a recipe. It adds at most ten new snapshots a tick and requests their first asset once.

    `jobs` are the recipe's, by partitioning; the sensor has those that its crawl assets are in.
    Everything below is for the schedules, the automation conditions or a person: a crawl asset is cheap, ASR is not.
    """

    @dg.sensor(
        name=f"{recipe.name}_snapshots",
        jobs=[jobs[crawl.partition] for crawl in graph.crawls],
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING if recipe.name == "sample" else dg.DefaultSensorStatus.STOPPED,
        description="Adds new snapshots as partitions; requests the crawl asset of those that arrived in the folder",
    )
    def find_snapshots(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        requests, additions, room = [], [], _SNAPSHOTS_PER_TICK
        found = snapshots(graph, installation.settings)
        for crawl in graph.crawls:
            partition = str(crawl.partition)
            names = found[partition]
            known = set(context.instance.get_dynamic_partitions(partitions_name(recipe.name, partition)))
            fresh = [snapshot for snapshot in names if snapshot not in known][:room]
            room -= len(fresh)
            if not fresh:
                continue
            definition = dg.DynamicPartitionsDefinition(name=partitions_name(recipe.name, partition))
            additions.append(definition.build_add_request(fresh))
            requests.extend(
                dg.RunRequest(
                    run_key=f"{recipe.name}/{crawl.name}/{snapshot}",
                    partition_key=snapshot,
                    asset_selection=[asset_key(recipe.name, crawl.name)],
                    job_name=job_name(recipe.name, partition),
                    tags={"snapshot": snapshot, **size_tags([crawl], installation.settings.device)},
                )
                for snapshot in fresh
                if snapshot not in crawl.snapshots
            )
        if not additions:
            return dg.SkipReason(f"no new snapshot in {installation.settings.snapshots}")
        return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=additions)

    return find_snapshots
