"""The command `diff`: its two sides, and what is printed.

Put here: whether a side is a recipe, and printing. Do not put here: the comparison (report/differences.py), or what the
name of a dataset stands for (store/selection.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from spelangy_assets.recipes.registry import known_recipes, recipe_named
from spelangy_assets.report.differences import difference_of, recipes_difference
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.selection import versions_named


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
    of = recipe_named(recipe).name if ".py" in recipe else recipe
    sides = [versions_named(store, text, of) for text in (first, second)]
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
