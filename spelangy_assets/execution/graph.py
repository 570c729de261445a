"""The graph of a recipe as plain data: nodes, their stages, configs and inputs.

Put here: nodes and the conditions of a valid graph. Do not put here: how a recipe is written (dataset.py, recipe.py)
or Dagster. Both the Dagster bridge and a plain loop read this.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, Literal

from spelangy_assets.quality.contracts import Contract
from spelangy_assets.store.fingerprint import (
    Payload,
    digest_of,
    fingerprint,
    identity_of,
    is_ours,
    module_digest,
    outside_modules,
    payload_of,
)

Cost = Literal["cheap", "heavy", "heaviest"]
_WEIGHTS: dict[Cost, int] = {"cheap": 1, "heavy": 20, "heaviest": 60}


class GraphError(ValueError):
    """A recipe that makes no valid graph; the text names the node."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One dataset of a recipe: which stage makes it, from what, under which contract."""

    name: str
    group: str
    description: str
    stage: ModuleType
    config: Any
    contract: Contract
    inputs: Mapping[str, str] = field(default_factory=dict)  # role -> asset; a partitioned one at the same partition
    members: tuple[tuple[str, str | None], ...] = ()  # a roll-up's children: (asset, partition)
    partition: str | None = None  # the crawl whose snapshots partition it
    has_source: bool = False
    snapshots: Mapping[str, Any] = field(default_factory=dict)  # of a crawl: what each named snapshot is read from
    folder: str = ""  # of a crawl: where other snapshots arrive, below SPELANGY_SNAPSHOTS
    kinds: tuple[str, ...] = ()
    pool: str | None = None
    cost: Cost = "cheap"

    @property
    def stage_name(self) -> str:
        return self.stage.__name__.rsplit(".", 1)[-1]

    @cached_property
    def identity(self) -> Payload:
        """What the build keys hold of the config: its literals without those that are at their default."""
        return identity_of(self.config, self.name)

    @cached_property
    def config_fingerprint(self) -> str:
        return digest_of(self.identity)

    @cached_property
    def outside(self) -> dict[str, str]:
        """The digests of the modules from outside of the project that make the dataset, by name."""
        stage = self.stage.__name__
        digest = "" if is_ours(stage) or stage not in sys.modules else module_digest(stage)
        return {**({stage: digest} if digest else {}), **outside_modules(self.config)}

    @cached_property
    def literals(self) -> Payload:
        """The config, whole, in its JSON form."""
        return payload_of(self.config, self.name)

    @cached_property
    def contract_fingerprint(self) -> str:
        return fingerprint(self.contract)

    @property
    def parents(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.inputs.values(), *(asset for asset, _ in self.members)]))

    @property
    def weight(self) -> int:
        """The approximate amount of work of a build: it orders runs and is not part of the identity."""
        return _WEIGHTS[self.cost]


class Graph:
    """The nodes of one recipe, every parent before its children."""

    def __init__(self, recipe: str, nodes: list[Node]):
        self.recipe = recipe
        self._nodes: dict[str, Node] = {}
        for node in nodes:
            if node.name in self._nodes:
                raise GraphError(f"{recipe}: two nodes are called {node.name!r}")
            for parent in node.parents:
                if parent not in self._nodes:
                    raise GraphError(f"{recipe}/{node.name}: input {parent!r} is not a node above it")
            for asset, partition in node.members:
                if (partition is None) != (self._nodes[asset].partition is None):
                    raise GraphError(
                        f"{recipe}/{node.name}: member {asset!r} at partition {partition!r}, but it is partitioned by "
                        f"{self._nodes[asset].partition}"
                    )
            for asset in node.inputs.values():
                parent = self._nodes[asset]
                if parent.partition and parent.partition != node.partition:
                    raise GraphError(
                        f"{recipe}/{node.name}: {asset!r} is partitioned by {parent.partition}; "
                        "a node of another partitioning reads it through a roll-up"
                    )
            self._nodes[node.name] = node

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def crawls(self) -> list[Node]:
        """Return the nodes that read snapshots; each names the partitions of its descendants."""
        return [node for node in self if node.has_source]

    def children(self, name: str) -> list[Node]:
        return [node for node in self if name in node.parents]

    def descendants(self, name: str) -> set[str]:
        """Return the names of all nodes below one."""
        found: set[str] = set()
        for node in self:
            if any(parent == name or parent in found for parent in node.parents):
                found.add(node.name)
        return found
