"""The composition root: recipes and settings become what Dagster loads.

Put here: the assembling. Do not put here: assets, or any import of a heavy library (a test holds the line):
every process of every step imports this module.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from spelangy_assets.executors import executor_of
from spelangy_assets.jobs import jobs_of
from spelangy_assets.laboratory import Laboratory
from spelangy_assets.recipes.assemble import assemble
from spelangy_assets.recipes.miniature import MINIATURE, MINIATURE_LOW
from spelangy_assets.recipes.paper import PAPER
from spelangy_assets.recipes.recipe import Recipe
from spelangy_assets.recipes.sample import SAMPLE, TINY, TOKENIZER
from spelangy_assets.schedules import repair_schedules
from spelangy_assets.sensors import snapshot_sensor
from spelangy_assets.settings import Settings
from spelangy_assets.stage_asset import stage_asset
from spelangy_assets.upkeep import upkeep_assets

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


def recipe_definitions(recipe: Recipe, laboratory: Laboratory) -> dg.Definitions:
    """Return the definitions of one recipe, without resources."""
    graph = assemble(recipe)
    jobs = jobs_of(graph, laboratory.settings)
    return dg.Definitions(
        assets=[*(stage_asset(recipe, graph, node) for node in graph), *upkeep_assets(recipe, graph)],
        jobs=list(jobs.values()),
        schedules=repair_schedules(recipe, graph, laboratory),
        sensors=[snapshot_sensor(recipe, graph, laboratory, jobs)],
    )


def build_definitions(
    settings: Settings | None = None,
    overrides: Mapping[str, Any] | None = None,
    recipes: Sequence[Recipe] | None = None,
) -> dg.Definitions:
    """Return all definitions of the installation.

    `settings` default to the environment's, `recipes` to those that the settings name; `overrides` replace resources by
    key (tests give a laboratory of theirs). ValueError for a recipe that there is not.
    """
    laboratory = Laboratory(settings or Settings.from_environment())
    resources = {"laboratory": laboratory, **(overrides or {})}
    chosen = recipes or [recipe_named(name) for name in laboratory.settings.recipes]
    return dg.Definitions.merge(
        *(recipe_definitions(recipe, resources["laboratory"]) for recipe in chosen),
        dg.Definitions(resources=resources, executor=executor_of(resources["laboratory"].settings)),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev` loads."""
    return build_definitions()
