"""What is out of date, and why: told from the manifests, across the whole graph.

Put here: the comparison of what is published with what the recipe asks for now. Do not put here: repairing it
(schedules request runs) or Dagster, which stops telling staleness at 100 partitions and never tells it in depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from spelangy_assets.recipes.graph import Graph, Node, PartitionKind
from spelangy_assets.stages.build import Resolved, resolve
from spelangy_assets.stages.stage import InputError
from spelangy_assets.store.artifacts import Address, ArtifactStore, StoreError
from spelangy_assets.store.manifest import Manifest

State = Literal["fresh", "missing", "stale", "failed", "waiting"]


@dataclass(frozen=True)
class Status:
    """The state of one dataset of one partition.

    missing: never built. stale: published, but not what the recipe asks for now. failed: built as asked, but its
    contract failed. waiting: it cannot be told before an input is brought up to date. fresh: nothing to do.
    """

    asset: str
    partition: str | None
    state: State
    why: str
    build_key: str = ""

    @property
    def repairable(self) -> bool:
        """Whether a run now would help; a failed contract fails again until something above it changes."""
        return self.state in ("missing", "stale")


Partitions = Mapping[PartitionKind, Iterable[str]]


def places(graph: Graph, partitions: Partitions) -> list[tuple[Node, str | None]]:
    """Return every (node, partition) of a graph, parents first."""
    return [(node, key) for node in graph for key in (partitions[node.partition] if node.partition else [None])]


def status_of(
    store: ArtifactStore,
    graph: Graph,
    partitions: Partitions,
    source_of: Callable[[Node, str | None], object],
) -> list[Status]:
    """Return the state of every dataset of the graph, parents first."""
    found: dict[tuple[str, str | None], Status] = {}
    for node, partition in places(graph, partitions):
        found[node.name, partition] = _status(store, graph, node, partition, source_of, found)
    return list(found.values())


def _parents(graph: Graph, node: Node, partition: str | None) -> list[tuple[str, str | None]]:
    same = [(asset, partition if graph[asset].partition else None) for asset in node.inputs.values()]
    return same + list(node.members)


def _status(
    store: ArtifactStore,
    graph: Graph,
    node: Node,
    partition: str | None,
    source_of: Callable[[Node, str | None], object],
    above: Mapping[tuple[str, str | None], Status],
) -> Status:
    blocked = [
        parent for parent in _parents(graph, node, partition) if parent in above and above[parent].state != "fresh"
    ]
    latest = store.latest(Address(graph.recipe, node.name, partition))
    if blocked:
        names = ", ".join(f"{asset}[{key}]" if key else asset for asset, key in blocked)
        return Status(node.name, partition, "waiting", f"not up to date above it: {names}")
    try:
        wanted = resolve(store, graph, node, partition, source_of(node, partition))
    except (StoreError, InputError) as error:
        return Status(node.name, partition, "waiting", str(error))
    key = wanted.identity.build_key
    built = store.find(Address(graph.recipe, node.name, partition), key)
    if built is not None:
        verdict = store.verdict(built)
        if verdict is not None and not verdict.passed:
            failures = "; ".join(f"{item.name}: {item.error or item.observed}" for item in verdict.failures())
            return Status(node.name, partition, "failed", f"contract failed: {failures}", key)
    if latest is None:
        return Status(node.name, partition, "missing", "never built", key)
    if latest.manifest.build_key.split("-r")[0] == key:
        return Status(node.name, partition, "fresh", "", key)
    return Status(node.name, partition, "stale", difference(latest.manifest, wanted), key)


def difference(manifest: Manifest, wanted: Resolved) -> str:
    """Say what changed between a published version and what is wanted: stage, config fields, inputs."""
    identity = wanted.identity
    reasons = []
    if (manifest.stage, manifest.stage_version) != (identity.stage, identity.stage_version):
        reasons.append(f"code {manifest.stage} v{manifest.stage_version} -> {identity.stage} v{identity.stage_version}")
    if manifest.config_fingerprint != identity.config_fingerprint:
        old, new = manifest.config, identity.config
        fields = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        reasons.append(f"config: {', '.join(fields)}")
    before = {(item.role, item.asset, item.partition): item.data_version for item in manifest.inputs}
    after = {(item.role, item.asset, item.partition): item.data_version for item in identity.inputs}
    changed = sorted(
        {
            f"{asset or role}[{part}]" if part else (asset or role)
            for role, asset, part in before.keys() | after.keys()
            if before.get((role, asset, part)) != after.get((role, asset, part))
        }
    )
    if changed:
        reasons.append(f"inputs: {', '.join(changed)}")
    return "; ".join(reasons)
