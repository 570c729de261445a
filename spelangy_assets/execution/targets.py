"""The targets of a graph: which datasets it needs at which snapshots.

Put here: targets and their ancestors. Do not put here: whether a target is up to date (status.py), or how targets are
divided into runs (runs.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spelangy_assets.execution.graph import Graph, Node

Target = tuple[str, str | None]  # an asset at a partition
Partitions = Mapping[str, Iterable[str]]  # by crawl


def target_name(asset: str, partition: str | None) -> str:
    """Return the display name of a dataset at a partition."""
    return f"{asset}[{partition}]" if partition else asset


def parents_of(graph: Graph, node: Node, partition: str | None) -> list[Target]:
    """Return the targets that a node reads directly, each once."""
    own = [(asset, partition if graph[asset].partition else None) for asset in node.inputs.values()]
    return list(dict.fromkeys(own + list(node.members)))


def required_targets(graph: Graph, roots: list[Target] | None = None) -> list[Target]:
    """Return the targets that the roots need, parents first.

    By default the roots are all unpartitioned assets, and then what none of them is made from (accounts, pages to look
    at), at every snapshot at which all that it shows is needed. Of a crawl that no unpartitioned asset is made from,
    the roots are what nothing is made from, at every snapshot that the crawl names.
    """
    needed: dict[Target, None] = {}

    def visit(target: Target) -> None:
        if target in needed:
            return
        name, partition = target
        for parent in parents_of(graph, graph[name], partition):
            visit(parent)
        needed[target] = None

    for root in roots if roots is not None else [(node.name, None) for node in graph if node.partition is None]:
        visit(root)
    if roots is None:
        unused = [crawl for crawl in graph.crawls if crawl.name not in {name for name, _ in needed}]
        for crawl in unused:
            ends = [node for node in graph if node.partition == crawl.name and not graph.descendants(node.name)]
            for target in [(node.name, snapshot) for node in ends for snapshot in crawl.snapshots]:
                visit(target)
        snapshots = list(dict.fromkeys((graph[name].partition, partition) for name, partition in needed))
        for node in graph:
            if node.partition and all(graph[name].partition for name in graph.descendants(node.name)):
                for kind, partition in snapshots:
                    if kind == node.partition and needed.keys() >= set(parents_of(graph, node, partition)):
                        visit((node.name, partition))
    return list(needed)


def wanted_targets(graph: Graph, partitions: Partitions) -> list[Target]:
    """Return every target that should be up to date, in the graph's order.

    For a snapshot that a corpus names, only the datasets that the corpora need are wanted. For a snapshot that has
    arrived and is in no corpus yet, all are wanted, so that a person can inspect and choose it. A snapshot that is not
    a partition yet is left out.
    """
    required = set(required_targets(graph))
    chosen = {(graph[asset].partition, partition) for asset, partition in required}
    return [
        (node.name, key)
        for node in graph
        for key in (partitions[node.partition] if node.partition else [None])
        if key is None or (node.partition, key) not in chosen or (node.name, key) in required
    ]
