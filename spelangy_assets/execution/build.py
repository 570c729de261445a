"""Builds one node of a graph: resolve the inputs, name the version, do the work if it is not done, judge it.

Put here: the order of those steps, the same for every stage. Do not put here: any stage's work, or Dagster: the
bridge (stage_asset.py) and a plain loop over a graph call the same function.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, StageContext, source_version
from spelangy_assets.quality.evaluate import evaluate
from spelangy_assets.store.artifacts import (
    Address,
    Artifact,
    ArtifactStore,
    ArtifactWriter,
    CommittedMeanwhile,
    Identity,
    PublishedMeanwhile,
    Share,
    StoreError,
)
from spelangy_assets.store.fingerprint import digest_of, fingerprint, payload_of
from spelangy_assets.store.forgotten import Forgotten, forgotten_at
from spelangy_assets.store.manifest import Input, Verdict


@dataclass(frozen=True)
class Built:
    """What a build gave. `cached`: a committed version with the same build key was there already."""

    artifact: Artifact
    verdict: Verdict
    cached: bool


@dataclass(frozen=True)
class Resolved:
    """The inputs of a build at explicit versions, and the identity that follows from them."""

    identity: Identity
    inputs: dict[str, Artifact]
    forgotten: Forgotten


def resolve(store: ArtifactStore, graph: Graph, node: Node, partition: str | None, source: object) -> Resolved:
    """Resolve a node's inputs to versions that passed, once, and derive the build key.

    Raises StoreError when an input has no version that passed its contract, ValueError for a partition of a node that
    has none, or none of a node that is partitioned.
    """
    if (partition is None) != (node.partition is None):
        raise ValueError(f"{graph.recipe}/{node.name} is partitioned by {node.partition}, not at {partition!r}")
    inputs = {
        role: store.resolve(Address(graph.recipe, asset, partition if graph[asset].partition else None))
        for role, asset in node.inputs.items()
    }
    recorded = [artifact.as_input(role) for role, artifact in inputs.items()]
    for asset, member_partition in node.members:
        recorded.append(store.resolve(Address(graph.recipe, asset, member_partition)).as_input("member"))
    forgotten = Forgotten()
    if source is not None:
        forgotten = forgotten_at(store, Address(graph.recipe, node.name, partition))
        if forgotten.version:
            recorded.append(Input("forgotten", "", "", partition, "", forgotten.version))
        recorded.append(Input("source", "", "", partition, "", source_version(source)))
    stage = node.stage
    stage_name = stage.__name__.rsplit(".", 1)[-1]
    config = payload_of(node.config, f"{graph.recipe}/{node.name}")
    key = [
        stage_name,
        stage.VERSION,
        config,
        [[item.role, item.asset, item.partition, item.data_version] for item in recorded],
        # A roll-up is where its readers find the children, so it names the builds that are there now.
        [item.build_key for item in recorded if item.role == "member"],
    ]
    return Resolved(
        Identity(
            stage=stage_name,
            stage_version=stage.VERSION,
            config_fingerprint=digest_of(config),
            config=config,
            inputs=recorded,
            build_key=f"v{stage.VERSION}-{digest_of(key)[:16]}",
        ),
        inputs,
        forgotten,
    )


def _unbuilt(store: ArtifactStore, address: Address, build_key: str) -> str:
    """Return the first of KEY, KEY-r2, KEY-r3 ... that is not committed: where a forced build goes, or goes on."""
    attempts = itertools.chain([build_key], (f"{build_key}-r{attempt}" for attempt in itertools.count(2)))
    return next(attempt for attempt in attempts if store.find(address, attempt) is None)


def _without_attempt(build_key: str) -> str:
    return re.sub(r"-r\d+$", "", build_key)


def committed(store: ArtifactStore, address: Address, build_key: str) -> Artifact | None:
    """Return the published one of a key's attempts, so that nothing goes back behind a forced build; else the first.

    None when the key was never committed. Whatever the verdict: the caller looks at it.
    """
    latest = store.latest(address)
    if latest is not None and _without_attempt(latest.manifest.build_key) == build_key:
        return latest
    return store.find(address, build_key)


def _context(
    store: ArtifactStore,
    graph: Graph,
    node: Node,
    partition: str | None,
    resolved: Resolved,
    writer: ArtifactWriter,
    execution: Execution,
    source: object,
    log: Callable[[str], None],
) -> StageContext:
    return StageContext(
        inputs=resolved.inputs,
        members={
            role: [store.open(item) for item in artifact.manifest.inputs]
            for role, artifact in resolved.inputs.items()
            if graph[node.inputs[role]].members
        },
        out=writer,
        execution=execution,
        partition=partition,
        source=source,
        log=log,
        forgotten=resolved.forgotten,
    )


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
) -> None:
    """Do one process's share of the units of a version that another process commits.

    StoreError when this process resolves its inputs to another version than `build_key`: other code, or an input that
    was published since.
    """
    resolved = resolve(store, graph, node, partition, source)
    if _without_attempt(build_key) != resolved.identity.build_key:
        raise StoreError(
            f"{graph.recipe}/{node.name}: asked for a share of {build_key}, but here the inputs and the code make it "
            f"{resolved.identity.build_key}; give every node the same code, or start the run again"
        )
    identity = replace(resolved.identity, build_key=build_key)
    address = Address(graph.recipe, node.name, partition)
    held = _held(address, identity)
    with store.lease(f"{address}, share {share.index} of {share.count}", held), contextlib.suppress(CommittedMeanwhile):
        _look_again(store, held[1:])
        writer = store.writer(address, identity, node.stage.TABLES, share)
        node.stage.run(_context(store, graph, node, partition, resolved, writer, execution, source, log), node.config)


def build(
    store: ArtifactStore,
    graph: Graph,
    node: Node,
    partition: str | None,
    execution: Execution,
    source: object = None,
    force: bool = False,
    log: Callable[[str], None] = lambda text: None,
) -> Built:
    """Bring one dataset up to date and return it with its verdict.

    A committed version with the same build key is returned as it is (`cached`), and judged if it has no verdict of
    the present contract yet. `force` builds beside it again and publishes that. Where another process publishes another
    version meanwhile, the inputs are resolved again: what they are now decides, not which process is the last. Raises
    StoreError, PreflightError or InputError.
    """
    while True:
        try:
            return _build(store, graph, node, partition, execution, source, force, log)
        except (PublishedMeanwhile, _Vanished) as error:
            log(f"{error}: resolving the inputs again")


class _Vanished(Exception):
    """A version that this build reads, or the one that it is, was deleted or set aside since it looked."""


def _held(address: Address, identity: Identity) -> list[tuple[Address, str]]:
    """Return what a build writes and reads, as its lease names it."""
    read = [
        (Address(item.recipe, item.asset, item.partition), item.build_key) for item in identity.inputs if item.asset
    ]
    return [(address, identity.build_key), *read]


def _look_again(store: ArtifactStore, held: list[tuple[Address, str]]) -> None:
    """Raise _Vanished when a version that is read was deleted between the resolving and the lease."""
    for address, build_key in held:
        if store.find(address, build_key) is None:
            raise _Vanished(f"{address} version {build_key} was deleted meanwhile")


def _build(
    store: ArtifactStore,
    graph: Graph,
    node: Node,
    partition: str | None,
    execution: Execution,
    source: object,
    force: bool,
    log: Callable[[str], None],
) -> Built:
    address = Address(graph.recipe, node.name, partition)
    over = None if force else store.mark(address)
    resolved = resolve(store, graph, node, partition, source)
    identity = resolved.identity
    if force:
        identity = replace(identity, build_key=_unbuilt(store, address, identity.build_key))
    artifact = None if force else committed(store, address, identity.build_key)
    if artifact is not None and (gone := store.missing_files(artifact)):
        reason = f"{len(gone)} of its files are not there or not whole, {gone[0]} first"
        log(f"{address} version {identity.build_key} is set aside: {reason}; {store.set_aside(artifact, reason)}")
        artifact = None
    cached = artifact is not None
    if artifact is None:
        node.stage.preflight(node.config, execution)
    held = _held(address, identity if artifact is None else replace(identity, build_key=artifact.manifest.build_key))
    with store.lease(str(address), held):
        _look_again(store, held if cached else held[1:])
        if artifact is None:
            artifact = _make(store, graph, node, partition, resolved, identity, execution, source, log)
        verdict = store.verdict(artifact)
        if verdict is None or verdict.contract_fingerprint != fingerprint(node.contract):
            verdict = evaluate(artifact, node.contract, node.stage.TABLES, store.before(address))
            verdict = store.judge(artifact, verdict, over)
        elif verdict.accepted:
            store.publish(artifact, over)
    return Built(artifact, verdict, cached)


def _make(
    store: ArtifactStore,
    graph: Graph,
    node: Node,
    partition: str | None,
    resolved: Resolved,
    identity: Identity,
    execution: Execution,
    source: object,
    log: Callable[[str], None],
) -> Artifact:
    """Do the work of a version and commit it, or take what another process committed meanwhile."""
    address = Address(graph.recipe, node.name, partition)
    if execution.spread is not None and getattr(node.stage, "INDEPENDENT_UNITS", False):
        execution.spread(node.name, partition, identity.build_key)
    # After others this finds every unit done, or does what they left.
    writer = store.writer(address, identity, node.stage.TABLES)
    context = _context(store, graph, node, partition, resolved, writer, execution, source, log)
    try:
        node.stage.run(context, node.config)
        writer.commit()
    except CommittedMeanwhile as error:
        log(f"{error}: taking that")
    artifact = store.find(address, identity.build_key)
    if artifact is None:
        raise RuntimeError(f"{address} was committed but cannot be read back from {store.files.uri}")
    return artifact
