"""Names as Dagster sees them: asset keys, groups, partition definitions.

Put here: how a recipe's names become Dagster's. Do not put here: anything else.
"""

import dagster as dg

from spelangy_assets.execution.graph import Node


def asset_key(recipe: str, name: str) -> dg.AssetKey:
    return dg.AssetKey([recipe, name])


def group_name(recipe: str, node: Node) -> str:
    """Groups are global to a code location, so that the recipe is part of the name."""
    return f"{recipe}_{node.group}"


def partitions_name(recipe: str, crawl: str) -> str:
    """Dynamic partitions are global to an instance, so that the recipe is part of the name."""
    return f"{recipe}_{crawl}"


def partitions_def(recipe: str, node: Node) -> dg.DynamicPartitionsDefinition | None:
    return dg.DynamicPartitionsDefinition(name=partitions_name(recipe, node.partition)) if node.partition else None
