"""Jobs: one a recipe and partitioning, so that a run has one partition key at most.

Put here: selections. Do not put here: when they run (schedules.py, sensors.py).
"""

import dagster as dg

from spelangy_assets.execution.graph import Graph, PartitionKind
from spelangy_assets.orchestration.executors import executor_of
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.task_sizes import size_tags
from spelangy_assets.settings import Settings

JobKind = PartitionKind | None
_SUFFIX: dict[JobKind, str] = {"audio_snapshot": "audio", "page_snapshot": "pages", None: "models"}


def job_name(recipe: str, kind: JobKind) -> str:
    return f"{recipe}_{_SUFFIX[kind]}"


def jobs_of(graph: Graph, settings: Settings) -> dict:
    """Return the jobs of a recipe, by the partitioning of their assets, as this installation runs them."""
    kinds: list[JobKind] = ["audio_snapshot", "page_snapshot", None]
    names = {kind: [node.name for node in graph if node.partition == kind] for kind in kinds}
    return {
        kind: dg.define_asset_job(
            job_name(graph.recipe, kind),
            selection=dg.AssetSelection.assets(*(asset_key(graph.recipe, name) for name in names[kind])),
            description=f"Assets of recipe {graph.recipe}: {_SUFFIX[kind]}",
            executor_def=executor_of(settings),
            tags=size_tags((graph[name] for name in names[kind]), settings.device),
        )
        for kind in kinds
        if names[kind]
    }
