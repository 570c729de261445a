"""Column lineage: which input columns each column of a dataset comes from, as the UI draws it.

Put here: following the columns that a stage states (`KIND.columns`) through the graph. Do not put here: a stage's
columns, or how Dagster shows them (orchestration/stage_asset.py). A column that a stage does not list is computed by
the stage (a count, a position, a model's confidence in its own output). ROLE.COLUMN names a column of the first table
of the input in that role, or of its members' first table where the input is a roll-up. `*` means every roll-up among
the inputs.
"""

from __future__ import annotations

from collections.abc import Iterator

from spelangy_assets.execution.graph import Graph, Node
from spelangy_model.records import schema_of


def columns_of(node: Node) -> tuple[str, ...]:
    """Return the columns of a dataset's first table; none when it has no table."""
    first = next(iter(node.stage.TABLES.values()), None)
    return tuple(schema_of(first).names) if first is not None else ()


def column_lineage(graph: Graph, node: Node) -> dict[str, list[tuple[str, str]]]:
    """Return for each column of a dataset that has any the (asset, column) pairs that it comes from."""
    kind = getattr(node.stage, "KIND", None)
    stated = kind.columns if kind is not None else {}
    return {column: list(dict.fromkeys(_from(graph, node, places))) for column, places in stated.items()}


def _from(graph: Graph, node: Node, places: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for place in places:
        role, _, column = place.partition(".")
        roll_ups = [asset for asset in node.inputs.values() if graph[asset].members]
        for asset in roll_ups if role == "*" else [node.inputs[role]]:
            members = dict.fromkeys(name for name, _ in graph[asset].members)
            for source in members or (asset,):
                if column in columns_of(graph[source]):
                    yield source, column
