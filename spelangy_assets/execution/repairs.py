"""What to run so that a recipe is up to date again: the plan of the nightly repair.

Put here: from states to runs, worst first, within a budget. Do not put here: the states (status.py), or Dagster, which
is asked for the runs by repair.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.places import Place, parents_of
from spelangy_assets.execution.status import Status
from spelangy_assets.store.fingerprint import digest_of

_ORDER = {"stale": 0, "missing": 1, "shared": 2}


@dataclass(frozen=True)
class Repair:
    """One run: the assets to build at one partition, parents first.

    `state` is the worst of what it mends and `why` says it for each; `key` stays as long as the same is to be done.
    """

    partition: str | None
    assets: tuple[str, ...]
    state: str
    why: str
    key: str


def plan_repairs(
    graph: Graph,
    statuses: list[Status],
    kind: str | None,
    budget: int,
    busy: Collection[str | None] = (),
) -> list[Repair]:
    """Return at most `budget` runs: stale before missing, then the most work first, so that the long ones start early;
    runs of equal state and assets stand together.

    Only assets of one partitioning (`kind`) and of partitions that are not `busy`. A run holds all of a partition that
    can be repaired, and what waits for nothing but that. What waits for another partition, or for a contract that
    failed, is left to the next round: its inputs' versions are not known yet. `statuses` are the whole graph's, parents
    first, as `status_of` gives them.
    """
    states = {(status.asset, status.partition): status for status in statuses}
    chosen: dict[Place, Status] = {}
    for place, status in states.items():
        if graph[status.asset].partition != kind or status.partition in busy:
            continue
        above = parents_of(graph, graph[status.asset], status.partition)
        unready = [parent for parent in above if parent in states and states[parent].state != "fresh"]
        follows = all(one in chosen and one[1] == status.partition for one in unready)
        if follows and (status.repairable or (status.state == "waiting" and unready)):
            chosen[place] = status
    by_partition: dict[str | None, list[Status]] = {}
    for status in chosen.values():
        by_partition.setdefault(status.partition, []).append(status)
    repairs = [_repair(partition, members) for partition, members in by_partition.items()]

    def urgency(repair: Repair) -> tuple[int, float, tuple[str, ...]]:
        return _ORDER[repair.state], -sum(graph[asset].weight for asset in repair.assets), repair.assets

    return sorted(repairs, key=urgency)[:budget]


def _repair(partition: str | None, members: list[Status]) -> Repair:
    causes = [status for status in members if status.repairable]
    return Repair(
        partition,
        tuple(status.asset for status in members),
        min((status.state for status in causes), key=_ORDER.__getitem__),
        "; ".join(f"{status.asset}: {status.why}" for status in causes),
        digest_of([[status.asset, status.build_key] for status in members])[:16],
    )
