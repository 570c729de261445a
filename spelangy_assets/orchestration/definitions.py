"""The composition root: recipes and settings become what Dagster loads.

Put here: the assembling. Do not put here: assets, or any import of a heavy library (a test holds the line):
every process of every step imports this module.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.orchestration.executors import executor_of
from spelangy_assets.orchestration.jobs import arm_jobs, jobs_of
from spelangy_assets.orchestration.laboratory import Laboratory
from spelangy_assets.orchestration.schedules import repair_schedules
from spelangy_assets.orchestration.sensors import snapshot_sensor
from spelangy_assets.orchestration.stage_asset import stage_asset
from spelangy_assets.orchestration.upkeep import upkeep_assets, verified_asset
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings


def recipe_definitions(recipe: Recipe, laboratory: Laboratory) -> dg.Definitions:
    """Return the definitions of one recipe, without resources."""
    graph = recipe.graph
    jobs = jobs_of(graph, laboratory.settings)
    return dg.Definitions(
        assets=[*(stage_asset(recipe, graph, node) for node in graph), *upkeep_assets(recipe, graph)],
        jobs=[*jobs.values(), *arm_jobs(graph, laboratory.settings)],
        schedules=repair_schedules(recipe, graph, laboratory) if recipe.follows_snapshots else [],
        sensors=[snapshot_sensor(recipe, graph, laboratory, jobs)] if recipe.follows_snapshots else [],
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
        dg.Definitions(
            assets=[verified_asset()], resources=resources, executor=executor_of(resources["laboratory"].settings)
        ),
    )
