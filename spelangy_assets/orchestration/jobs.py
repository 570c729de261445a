"""Jobs: one a recipe and partitioning, so that a run has one partition key at most.

Put here: selections. Do not put here: when they run (schedules.py, sensors.py).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from spelangy_assets.execution.graph import Graph
from spelangy_assets.orchestration.executors import executor_of
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.task_sizes import size_tags
from spelangy_assets.settings import Settings

Job = Any  # what dg.define_asset_job returns has no public name
_NO_JOB_NAME = re.compile(r"[^A-Za-z0-9_]")


def job_name(recipe: str, crawl: str | None) -> str:
    """Return the name of the job of the assets that a crawl partitions; None: of the unpartitioned assets."""
    return f"{recipe}_{crawl or 'models'}"


def jobs_of(graph: Graph, settings: Settings) -> dict[str | None, Job]:
    """Return the jobs of a recipe, by the crawl that partitions their assets, as this installation runs them."""
    kinds = dict.fromkeys(node.partition for node in graph)
    names = {kind: [node.name for node in graph if node.partition == kind] for kind in kinds}
    return {kind: _job(graph, job_name(graph.recipe, kind), names[kind], settings) for kind in kinds}


def arm_jobs(graph: Graph, settings: Settings) -> list[Job]:
    """Return a job for each run of a leaderboard: its mix, the run, its evaluation and the board.

    So a person picks a mix and materializes its run in two clicks; the tags `arm` and `mix` find its runs again.
    """
    jobs = {}
    for board in (node for node in graph if node.stage_name == "leaderboard"):
        for index, row in enumerate(board.config.runs):
            run = graph[board.inputs[f"run.{index}"]]
            mix = run.inputs.get("mix")
            judged = [board.inputs[role] for role in (f"eval.{index}", f"skill.{index}") if role in board.inputs]
            names = [*([mix] if mix else []), run.name, *judged, board.name]
            tags = {"arm": row.arm, **({"mix": mix} if mix else {})}
            name = _NO_JOB_NAME.sub("_", f"{graph.recipe}_arm_{row.label}")
            jobs.setdefault(name, _job(graph, name, names, settings, tags, f"arm {row.label}"))
    return list(jobs.values())


def _job(
    graph: Graph,
    name: str,
    assets: Sequence[str],
    settings: Settings,
    tags: Mapping[str, str] | None = None,
    what: str = "",
) -> Job:
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*(asset_key(graph.recipe, asset) for asset in assets)),
        description=f"Recipe {graph.recipe}: {what or name}",
        executor_def=executor_of(settings),
        tags={**size_tags((graph[asset] for asset in assets), settings.device), **(tags or {})},
    )
