"""Which datasets are out of date, and why, determined from the manifests of the whole graph.

Put here: the comparison of the published versions with what the recipe asks for now. Do not put here: repairs
(schedules request runs) or Dagster, which stops reporting staleness at 100 partitions and looks only one level up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from spelangy_assets.execution.build import Resolved, committed, resolve
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import InputError
from spelangy_assets.execution.targets import Partitions, Target, parents_of, target_name, wanted_targets
from spelangy_assets.quality.contracts import lost_to_a_service
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, Identity, StoreError
from spelangy_assets.store.at_once import StoreAtOnce
from spelangy_assets.store.manifest import Input, Manifest

State = Literal["fresh", "shared", "missing", "stale", "failed", "waiting"]
Cause = Literal["missing", "code", "config", "inputs", "contract", "quality"]
_ROOTS_NAMED = 3


@dataclass(frozen=True)
class Status:
    """The state of one dataset of one partition.

    shared: the wanted version was made for another dataset and passed. Publishing it costs nothing, and its
    descendants are judged as if it were published.
    missing: not published.
    stale: published, but not the version that the recipe asks for now, not judged by the current contract, or without
    the records that were lost while a service was down.
    failed: built as asked, but its contract failed.
    waiting: undecided until an input is up to date.
    fresh: up to date.

    `why` states the reasons, and `causes` gives their kinds: it was never built; the code, the config, an input or the
    contract changed; or the quality failed. For a waiting dataset these are the causes of its `roots`, the first
    targets above it that are not up to date.
    """

    asset: str
    partition: str | None
    state: State
    why: str
    build_key: str = ""
    causes: tuple[Cause, ...] = ()
    roots: tuple[Target, ...] = ()
    shared_from: DatasetName | None = None

    @property
    def target(self) -> str:
        return target_name(self.asset, self.partition)

    @property
    def repairable(self) -> bool:
        """Whether a run now would help; a failed contract fails again until something above it changes."""
        return self.state in ("missing", "stale", "shared")


def status_of(
    store: ArtifactStore,
    graph: Graph,
    partitions: Partitions,
    source_of: Callable[[Node, str | None], object],
) -> list[Status]:
    """Return the state of every dataset that the graph asks for, parents first."""
    store = StoreAtOnce(store)
    found: dict[Target, Status] = {}
    shared: dict[Target, Artifact] = {}
    for name, partition in wanted_targets(graph, partitions):
        found[name, partition] = _status(store, graph, graph[name], partition, source_of, found, shared)
    return list(found.values())


def _status(
    store: ArtifactStore,
    graph: Graph,
    node: Node,
    partition: str | None,
    source_of: Callable[[Node, str | None], object],
    above: Mapping[Target, Status],
    shared: dict[Target, Artifact],
) -> Status:
    blocked = [
        above[parent]
        for parent in parents_of(graph, node, partition)
        if parent in above and above[parent].state not in ("fresh", "shared")
    ]
    if blocked:
        return _waiting(node, partition, blocked, above)
    try:
        wanted = resolve(store, graph, node, partition, source_of(node, partition), shared)
    except (StoreError, InputError) as error:
        return Status(node.name, partition, "waiting", str(error), causes=("missing",))
    name, build_key = DatasetName(graph.recipe, node.name, partition), wanted.identity.build_key
    built = committed(store, name, wanted.identity.stage, build_key)
    state, why, causes = _compared(store, name, node, wanted, built)
    if state != "shared" or built is None:
        return Status(node.name, partition, state, why, build_key, causes)
    shared[node.name, partition] = built
    return Status(node.name, partition, state, why, build_key, causes, shared_from=built.made_for)


def count_states(statuses: list[Status]) -> dict[str, int]:
    """Return the number of targets in each state, and of those out of date by cause; empty states are left out."""
    counts: dict[str, int] = {}
    for status in statuses:
        for words in (status.state, *(f"{status.state} by {cause}" for cause in status.causes)):
            counts[words] = counts.get(words, 0) + 1
    return dict(sorted(counts.items()))


def _waiting(node: Node, partition: str | None, blocked: list[Status], above: Mapping[Target, Status]) -> Status:
    roots = dict.fromkeys(root for one in blocked for root in one.roots or ((one.asset, one.partition),))
    causes: dict[Cause, None] = dict.fromkeys(cause for root in roots for cause in above[root].causes)
    named = ", ".join(above[root].target for root in list(roots)[:_ROOTS_NAMED])
    why = f"waits for {named}" + (f" and {len(roots) - _ROOTS_NAMED} more" if len(roots) > _ROOTS_NAMED else "")
    return Status(node.name, partition, "waiting", why, causes=tuple(causes), roots=tuple(roots))


def _compared(
    store: ArtifactStore, name: DatasetName, node: Node, wanted: Resolved, built: Artifact | None
) -> tuple[State, str, tuple[Cause, ...]]:
    latest = store.latest(name)
    if built is None:
        if latest is not None:
            return _stale(latest.manifest, wanted)
        return "missing", _why_missing(store, name, wanted.identity), ("missing",)
    if missing := store.missing_files(built):
        why = f"built, but {len(missing)} of its files are not there or not whole, {missing[0]} first"
        return "missing", why, ("missing",)
    verdict = store.standing_verdict(name, built, node.contract_fingerprint)
    if verdict is None:
        return "stale", "built, but not judged by its contract of now", ("contract",)
    if not verdict.accepted:
        failures = "; ".join(f"{item.name}: {item.error or item.observed}" for item in verdict.failures())
        if lost_to_a_service(verdict):
            return "stale", f"records were lost to a service's bad hour, a run makes it again: {failures}", ("quality",)
        return "failed", f"contract failed: {failures}", ("quality",)
    if latest is None:
        if built.made_for != name:
            return "shared", f"made for {built.made_for}; to publish it costs nothing", ("missing",)
        return "missing", "built and passed, but never published", ("missing",)
    if (latest.address, latest.manifest.build_key) != (built.address, built.manifest.build_key):
        return _stale(latest.manifest, wanted)
    if not store.is_judged_by(name, node.contract_fingerprint):
        return "stale", "built, but not judged by its contract of now", ("contract",)
    changed = sorted(
        module
        for module, digest in built.manifest.outside.items()
        if wanted.identity.outside.get(module, digest) != digest
    )
    return "fresh", f"made by another text of {', '.join(changed)}, of equal version" if changed else "", ()


def _why_missing(store: ArtifactStore, name: DatasetName, identity: Identity) -> str:
    record = store.standing(name)
    if record.withdrawn:
        return f"withdrawn: {record.withdrawn}"
    reason = store.why_set_aside(Address(identity.stage, name.partition), identity.build_key)
    return f"set aside: {reason}" if reason else "never built"


def _stale(manifest: Manifest, wanted: Resolved) -> tuple[State, str, tuple[Cause, ...]]:
    changes = difference(manifest, wanted)
    return "stale", "; ".join(changes.values()), tuple(changes)


def difference(manifest: Manifest, wanted: Resolved) -> dict[Cause, str]:
    """Return what changed between a published version and the wanted one: stage, config fields, inputs."""
    identity = wanted.identity
    reasons: dict[Cause, str] = {}
    if (manifest.stage, manifest.stage_version) != (identity.stage, identity.stage_version):
        now = f"{identity.stage} v{identity.stage_version}"
        reasons["code"] = f"code {manifest.stage} v{manifest.stage_version} -> {now}"
    if manifest.config_fingerprint != identity.config_fingerprint:
        old, new = manifest.config, identity.config
        fields = sorted(str(name) for name in {**old, **new} if old.get(name) != new.get(name))
        reasons["config"] = f"config: {', '.join(fields)}"
    before, after = _versions(manifest.inputs), _versions(identity.inputs)
    changed = {
        target_name(name or role, partition)
        for role, name, partition in before.keys() | after.keys()
        if before.get((role, name, partition)) != after.get((role, name, partition))
    }
    if changed:
        reasons["inputs"] = f"inputs: {', '.join(sorted(changed))}"
    if not reasons:
        # Equal bytes in another build matter to a roll-up only, since it names the builds of its members.
        builds = {item.build_key for item in manifest.inputs}
        again = sorted(
            target_name(item.name, item.partition) for item in identity.inputs if item.build_key not in builds
        )
        reasons["inputs"] = f"a child was built again: {', '.join(again)}" if again else "inputs in another order"
    return reasons


def _versions(inputs: list[Input]) -> dict[tuple[str, str, str | None], str]:
    return {(item.role, item.name, item.partition): item.data_version for item in inputs}
