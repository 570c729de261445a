"""The snapshot sensor: what lies in the snapshots folder becomes a partition, and its crawl asset is requested.

Put here: sensors. Do not put here: what a snapshot is (partitions.py).
"""

from collections.abc import Mapping

import dagster as dg

from spelangy_assets.execution.graph import Graph
from spelangy_assets.orchestration.jobs import job_name
from spelangy_assets.orchestration.keys import asset_key, partitions_name
from spelangy_assets.orchestration.laboratory import Laboratory
from spelangy_assets.orchestration.partitions import snapshots
from spelangy_assets.orchestration.task_sizes import size_tags
from spelangy_assets.recipes.recipe import Recipe

_SNAPSHOTS_PER_TICK = 10


def snapshot_sensor(recipe: Recipe, graph: Graph, laboratory: Laboratory, jobs: Mapping) -> dg.SensorDefinition:
    """Return the sensor of a recipe. It adds at most ten new snapshots a tick and requests their first asset once.

    `jobs` are the recipe's, by partitioning; the sensor has those that its crawl assets are in.
    Everything below is for the schedules, the automation conditions or a person: a crawl asset is cheap, ASR is not.
    """
    crawl_assets = [node for node in graph if node.has_source]

    @dg.sensor(
        name=f"{recipe.name}_snapshots",
        jobs=[jobs[kind] for kind in dict.fromkeys(node.partition for node in crawl_assets)],
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING if recipe.name == "sample" else dg.DefaultSensorStatus.STOPPED,
        description="Adds new snapshots as partitions; requests the crawl asset of those that arrived in the folder",
    )
    def find_snapshots(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        requests, additions, room = [], [], _SNAPSHOTS_PER_TICK
        for kind, names in snapshots(recipe, laboratory.settings).items():
            known = set(context.instance.get_dynamic_partitions(partitions_name(recipe.name, kind)))
            fresh = [name for name in names if name not in known][:room]
            room -= len(fresh)
            if not fresh:
                continue
            definition = dg.DynamicPartitionsDefinition(name=partitions_name(recipe.name, kind))
            additions.append(definition.build_add_request(fresh))
            named = recipe.audio_snapshots if kind == "audio_snapshot" else recipe.page_snapshots
            requests.extend(
                dg.RunRequest(
                    run_key=f"{recipe.name}/{node.name}/{name}",
                    partition_key=name,
                    asset_selection=[asset_key(recipe.name, node.name)],
                    job_name=job_name(recipe.name, kind),
                    tags={"snapshot": name, **size_tags([node], laboratory.settings.device)},
                )
                for node in crawl_assets
                if node.partition == kind
                for name in fresh
                if name not in named
            )
        if not additions:
            return dg.SkipReason(f"no new snapshot in {laboratory.settings.snapshots}")
        return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=additions)

    return find_snapshots
