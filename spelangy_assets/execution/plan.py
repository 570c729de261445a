"""What a run of a recipe would do: which datasets it would make, and which exist.

Put here: the set. Do not put here: states (status.py), its cost (price.py), or how the work is divided into runs
(runs.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.runs import Run, runs_of
from spelangy_assets.execution.status import Status
from spelangy_assets.execution.targets import Target, required_targets, target_name


@dataclass(frozen=True)
class Planned:
    """One dataset of the plan."""

    target: Target
    group: str
    state: str
    why: str

    @property
    def made(self) -> bool:
        """Whether a run would make it: what waits for something that is made is taken to be made, too."""
        return self.state not in ("fresh", "shared")


@dataclass(frozen=True)
class Plan:
    """The datasets that a recipe asks for, parents first, and the runs that make those that are made, in order."""

    recipe: str
    datasets: tuple[Planned, ...]
    runs: tuple[Run, ...] = ()

    @property
    def made(self) -> list[Planned]:
        return [one for one in self.datasets if one.made]

    def lines(self, cpu_s: Mapping[Target, float] | None = None) -> list[str]:
        """Return the plan as text, with what each dataset would take in processor seconds where that is known."""
        known = cpu_s or {}
        lines = [f"{target_name(*one.target):<36}{_seconds(known.get(one.target)):>12}  {one.why}" for one in self.made]
        groups: dict[str, Counter[str]] = {}
        for one in self.datasets:
            groups.setdefault(one.group, Counter())["made" if one.made else one.state] += 1
        lines += ["", f"{'group':<16}{'to make':>8}{'shared':>8}{'there':>8}"]
        lines += [
            f"{group:<16}{found['made']:>8}{found['shared']:>8}{found['fresh']:>8}" for group, found in groups.items()
        ]
        lines.append(
            f"{len(self.made)} of {len(self.datasets)} datasets to make in {len(self.runs)} Dagster run{_s(self.runs)}"
        )
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "recipe": self.recipe,
            "datasets": [
                {
                    "dataset": one.target[0],
                    "snapshot": one.target[1],
                    "group": one.group,
                    "state": one.state,
                    "made": one.made,
                    "why": one.why,
                }
                for one in self.datasets
            ],
        }


def make_plan(graph: Graph, statuses: Sequence[Status], roots: list[Target] | None = None) -> Plan:
    """Return the plan of a run of the roots (None: of all), from the states of the recipe's datasets."""
    states = {(one.asset, one.partition): one for one in statuses}
    planned = tuple(
        Planned(target, graph[target[0]].group, states[target].state, states[target].why)
        for target in required_targets(graph, roots)
        if target in states
    )
    return Plan(graph.recipe, planned, tuple(runs_of(graph, [one.target for one in planned if one.made])))


def _s(several: Sequence[Any]) -> str:
    return "" if len(several) == 1 else "s"


def _seconds(cpu_s: float | None) -> str:
    return "-" if cpu_s is None else f"{cpu_s:.1f} CPU s"
