"""The command `diff`: its two sides, and what is printed.

Put here: how a side is named, and printing. Do not put here: the comparison (report/differences.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from spelangy_assets.recipes.registry import known_recipes, recipe_named
from spelangy_assets.report.differences import difference_of, recipes_difference
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore


def show_difference(
    store: ArtifactStore, first: str, second: str, recipe: str, sample: int, page: Path | None, as_json: bool
) -> int:
    """Print what differs between two sides, and write the page when one is asked for; return the exit status.

    Raises ValueError, which names what there is, for a side that is not in the store.
    """
    if is_recipe(first) and is_recipe(second):
        if page is not None:
            raise ValueError("two recipes have no page: name two datasets, for example sample/web_fine")
        between = recipes_difference(store, recipe_named(first).graph, recipe_named(second).graph)
        print(json.dumps(between.as_json(), indent=1) if as_json else "\n".join(between.lines()))
        return 0
    sides = [versions_named(store, text, recipe) for text in (first, second)]
    found = difference_of(sides[0], sides[1], (first, second), sample)
    print(json.dumps(found.as_json(), indent=1) if as_json else "\n".join(found.lines()))
    if page is not None:
        page.write_text(found.page(), encoding="utf-8")
        print(f"page: {page}")
    return 0


def is_recipe(side: str) -> bool:
    """Whether a side names a recipe: a file of one, or a known name. A dataset's name is in a recipe's own space."""
    name = side.partition(":")[0]
    return name.endswith(".py") or side in known_recipes()


def versions_named(store: ArtifactStore, side: str, recipe: str) -> list[Artifact]:
    """Return the versions that [RECIPE/]DATASET[@SNAPSHOT][#VERSION] names: what is published, or the versions whose
    build key or data version begins with VERSION. Without a snapshot it is all that the dataset has."""
    text, _, version = side.partition("#")
    head, slash, tail = text.rpartition("/")
    of = head if slash else (recipe_named(recipe).name if ".py" in recipe else recipe)
    dataset, _, partition = (tail if slash else text).partition("@")
    published = [
        one
        for one in store.published(of)
        if one.name.dataset == dataset and (not partition or one.name.partition == partition)
    ]
    if not published:
        there = sorted({one.name.dataset for one in store.published(of)})
        near = f"it has {', '.join(there[:8])}{' and more' if len(there) > 8 else ''}" if there else "it has none"
        raise ValueError(f"{of} has published no {text.rpartition('/')[2]}: {near}; run the recipe first")
    if not version:
        return published
    wanted = {Address(one.manifest.stage, one.manifest.partition) for one in published}
    all_of_it = [one for one in store.versions() if one.address in wanted]
    found = [
        one
        for one in all_of_it
        if one.manifest.build_key.startswith(version) or one.manifest.data_version.startswith(version)
    ]
    if not found:
        keys = ", ".join(one.manifest.build_key for one in all_of_it[:6])
        raise ValueError(f"{text} has no version {version!r}: there are {keys}")
    return found
