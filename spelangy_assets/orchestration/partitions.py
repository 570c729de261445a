"""The snapshots of a recipe: those that it names and those in the snapshots folder or bucket.

Put here: finding snapshots, adding them as partitions, and the states of a recipe's datasets there. Do not put here:
reading them. `status` and `plan` look for snapshots, too, and do without the second that Dagster takes to import.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.status import Status, status_of
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.settings import Settings
from spelangy_assets.store.files import Files
from spelangy_assets.store.names import check_name

if TYPE_CHECKING:
    import dagster as dg


def snapshots(graph: Graph, settings: Settings, *, arrived: bool = True) -> dict[str, list[str]]:
    """Return by crawl the names of its snapshots: those that the recipe names, then those that arrived, sorted."""
    return {
        str(crawl.partition): [
            *crawl.snapshots,
            *(name for name in _arrived(crawl, settings) if arrived and name not in crawl.snapshots),
        ]
        for crawl in graph.crawls
    }


def statuses_of(recipe: Recipe, installation: Installation) -> list[Status]:
    """Return the state of every dataset that a recipe asks for at the snapshots that are here."""
    partitions = snapshots(recipe.graph, installation.settings, arrived=recipe.follows_snapshots)
    return status_of(installation.store, recipe.graph, partitions, installation.source)


def _arrived(crawl: Node, settings: Settings) -> list[str]:
    if not crawl.folder:
        return []
    folder = settings.snapshots / crawl.folder
    found = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if settings.snapshots_s3:
        there = Files(settings.snapshots_s3).names(crawl.folder)
        found += sorted(name for name, is_folder in there if is_folder and name not in found)
    return [name for name in found if _is_name(name, folder)]


def _is_name(name: str, folder: Path) -> bool:
    """Whether a folder can be a snapshot; one that cannot is skipped with a warning, a hidden one without."""
    try:
        check_name(name)
    except ValueError as error:
        if not name.startswith("."):
            warnings.warn(f"{folder} holds a folder that is no snapshot: {error}; rename it", stacklevel=2)
        return False
    return True


def add_partitions(instance: "dg.DagsterInstance", recipe: Recipe, settings: Settings) -> None:
    """Make every snapshot of a recipe a partition of the instance; those that arrived where it follows them."""
    from spelangy_assets.orchestration.keys import partitions_name

    found = snapshots(recipe.graph, settings, arrived=recipe.follows_snapshots)
    for crawl, names in found.items():
        instance.add_dynamic_partitions(partitions_name(recipe.name, crawl), names)
