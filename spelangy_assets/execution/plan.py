"""What a run of a recipe would do: which datasets are to be made, which are there, and what those cost before.

Put here: the set, and the estimate from the store's own manifests. Do not put here: states (status.py), or how the work
is cut into runs (runs.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.places import Place, place_name, required_places
from spelangy_assets.execution.runs import Run, runs_of
from spelangy_assets.execution.status import Status
from spelangy_assets.store.artifacts import ArtifactStore


@dataclass(frozen=True)
class Planned:
    """One dataset of the plan. `cpu_s`: what those of its stage cost before, on average; None where there is none."""

    place: Place
    group: str
    state: str
    why: str
    cpu_s: float | None

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

    def lines(self) -> list[str]:
        """Return the plan as text."""
        lines = [f"{place_name(*one.place):<36}{_seconds(one.cpu_s):>12}  {one.why}" for one in self.made]
        groups: dict[str, Counter[str]] = {}
        for one in self.datasets:
            groups.setdefault(one.group, Counter())["made" if one.made else one.state] += 1
        lines += ["", f"{'group':<16}{'to make':>8}{'shared':>8}{'there':>8}"]
        lines += [
            f"{group:<16}{found['made']:>8}{found['shared']:>8}{found['fresh']:>8}" for group, found in groups.items()
        ]
        known = [one.cpu_s for one in self.made if one.cpu_s is not None]
        unknown = len(self.made) - len(known)
        lines.append(
            f"{len(self.made)} of {len(self.datasets)} datasets to make in {len(self.runs)} runs, about "
            f"{sum(known):.0f} CPU s by what others of their stages cost in this store"
            + (f"; {unknown} of stages that made none yet" if unknown else "")
        )
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "recipe": self.recipe,
            "datasets": [
                {
                    "dataset": one.place[0],
                    "snapshot": one.place[1],
                    "group": one.group,
                    "state": one.state,
                    "made": one.made,
                    "why": one.why,
                    "cpu_s": one.cpu_s,
                }
                for one in self.datasets
            ],
        }


def make_plan(graph: Graph, statuses: Sequence[Status], store: ArtifactStore, roots: list[Place] | None = None) -> Plan:
    """Return what a run of the roots (None: of all) would do, from the states of the recipe's datasets."""
    costs = _mean_costs(store)
    states = {(one.asset, one.partition): one for one in statuses}
    wanted = required_places(graph, roots)
    planned = []
    for place in wanted:
        if place in states:
            node, state = graph[place[0]], states[place]
            planned.append(Planned(place, node.group, state.state, state.why, costs.get(node.stage_name)))
    made = [one.place for one in planned if one.made]
    return Plan(graph.recipe, tuple(planned), tuple(runs_of(graph, made)))


def _mean_costs(store: ArtifactStore) -> dict[str, float]:
    """Return the mean CPU seconds of the versions in the store, by stage."""
    costs: dict[str, list[float]] = {}
    for version in store.versions():
        costs.setdefault(version.manifest.stage, []).append(version.manifest.cpu_seconds)
    return {stage: sum(several) / len(several) for stage, several in costs.items()}


def _seconds(cpu_s: float | None) -> str:
    return "-" if cpu_s is None else f"{cpu_s:.1f} CPU s"
