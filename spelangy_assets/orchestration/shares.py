"""One share of a version's units, done by a process on another machine.

Put here: what such a process does, whatever sent it. Do not put here: the sending (ray_cluster.py, slurm_work.py), or
the work (execution/build.py). The requesting process finds these units done, does what is left, and commits.
"""

from __future__ import annotations

from collections.abc import Callable

from spelangy_assets.execution.build import build_share
from spelangy_assets.execution.graph import Node
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes.registry import recipe_sent
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import Share

MODEL_POOLS = ("gpu", "asr", "tts")  # of stages that run a model, on a GPU where there is one


def can_be_shared(node: Node) -> bool:
    """Whether several processes may do the units of a node's stage side by side."""
    return getattr(node.stage, "INDEPENDENT_UNITS", False)


def works_on_gpu(node: Node, settings: Settings) -> bool:
    """Whether the units of a node take a GPU in this installation."""
    return settings.device != "cpu" and node.pool in MODEL_POOLS


def do_share(
    settings: Settings,
    reference: str,
    text: bytes | None,
    asset: str,
    partition: str | None,
    build_key: str,
    share: Share,
    log: Callable[[str], None] = lambda text: None,
) -> None:
    """Do one share; `text` is that of the recipe's file, which need not be there."""
    graph = recipe_sent(reference, text).graph
    node = graph[asset]
    installation = Installation(settings)
    source = installation.source(node, partition)
    build_share(
        installation.store, graph, node, partition, installation.execution(), build_key, share, source=source, log=log
    )
