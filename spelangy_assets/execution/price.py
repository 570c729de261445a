"""What a plan would cost: processor time, bytes, tokens, dollars and time, by what versions in the store took.

Put here: the estimate and its basis, and the comparison of a plan with what a run then took. Do not put here: which
datasets a plan makes (plan.py).

Each dataset that the plan makes is compared with a version of its stage in the store: the one whose config has the most
equal options, and of those the one of the nearest amount of work. Its cost is that version's, times the ratio of the
amounts of work. The amount is the bytes of data read, without models; for a training run it is the rows that it trains
on, for a mix the rows that it draws. The bytes of the new datasets are estimated in the same way, parents first.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.plan import Plan
from spelangy_assets.execution.status import Status
from spelangy_assets.execution.targets import Target, parents_of, target_name
from spelangy_assets.store.artifacts import Artifact
from spelangy_assets.store.manifest import Manifest

# What is read whole whatever the data: its bytes are no amount of work.
_MODELS = {"train_lm", "adopt_checkpoint", "speech_tokenizer", "text_tokenizer", "leaderboard"}
_NO_DATA = "a roll-up holds no data"
_PROJECTION = Path(__file__).with_name("projected_rates.json")
# Sums of manifests that a price adds up, and their names in it.
_SUMS = {
    "speech_tokens": "tokens",
    "text_tokens": "tokens",
    "hours_kept": "hours",
    "model_prompt_tokens": "llm_tokens",
    "model_completion_tokens": "llm_tokens",
    "model_cost_usd": "llm_usd",
}
_SUMMED = {  # where a sum is counted: what is read again below is counted once
    "tokens": {"tokenize_chunks", "tokenize_text"},
    "hours": {"chunk_speech", "speak", "adopt_chunks"},
    "llm_tokens": {"write_krist", "mine_quest", "judge_answers"},
    "llm_usd": {"write_krist", "mine_quest", "judge_answers"},
}


@dataclass(frozen=True)
class Cost:
    """What one dataset would take. `scale` is the ratio of its work to that of the version it is measured against."""

    cpu_s: float
    wall_s: float
    bytes: float
    sums: Mapping[str, float] = field(default_factory=dict)
    basis: str = ""
    scale: float = 1.0


@dataclass(frozen=True)
class Price:
    """The cost of a plan's datasets. `unknown` are those of whose stage the store has no version."""

    recipe: str
    workers: int
    costs: Mapping[Target, Cost]
    unknown: tuple[Target, ...]
    overhead_s: float
    wall_s: float
    reports: int

    @property
    def cpu_s(self) -> float:
        """The processor time of the stages' own work, in seconds."""
        return sum(cost.cpu_s for cost in self.costs.values())

    @property
    def bytes(self) -> float:
        return sum(cost.bytes for cost in self.costs.values())

    def total(self, name: str) -> float:
        """Return a sum over all datasets: tokens, hours, llm_tokens, llm_usd."""
        return sum(cost.sums.get(name, 0.0) for cost in self.costs.values())

    def lines(self) -> list[str]:
        """Return the price as text: the totals, and their basis."""
        made = len(self.costs) + len(self.unknown)
        around = self.overhead_s * made
        least = "at least " if self.unknown else ""
        lines = [
            f"{'processor time':<16}{least}{_hours(self.cpu_s)} in stages"
            + (f", {_hours(around)} in imports, Dagster and contracts" if self.reports else ""),
            f"{'wall time':<16}{least}{_hours(self.wall_s)} on {self.workers} workers",
            f"{'written':<16}{least}{self.bytes / 1e9:.3g} GB, {self.total('hours'):.3g} hours of speech in chunks, "
            f"{self.total('tokens'):.4g} tokens",
            f"{'language model':<16}{least}{self.total('llm_tokens'):.4g} tokens, {self.total('llm_usd'):.2f} USD",
        ]
        if self.unknown and not self.cpu_s:
            why = "this store has no version of a stage that takes time; a run of `tiny` gives rates"
            lines = [f"{'cost':<16}not known: {why}"]
        lines += [
            f"{'GPU hours':<16}no rate is known: manifests hold processor time alone (benchmarks/gpu.py measures GPUs)",
        ]
        measured = [cost for cost in self.costs.values() if cost.basis != _NO_DATA]
        if measured:
            scales = sorted(cost.scale for cost in measured)
            basis = Counter(cost.basis for cost in measured if cost.cpu_s)
            priced = made - len(self.costs) + len(measured)  # all but roll-ups
            lines.append(
                f"{'rests on':<16}{len(measured)} of {priced} datasets by versions of their stages in this store, "
                f"scaled by {scales[0]:.2g} to {scales[-1]:.2g}"
                + (f"; most by {', '.join(name for name, _ in basis.most_common(3))}" if basis else "")
            )
        if self.reports:
            lines.append(f"{'':<16}the time around stages by the reports of {self.reports} runs below this home")
        if self.unknown:
            names = [target_name(*target) for target in self.unknown]
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            lines.append(f"{'not counted':<16}no version of the stage in this store: {', '.join(names[:5])}{more}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the price as JSON has it."""
        return {
            "recipe": self.recipe,
            "workers": self.workers,
            "cpu_s": round(self.cpu_s, 2),
            "overhead_cpu_s": round(self.overhead_s * (len(self.costs) + len(self.unknown)), 2),
            "wall_s": round(self.wall_s, 1),
            "bytes": round(self.bytes),
            **{name: round(self.total(name), 4) for name in dict.fromkeys(_SUMS.values())},
            "datasets": {
                target_name(*target): {
                    "cpu_s": round(cost.cpu_s, 3),
                    "basis": cost.basis,
                    "scale": round(cost.scale, 4),
                }
                for target, cost in self.costs.items()
            },
            "unknown": [target_name(*target) for target in self.unknown],
        }


def price_of(
    plan: Plan,
    graph: Graph,
    statuses: Sequence[Status],
    versions: Iterable[Artifact],
    reports: Sequence[Mapping[str, Any]] = (),
    workers: int = 2,
) -> Price:
    """Return the cost of the plan's datasets, by the versions of a store and the reports of runs."""
    by_stage: dict[str, list[Manifest]] = defaultdict(list)
    by_key: dict[tuple[str, str | None, str], Manifest] = {}
    for version in versions:
        manifest = version.manifest
        by_stage[manifest.stage].append(manifest)
        by_key[manifest.stage, manifest.partition, manifest.build_key] = manifest
    bytes_of: dict[Target, float | None] = {}
    for status in statuses:
        there = by_key.get((graph[status.asset].stage_name, status.partition, status.build_key))
        bytes_of[status.asset, status.partition] = _data_bytes(there) if there else None
    amounts = _Amounts(by_key)
    costs: dict[Target, Cost] = {}
    unknown = []
    for planned in plan.datasets:
        target, node = planned.target, graph[planned.target[0]]
        if not planned.made:
            if node.members:
                bytes_of[target] = _sum_of(bytes_of.get(parent) for parent in node.members)
            continue
        config = node.literals
        own = [parent for parent in parents_of(graph, node, target[1]) if graph[parent[0]].stage_name not in _MODELS]
        read = _sum_of(bytes_of.get(parent) for parent in own)
        if node.members:
            bytes_of[target], costs[target] = read, Cost(0.0, 0.0, 0.0, basis=_NO_DATA)
            continue
        reference = amounts.nearest(by_stage.get(node.stage_name, []), config, _work(node.stage_name, config, read))
        if reference is None:
            bytes_of[target] = None
            unknown.append(target)
            continue
        costs[target] = _scaled(reference, amounts.of(reference), _work(node.stage_name, config, read))
        bytes_of[target] = costs[target].bytes
    walls = {target: cost.wall_s for target, cost in costs.items()}
    around = overhead_of(reports)
    return Price(
        plan.recipe,
        workers,
        costs,
        tuple(unknown),
        around,
        wall_time(graph, walls, workers) + around * len(costs) / workers,
        len(reports),
    )


def overhead_of(reports: Sequence[Mapping[str, Any]]) -> float:
    """Return the processor seconds a dataset that past runs took beside their stages' own work."""
    made = sum(row["computed"] for report in reports for row in report["assets"].values())
    beside = sum(max(0.0, report["cpu_s"] - report["stages_cpu_s"]) for report in reports)
    return beside / made if made else 0.0


def run_reports(home: Path) -> list[dict[str, Any]]:
    """Return the reports of runs below a home that computed something."""
    found = [json.loads(path.read_text()) for path in sorted(home.glob("demo-*.json"))]
    return [report for report in found if sum(row["computed"] for row in report["assets"].values())]


def wall_time(graph: Graph, wall_s: Mapping[Target, float], workers: int) -> float:
    """Return when the last of the datasets is done, each begun by the first free worker once its parents are there."""
    parents = {
        target: {one for one in parents_of(graph, graph[target[0]], target[1]) if one in wall_s} for target in wall_s
    }
    children: dict[Target, list[Target]] = defaultdict(list)
    for target, above in parents.items():
        for one in above:
            children[one].append(target)
    rest: dict[Target, float] = {}  # from a dataset's begin to the end of the longest chain below it: the urgency
    for target in reversed(list(wall_s)):
        rest[target] = wall_s[target] + max((rest[child] for child in children[target]), default=0.0)
    ready = [(-rest[target], index, target) for index, target in enumerate(wall_s) if not parents[target]]
    heapq.heapify(ready)
    order = {target: index for index, target in enumerate(wall_s)}
    running: list[tuple[float, int, Target]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            target = heapq.heappop(ready)[2]
            heapq.heappush(running, (now + wall_s[target], order[target], target))
        now, _, done = heapq.heappop(running)
        for child in children[done]:
            parents[child].discard(done)
            if not parents[child]:
                heapq.heappush(ready, (-rest[child], order[child], child))
    return now


def compared(price: Price, report: Mapping[str, Any]) -> list[str]:
    """Return a table of the planned and the actual cost of a run, from its report."""
    made = sum(row["computed"] for row in report["assets"].values())
    around = price.overhead_s * (len(price.costs) + len(price.unknown))
    rows = [
        ("datasets made", float(len(price.costs) + len(price.unknown)), float(made)),
        ("CPU s in stages", price.cpu_s, report["stages_cpu_s"]),
        ("CPU s in all", price.cpu_s + around, report["cpu_s"]),
        ("wall s", price.wall_s, report["wall_s"]),
    ]
    lines = [f"{'':<20}{'planned':>10}{'spent':>10}{'ratio':>8}"]
    for name, planned, spent in rows:
        ratio = f"{spent / planned:.2f}" if planned else "-"
        lines.append(f"{name:<20}{planned:>10.1f}{spent:>10.1f}{ratio:>8}")
    if price.unknown:
        lines.append(f"{len(price.unknown)} datasets had no rate and are not in what was planned")
    return lines


def projected(recipe: str) -> list[str]:
    """Return what docs/scaling.md projects for a recipe that was never run whole; nothing for any other."""
    known = json.loads(_PROJECTION.read_text())
    if recipe != known["recipe"]:
        return []
    lines = [f"by the rates of {known['rests_on']}:", f"{'set':<14}{'hours':>12}{'CPU hours':>16}{'GB':>12}"]
    for part in known["parts"]:
        cpu_hours = part["hours"] * part["cpu_s_an_hour"] / 3600
        lines.append(f"{part['name']:<14}{part['hours']:>12,.0f}{cpu_hours:>16,.0f}{part['terabytes'] * 1000:>12,.0f}")
    cores = sum(part["hours"] * part["cpu_s_an_hour"] for part in known["parts"]) / (30 * 24 * 3600)
    lines.append(f"{cores:,.0f} cores for 30 days; training on GPUs: no rate is known, benchmarks/gpu.py measures it")
    return lines


class _Amounts:
    """The amounts of work of versions, from the bytes that they read."""

    def __init__(self, by_key: Mapping[tuple[str, str | None, str], Manifest]):
        self._by_key = by_key

    def of(self, manifest: Manifest) -> float | None:
        inputs = [item for item in manifest.inputs if item.stage and item.stage not in _MODELS]
        found = [self._by_key.get((item.stage, item.partition, item.build_key)) for item in inputs]
        return _work(manifest.stage, manifest.config, _sum_of(self._bytes(one) for one in found))

    def _bytes(self, manifest: Manifest | None) -> float | None:
        if manifest is None:
            return None
        if manifest.shards or not manifest.inputs:
            return _data_bytes(manifest)
        members = [self._by_key.get((item.stage, item.partition, item.build_key)) for item in manifest.inputs]
        return _sum_of(self._bytes(member) for member in members)

    def nearest(self, versions: Sequence[Manifest], config: Any, work: float | None) -> Manifest | None:
        """Return the version with the most equal options, of those the one of the nearest amount of work."""

        def distance(manifest: Manifest) -> tuple[int, float]:
            amount = self.of(manifest)
            far = abs(math.log(amount / work)) if amount and work else 0.0
            return len(_leaves(config) ^ _leaves(manifest.config)), far

        return min(versions, key=distance, default=None)


def _scaled(reference: Manifest, amount: float | None, work: float | None) -> Cost:
    scale = work / amount if work and amount else 1.0
    counts: Counter[str] = Counter()
    for stat, name in _SUMS.items():
        if reference.stage in _SUMMED[name]:
            counts[name] += reference.counts.stats.get(stat, 0.0) * scale  # type: ignore[assignment]
    return Cost(
        cpu_s=reference.cpu_seconds * scale,
        wall_s=reference.seconds * scale,
        bytes=_data_bytes(reference) * scale,
        sums=dict(counts),
        basis=f"{reference.recipe}/{target_name(reference.dataset, reference.partition)}",
        scale=scale,
    )


def _work(stage: str, config: Any, read: float | None) -> float | None:
    """Return a dataset's amount of work, in rows or bytes; None where it is not known."""
    if stage == "train_lm":
        steps, rows = _option(config, "steps"), _option(config, "batch_rows")
        return steps * rows if steps and rows else None
    if stage == "mix":
        return _option(config, "rows")
    return read or None


def _option(config: Any, name: str) -> float | None:
    """Return the numeric value of an option, at any depth of a config."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key == name and isinstance(value, int | float):
                return float(value)
            if (found := _option(value, name)) is not None:
                return found
    return None


def _leaves(config: Any, path: str = "") -> frozenset[tuple[str, str]]:
    if isinstance(config, dict):
        return frozenset().union(*(_leaves(value, f"{path}.{key}") for key, value in config.items()))
    if isinstance(config, list):
        return frozenset().union(*(_leaves(value, f"{path}.{index}") for index, value in enumerate(config)))
    return frozenset({(path, repr(config))})


def _data_bytes(manifest: Manifest) -> float:
    return float(sum(shard.bytes for shard in manifest.shards))


def _sum_of(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _hours(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.3g} hours"
