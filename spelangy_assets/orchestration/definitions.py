"""The composition root: recipes and settings become what Dagster loads.

Put here: the assembling. Do not put here: assets, or any import of a heavy library (a test holds the line):
every process of every step imports this module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.orchestration.executors import executor_of
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.jobs import arm_jobs, jobs_of
from spelangy_assets.orchestration.s3 import is_s3, options_of, s3_resource
from spelangy_assets.orchestration.schedules import repair_schedules
from spelangy_assets.orchestration.sensors import snapshot_sensor
from spelangy_assets.orchestration.stage_asset import stage_asset
from spelangy_assets.orchestration.upkeep import upkeep_assets, verified_asset
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings


def recipe_definitions(recipe: Recipe, installation: Installation) -> dg.Definitions:
    """Return the definitions of one recipe, without resources."""
    graph = recipe.graph
    jobs = jobs_of(graph, installation.settings)
    return dg.Definitions(
        assets=[*(stage_asset(recipe, graph, node) for node in graph), *upkeep_assets(recipe, graph)],
        jobs=[*jobs.values(), *arm_jobs(graph, installation.settings)],
        schedules=repair_schedules(recipe, graph, installation) if recipe.follows_snapshots else [],
        sensors=[snapshot_sensor(recipe, graph, installation, jobs)] if recipe.follows_snapshots else [],
    )


def build_definitions(
    settings: Settings | None = None,
    overrides: Mapping[str, Any] | None = None,
    recipes: Sequence[Recipe] | None = None,
) -> dg.Definitions:
    """Return all definitions of the installation.

    `settings` default to the environment's, `recipes` to those that the settings name; `overrides` replace resources by
    key: `installation`, and `s3`, an S3Resource, for a store on S3. ValueError for a recipe that there is not.
    """
    resources = {"installation": Installation(settings or Settings.from_environment()), **(overrides or {})}
    installation = resources["installation"]
    if is_s3(installation.settings.store_uri):
        resources.setdefault("s3", s3_resource(installation.settings.store_uri))
        resources["installation"] = installation = replace(installation, s3=options_of(resources["s3"]))
    chosen = recipes or [recipe_named(name) for name in installation.settings.recipes]
    return dg.Definitions.merge(
        *(recipe_definitions(recipe, installation) for recipe in chosen),
        dg.Definitions(assets=[verified_asset()], resources=resources, executor=executor_of(installation.settings)),
    )
