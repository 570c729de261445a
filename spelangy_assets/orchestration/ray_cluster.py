"""Distributes the units of a stage over the machines of a Ray cluster.

Put here: the division into shares, and what is sent to a machine. Do not put here: how runs reach the cluster
(dagster-ray's run launcher does that, see deploy/ray/dagster.yaml), or the work: each share is the ordinary stage over
some of its units (execution/build.py). The requesting process then finds these units done, does those that a lost
machine left, and commits. Every machine must be able to reach the store. Ray is imported where it is used.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace

from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.stage import Distribute
from spelangy_assets.orchestration.shares import can_be_shared, do_share, works_on_gpu
from spelangy_assets.recipes.registry import text_of
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import Share


def ray_distribute(settings: Settings, recipe: Recipe, node: Node) -> Distribute | None:
    """Return the `distribute` of an Execution: one share for each place that the cluster of `SPELANGY_RAY` has for it.

    None where the settings name no cluster, or the units of the stage need each other.

    A share needs one CPU, and where the device is cuda and the node's pool uses one, a GPU or, with
    `shares_per_gpu`, a part of one: then as many processes share each GPU. When a machine is lost,
    the current unit of its share is lost; Ray restarts the share elsewhere, and it continues at its first missing
    unit. An error of the work itself is raised unchanged, once all shares have ended.
    """

    if not settings.ray_address or not can_be_shared(node):
        return None

    def distribute(asset: str, partition: str | None, build_key: str, count_units: Callable[[], int]) -> None:
        import ray
        from ray.exceptions import RayTaskError

        if not ray.is_initialized():
            ray.init(address=settings.ray_address, log_to_driver=False, logging_level=logging.WARNING)
        on_gpu = works_on_gpu(node, settings)
        needed, each = ("GPU", settings.shares_per_gpu) if on_gpu else ("CPU", 1)
        places = max(1, min(int(ray.cluster_resources().get(needed, 0)) * each, count_units()))
        task = ray.remote(_do_share).options(
            num_cpus=1,
            num_gpus=1 / each if on_gpu else 0,
            scheduling_strategy="SPREAD",
            max_retries=3,
            name=f"{recipe.name}/{asset}",
        )
        # Service addresses and secrets are those of each machine's own environment.
        sent, text = replace(settings, environment={}), text_of(recipe.reference)
        shares = [
            task.remote(sent, recipe.reference, text, asset, partition, build_key, index, places)
            for index in range(places)
        ]
        failures = []
        for share in shares:
            try:
                ray.get(share)
            except RayTaskError as error:
                failures.append(error.as_instanceof_cause())
        if failures:
            raise failures[0]

    return distribute


def _do_share(
    settings: Settings,
    reference: str,
    text: bytes | None,
    asset: str,
    partition: str | None,
    build_key: str,
    index: int,
    count: int,
) -> None:
    """Do one share, in a process of the cluster; `text` is that of the recipe's file, which need not be there."""
    settings = replace(settings, environment=dict(os.environ))
    do_share(settings, reference, text, asset, partition, build_key, Share(index, count))
