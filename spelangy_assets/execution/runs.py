"""Divides targets into runs and orders them: the one planner behind `run`, the jobs and the repair.

Put here: from a graph and its targets, or their states, to runs. Do not put here: which targets are requested
(targets.py), their states (status.py), their cost (price.py), or the execution of runs (orchestration/).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.status import Status
from spelangy_assets.execution.targets import Target, parents_of, target_name
from spelangy_assets.store.fingerprint import digest_of

_WORST_FIRST = {"stale": 0, "missing": 1, "shared": 2}


@dataclass(frozen=True)
class Run:
    """Datasets of one partition that are made one after the other, parents first.

    `crawl` is the crawl that partitions them, None for datasets without partitions. `needs` are the targets of other
    runs that must exist first. `urgency` is the weight of the run's work plus that of the heaviest path below it.
    `state` is the worst state among its targets, and `why` states the reason for each. `key` is equal for runs with
    the same work. All three are empty where the run was planned without states.
    """

    crawl: str | None
    partition: str | None
    assets: tuple[str, ...]
    needs: frozenset[Target] = frozenset()
    urgency: float = 0
    state: str = ""
    why: str = ""
    key: str = ""

    @property
    def targets(self) -> list[Target]:
        return [(asset, self.partition) for asset in self.assets]

    @property
    def title(self) -> str:
        return target_name(self.assets[0], self.partition)


def runs_of(graph: Graph, targets: Iterable[Target]) -> list[Run]:
    """Cut targets, parents first, into runs, few enough that their overhead is small; parents first, too.

    An asset joins its parents' run when all of them are in that one, at its partition; token sets that wait for the
    same runs are one run. Unpartitioned assets are runs of their own, so that they can be made side by side.
    """
    members: list[list[Target]] = []
    above: list[set[int]] = []
    home: dict[Target, int] = {}
    for target in targets:
        name, partition = target
        node = graph[name]
        parents = {home[parent] for parent in parents_of(graph, node, partition) if parent in home}
        if len(parents) == 1 and node.group != "tokens":
            candidates = list(parents)
        else:
            candidates = [
                index
                for index, needed in enumerate(above)
                if needed == parents and graph[members[index][0][0]].group == "tokens"
            ]
        # Snapshots of two crawls may have one name, and a job has the partitions of one crawl.
        slots = ((i, *members[i][0]) for i in candidates if partition is not None)
        joined = next(
            (i for i, first, at in slots if (graph[first].partition, at) == (node.partition, partition)), None
        )
        if joined is None:
            joined = len(members)
            members.append([])
            above.append(parents)
        members[joined].append(target)
        home[target] = joined
    urgency = [sum(graph[name].weight for name, _ in held) for held in members]
    for index in reversed(range(len(members))):
        below = [urgency[other] for other, needed in enumerate(above) if index in needed]
        urgency[index] += max(below, default=0)
    return [
        Run(
            graph[held[0][0]].partition,
            held[0][1],
            tuple(name for name, _ in held),
            frozenset(target for other in needed for target in members[other]),
            weight,
        )
        for held, needed, weight in zip(members, above, urgency, strict=True)
    ]


def ready(runs: Sequence[Run], done: Collection[Target]) -> list[Run]:
    """Return the runs whose needs are done, the most urgent first."""
    return sorted((run for run in runs if run.needs <= set(done)), key=lambda run: -run.urgency)


def repairs_of(
    graph: Graph,
    statuses: Sequence[Status],
    crawl: str | None,
    budget: int,
    busy: Collection[str | None] = (),
) -> list[Run]:
    """Return at most `budget` runs that bring a recipe up to date: stale before missing, then the most work first, so
    that the long ones start early; runs of equal state and assets are adjacent.

    Only assets of one partitioning (`crawl`) and of partitions that are not `busy`. A run holds all datasets of a
    partition that can be repaired, and those that wait for these alone. Datasets that wait for another partition, or
    for a failed contract, are left to the next round: their inputs' versions are not known yet. `statuses` are the
    whole graph's, parents first, as `status_of` gives them.
    """
    states = {(status.asset, status.partition): status for status in statuses}
    chosen: dict[Target, Status] = {}
    for target, status in states.items():
        if graph[status.asset].partition != crawl or status.partition in busy:
            continue
        above = parents_of(graph, graph[status.asset], status.partition)
        unready = [parent for parent in above if parent in states and states[parent].state != "fresh"]
        follows = all(one in chosen and one[1] == status.partition for one in unready)
        if follows and (status.repairable or (status.state == "waiting" and unready)):
            chosen[target] = status
    by_partition: dict[str | None, list[Status]] = {}
    for status in chosen.values():
        by_partition.setdefault(status.partition, []).append(status)
    repairs = [_repair(graph, members) for members in by_partition.values()]
    return sorted(repairs, key=lambda run: (_WORST_FIRST[run.state], -run.urgency, run.assets))[:budget]


def _repair(graph: Graph, members: Sequence[Status]) -> Run:
    causes = [status for status in members if status.repairable]
    first = members[0]
    run = Run(graph[first.asset].partition, first.partition, tuple(status.asset for status in members))
    return replace(
        run,
        urgency=sum(graph[asset].weight for asset in run.assets),
        state=min((status.state for status in causes), key=_WORST_FIRST.__getitem__),
        why="; ".join(f"{status.asset}: {status.why}" for status in causes),
        key=digest_of([[status.asset, status.build_key] for status in members])[:16],
    )
