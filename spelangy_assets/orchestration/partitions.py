"""Which snapshots there are: those that a recipe names and those that lie in the snapshots folder or bucket.

Put here: finding snapshots and adding them as partitions. Do not put here: reading them.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from spelangy_assets.execution.graph import PartitionKind
from spelangy_assets.orchestration.keys import partitions_name
from spelangy_assets.recipes.recipe import Recipe
from spelangy_assets.settings import Settings
from spelangy_assets.store.files import Files
from spelangy_assets.store.names import check_name

_FOLDERS: dict[PartitionKind, str] = {"audio_snapshot": "audio", "page_snapshot": "pages"}


def snapshots(recipe: Recipe, settings: Settings) -> dict[PartitionKind, list[str]]:
    """Return the names of all snapshots, those of the recipe first, then those found, sorted."""
    named: Mapping[PartitionKind, Mapping[str, object]] = {
        "audio_snapshot": recipe.audio_snapshots,
        "page_snapshot": recipe.page_snapshots,
    }
    found = {}
    for kind, known in named.items():
        folder = settings.snapshots / _FOLDERS[kind]
        arrived = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        if settings.snapshots_s3:
            there = Files(settings.snapshots_s3).names(_FOLDERS[kind])
            arrived += sorted(name for name, is_folder in there if is_folder and name not in arrived)
        found[kind] = [*known, *(name for name in arrived if name not in known and _is_name(name, folder))]
    return found


def _is_name(name: str, folder: Path) -> bool:
    """Whether a folder can be a snapshot; one that cannot is passed over with a warning, a hidden one without."""
    try:
        check_name(name)
    except ValueError as error:
        if not name.startswith("."):
            warnings.warn(f"{folder} holds a folder that is no snapshot: {error}; rename it", stacklevel=2)
        return False
    return True


def add_partitions(instance: dg.DagsterInstance, recipe: Recipe, settings: Settings) -> None:
    """Make every snapshot of a recipe a partition of the instance."""
    for kind, names in snapshots(recipe, settings).items():
        instance.add_dynamic_partitions(partitions_name(recipe.name, kind), names)
