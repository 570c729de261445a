"""Builds one node of a graph: resolve the inputs, name the version, do the work if it is not done, judge it.

Put here: the order of those steps, the same for every stage. Do not put here: any stage's work, or Dagster: the
bridge (stage_asset.py) and a plain loop over a graph call the same function.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.meter import Meter, OnStanding
from spelangy_assets.execution.stage import (
    Execution,
    PreflightError,
    RemoteSource,
    StageContext,
    source_version,
    stage_name,
)
from spelangy_assets.execution.targets import Target
from spelangy_assets.quality.contracts import lost_to_a_service
from spelangy_assets.quality.evaluate import evaluate, evaluate_drift
from spelangy_assets.store.artifacts import (
    Address,
    Artifact,
    ArtifactStore,
    CommittedMeanwhile,
    Damaged,
    DatasetName,
    Identity,
    Mark,
    PublishedMeanwhile,
    Share,
    StoreError,
)
from spelangy_assets.store.fingerprint import (
    digest_of,
    is_ours,
    outside_modules,
)
from spelangy_assets.store.forgotten import Forgotten, forgotten_at, reading
from spelangy_assets.store.manifest import Input, Verdict
from spelangy_model.extras import cure


@dataclass(frozen=True)
class Built:
    """What a build gave. `cached`: a committed version with the same build key was there already; `shared_from`: it was
    first made for another dataset, of this recipe or of another one."""

    artifact: Artifact
    verdict: Verdict
    cached: bool
    shared_from: DatasetName | None = None


@dataclass(frozen=True)
class Resolved:
    """The inputs of a build at explicit versions, and the identity that follows from them."""

    identity: Identity
    inputs: dict[str, Artifact]
    forgotten: Forgotten
    reading: str = ""  # of a crawl dataset: see store/forgotten.py


def resolve(
    store: ArtifactStore,
    graph: Graph,
    node: Node,
    partition: str | None,
    source: object,
    standing: Mapping[Target, Artifact] | None = None,
) -> Resolved:
    """Resolve a node's inputs to versions that passed, once, and derive the build key.

    `standing` are versions that are taken for what is published there (see status.py). Raises StoreError when an input
    has no version that passed its contract, ValueError for a partition of a node that has none, or none of a node that
    is partitioned.
    """
    if (partition is None) != (node.partition is None):
        raise ValueError(f"{graph.recipe}/{node.name} is partitioned by {node.partition}, not at {partition!r}")

    def read(asset: str, at: str | None) -> Artifact:
        known = (standing or {}).get((asset, at))
        return known or store.resolve(DatasetName(graph.recipe, asset, at))

    inputs = {role: read(asset, partition if graph[asset].partition else None) for role, asset in node.inputs.items()}
    recorded = [artifact.as_input(role) for role, artifact in inputs.items()]
    recorded += [read(asset, member_partition).as_input("member") for asset, member_partition in node.members]
    name, version = stage_name(node.stage), node.stage.VERSION
    config = node.identity
    forgotten, read_as = Forgotten(), ""
    if source is not None:
        content = source_version(source)
        read_as = reading(name, version, partition, node.config_fingerprint, content)
        forgotten = forgotten_at(store, read_as)
        if forgotten.version:
            recorded.append(Input("forgotten", "", partition, "", forgotten.version))
        recorded.append(Input("source", "", partition, "", content))
    key = [
        name,
        version,
        config,
        [[item.role, item.partition, item.data_version] for item in recorded],
        # Readers find the children of a roll-up in it, so it names their present builds. A stage that reports the
        # manifests of its inputs reports what made them, so its key names those builds, too.
        [item.build_key for item in recorded if item.role == "member" or getattr(node.stage, "READS_MANIFESTS", False)],
    ]
    return Resolved(
        Identity(
            stage=name,
            stage_version=version,
            config_fingerprint=node.config_fingerprint,
            config=node.literals,
            inputs=recorded,
            build_key=f"v{version}-{digest_of(key)[:16]}",
            outside={**node.outside, **outside_modules(source)},
        ),
        inputs,
        forgotten,
        read_as,
    )


def _unbuilt(store: ArtifactStore, address: Address, build_key: str) -> str:
    """Return the first of KEY, KEY-r2, KEY-r3 ... that is not committed: where a forced build starts, or resumes."""
    attempts = itertools.chain([build_key], (f"{build_key}-r{attempt}" for attempt in itertools.count(2)))
    return next(attempt for attempt in attempts if store.find(address, attempt) is None)


def _without_attempt(build_key: str) -> str:
    return re.sub(r"-r\d+$", "", build_key)


def committed(store: ArtifactStore, name: DatasetName, stage: str, build_key: str) -> Artifact | None:
    """Return the attempt of a key that the recipe has published, so that a forced build is not undone; else
    the first, whichever process made it.

    None when the key was never committed. Whatever the verdict: the caller looks at it.
    """
    latest = store.latest(name)
    if latest is not None and (latest.manifest.stage, _without_attempt(latest.manifest.build_key)) == (
        stage,
        build_key,
    ):
        return latest
    return store.find(Address(stage, name.partition), build_key, name)


@dataclass(frozen=True)
class _Work:
    """One dataset that is asked for, and what it is built with."""

    store: ArtifactStore
    graph: Graph
    node: Node
    partition: str | None
    execution: Execution
    source: object
    log: Callable[[str], None]
    on_standing: OnStanding

    @property
    def name(self) -> DatasetName:
        return DatasetName(self.graph.recipe, self.node.name, self.partition)

    def resolve(self) -> Resolved:
        return resolve(self.store, self.graph, self.node, self.partition, self.source)

    def run(self, resolved: Resolved, identity: Identity, share: Share | None = None) -> None:
        """Do the units of a version that are not done, and commit it; of a share do its units alone."""
        meter = Meter(self.on_standing)
        writer = self.store.writer(self.name, identity, self.node.stage.TABLES, share, meter.units)
        with contextlib.closing(writer):
            self._run(resolved, writer, meter)
            if share is None:
                writer.commit()
            else:
                writer.wait()

    def count_units(self, resolved: Resolved) -> int:
        """Return the number of units: the stage is run up to where it asks for them."""
        counter = _UnitCounter()
        with contextlib.suppress(_Counted):
            self._run(resolved, counter, Meter(self.on_standing))
        return counter.units

    def _run(self, resolved: Resolved, out: Any, meter: Meter) -> None:
        context = StageContext(
            inputs=resolved.inputs,
            members={
                role: [self.store.open(item, self.graph.recipe) for item in artifact.manifest.inputs]
                for role, artifact in resolved.inputs.items()
                if self.graph[self.node.inputs[role]].members
            },
            out=out,
            execution=self.execution,
            partition=self.partition,
            source=self.source,
            log=self.log,
            progress=meter.part,
            forgotten=resolved.forgotten,
        )
        self.node.stage.run(context, self.node.config)


class _Counted(Exception):
    """The units were counted: nothing is to be done."""


class _UnitCounter:
    """Stands where a stage expects its writer, until the stage asks for its units."""

    units = 0

    def pending(self, items: Iterable[object]) -> NoReturn:
        self.units = sum(1 for _ in items)
        raise _Counted


def build_share(
    store: ArtifactStore,
    graph: Graph,
    node: Node,
    partition: str | None,
    execution: Execution,
    build_key: str,
    share: Share,
    source: object = None,
    log: Callable[[str], None] = lambda text: None,
    on_standing: OnStanding = lambda standing: None,
) -> None:
    """Do one process's share of the units of a version that another process commits.

    StoreError when this process resolves its inputs to another version than `build_key`: other code, or an input that
    was published since.
    """
    work = _Work(store, graph, node, partition, execution, source, log, on_standing)
    resolved = work.resolve()
    if _without_attempt(build_key) != resolved.identity.build_key:
        raise StoreError(
            f"{graph.recipe}/{node.name}: asked for a share of {build_key}, but here the inputs and the code make it "
            f"{resolved.identity.build_key}; give every node the same code, or start the run again"
        )
    identity = replace(resolved.identity, build_key=build_key)
    held = _held(identity, partition)
    with store.lease(f"{work.name}, share {share.index} of {share.count}", held):
        _look_again(store, held[1:])
        with contextlib.suppress(CommittedMeanwhile):
            work.run(resolved, identity, share)


def build(
    store: ArtifactStore,
    graph: Graph,
    node: Node,
    partition: str | None,
    execution: Execution,
    source: object = None,
    force: bool = False,
    log: Callable[[str], None] = lambda text: None,
    on_standing: OnStanding = lambda standing: None,
) -> Built:
    """Bring one dataset up to date and return it with its verdict.

    A committed version with the same build key is returned as it is (`cached`), and judged if it has no verdict of
    the present contract yet. `force` builds beside it again and publishes that, and so does a version that lost records
    to a service's bad hour, whose key does not say so. Where another process publishes another
    version meanwhile, the inputs are resolved again: what they are now decides, not which process is the last.
    `on_standing` is called with how far the work is, often. Raises StoreError, PreflightError or InputError.
    """
    work = _Work(store, graph, node, partition, execution, source, log, on_standing)
    while True:
        try:
            return _build(work, force)
        except ModuleNotFoundError as error:
            if not error.name or is_ours(error.name):
                raise
            raise PreflightError(f"{graph.recipe}/{node.name}: {cure(error.name)}") from error
        except (PublishedMeanwhile, _Vanished) as error:
            log(f"{error}: resolving the inputs again")


class _Vanished(Exception):
    """A version that this build reads, or the one that it is, was deleted or set aside since it looked."""


def _held(identity: Identity, partition: str | None) -> list[tuple[Address, str]]:
    """Return what a build writes and reads, as its lease names it."""
    read = [(Address(item.stage, item.partition), item.build_key) for item in identity.inputs if item.stage]
    return [(Address(identity.stage, partition), identity.build_key), *read]


def _look_again(store: ArtifactStore, held: list[tuple[Address, str]]) -> None:
    """Raise _Vanished when a version that is read was deleted between the resolving and the lease."""
    for address, build_key in held:
        if store.find(address, build_key) is None:
            raise _Vanished(f"{address} version {build_key} was deleted meanwhile")


def _build(work: _Work, force: bool) -> Built:
    store, node, name, log = work.store, work.node, work.name, work.log
    over = None if force else store.mark(name)
    if isinstance(work.source, RemoteSource):
        work.source.fetch(log, Meter(work.on_standing).units)
    resolved = work.resolve()
    identity = resolved.identity
    address = Address(identity.stage, work.partition)
    if force:
        identity = replace(identity, build_key=_unbuilt(store, address, identity.build_key))
    artifact = None if force else committed(store, name, identity.stage, identity.build_key)
    if artifact is not None and (missing := store.missing_files(artifact)):
        reason = f"{len(missing)} of its files are not there or not whole, {missing[0]} first"
        log(f"{name} version {identity.build_key} is set aside: {reason}; {store.set_aside(artifact, reason)}")
        artifact = None
    cached = artifact is not None
    if artifact is None:
        node.stage.preflight(node.config, work.execution)
    else:
        identity = replace(identity, build_key=artifact.manifest.build_key)
    held = _held(identity, work.partition)
    with store.lease(str(name), held):
        _look_again(store, held if cached else held[1:])
        for one in [*resolved.inputs.values(), *([artifact] if artifact else [])]:
            store.use(one)
        if artifact is None:
            artifact = _make(work, resolved, identity)
        verdict = _judge(store, name, artifact, node, over)
    if resolved.reading and forgotten_at(store, resolved.reading) != resolved.forgotten:
        raise _Vanished("a source was taken down meanwhile")  # what was published is removed at once
    if cached and lost_to_a_service(verdict):
        log(f"{name} version {identity.build_key} lost records to a service's bad hour: making it again")
        return _build(work, force=True)
    shared_from = artifact.made_for if artifact.made_for != name else None
    return Built(artifact, verdict, cached, shared_from)


def _judge(store: ArtifactStore, name: DatasetName, artifact: Artifact, node: Node, over: Mark | None) -> Verdict:
    """Return the verdict on a version as it stands in the recipe, and publish the version if that is a pass."""
    contract = node.contract_fingerprint
    latest, stands = store.latest(name), store.standing_verdict(name, artifact, contract)
    if stands is not None and stands.accepted and latest == artifact and store.is_judged_by(name, contract):
        return stands
    verdict = store.measured(artifact, contract) or evaluate(artifact, node.contract, node.stage.TABLES)
    drift = evaluate_drift(artifact, node.contract, node.stage.TABLES, store.before(name))
    return store.judge(name, artifact, verdict, drift, over)


def _make(work: _Work, resolved: Resolved, identity: Identity) -> Artifact:
    """Do the work of a version and commit it, or take what another process committed meanwhile."""
    store, name = work.store, work.name
    if work.execution.distribute is not None:
        units = functools.partial(work.count_units, resolved)
        work.execution.distribute(name.dataset, work.partition, identity.build_key, units)
    try:
        work.run(resolved, identity)  # after others it finds every unit done, or does what they left
    except CommittedMeanwhile as error:
        work.log(f"{error}: taking that")
    except Damaged as error:
        _set_aside(store, error)
        raise
    artifact = store.find(Address(identity.stage, work.partition), identity.build_key, name)
    if artifact is None:
        raise RuntimeError(f"{name} was committed but cannot be read back from {store.files.uri}")
    return artifact


def _set_aside(store: ArtifactStore, error: Damaged) -> None:
    """Set a version aside that a build could not read, so that the next run makes it again."""
    _, stage, folder, build_key = error.path.split("/")
    artifact = store.find(Address.of(stage, folder), build_key)
    if artifact is not None:
        store.set_aside(artifact, str(error))
