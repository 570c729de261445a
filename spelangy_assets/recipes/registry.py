"""The recipes that there are, by name: the package's, and those of the modules that a user names.

Put here: looking a recipe up. Do not put here: a recipe.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.recipes.miniature import MINIATURE, MINIATURE_LOW
from spelangy_assets.recipes.paper import PAPER
from spelangy_assets.recipes.sample import SAMPLE, TINY
from spelangy_assets.recipes.tokenizer import TOKENIZER
from spelangy_assets.settings import Settings

RECIPES: tuple[Recipe, ...] = (SAMPLE, PAPER)


def own_recipes(modules: Sequence[str]) -> list[Recipe]:
    """Return the recipes of a user's own modules. ValueError for a module that cannot be imported."""
    found = []
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ValueError(
                f"SPELANGY_RECIPE_MODULES names {name!r}, which cannot be imported ({error}): put the folder that "
                "holds it on PYTHONPATH"
            ) from error
        found += [value for value in vars(module).values() if isinstance(value, Recipe)]
    return found


def recipe_named(name: str) -> Recipe:
    """Return a recipe by name, of the package's or of the modules that SPELANGY_RECIPE_MODULES names.

    ValueError names those that there are, and a name that two of them have.
    """
    known = {recipe.name: recipe for recipe in (*RECIPES, MINIATURE, MINIATURE_LOW, TINY, TOKENIZER)}
    for recipe in own_recipes(Settings.from_environment().recipe_modules):
        if known.setdefault(recipe.name, recipe) is not recipe:
            raise ValueError(f"two recipes are called {recipe.name!r}: give yours another name")
    if name not in known:
        raise ValueError(f"no recipe {name!r}; there are {', '.join(known)}")
    return known[name]
