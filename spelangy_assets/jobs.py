"""Jobs: one a recipe and partitioning, so that a run has one partition key at most.

Put here: selections. Do not put here: when they run (schedules.py, sensors.py).
"""

import dagster as dg

from spelangy_assets.keys import asset_key
from spelangy_assets.recipes.graph import Graph, PartitionKind

JobKind = PartitionKind | None
_SUFFIX: dict[JobKind, str] = {"audio_snapshot": "audio", "page_snapshot": "pages", None: "models"}


def job_name(recipe: str, kind: JobKind) -> str:
    return f"{recipe}_{_SUFFIX[kind]}"


def jobs_of(graph: Graph) -> list:
    kinds: list[JobKind] = ["audio_snapshot", "page_snapshot", None]
    jobs = []
    for kind in kinds:
        names = [node.name for node in graph if node.partition == kind]
        if names:
            jobs.append(
                dg.define_asset_job(
                    job_name(graph.recipe, kind),
                    selection=dg.AssetSelection.assets(*(asset_key(graph.recipe, name) for name in names)),
                    description=f"Assets of recipe {graph.recipe}: {_SUFFIX[kind]}",
                    executor_def=dg.in_process_executor,
                )
            )
    return jobs
