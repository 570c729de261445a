"""What Dagster's event log holds of a recipe's datasets, and how a dataset gets there without a step.

Put here: reading and writing events of datasets outside of a run. Do not put here: building (stage_asset.py), or runs
(workers.py). A dataset that another recipe made, or that the log does not know although it is published, needs no
process that computes: its events are written as its step would have written them.
"""

import hashlib

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.targets import Target, target_name
from spelangy_assets.orchestration.contract_check import check_results, check_specs
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.stage_asset import code_version, materialization_metadata


def record_present(
    instance: dg.DagsterInstance, installation: Installation, graph: Graph, target: Target
) -> tuple[Target, Built]:
    """Return a dataset that is there, and see to it that the log holds it; nothing is computed.

    Made for another recipe, it is published in this one.
    """
    name, partition = target
    node = graph[name]
    built = build(
        installation.store, graph, node, partition, installation.execution(), installation.source(node, partition)
    )
    known = recorded_version(instance, graph.recipe, target) == built.artifact.data_version
    if not known or _stands_failed(instance, asset_key(graph.recipe, name), node):
        record(instance, graph, node, partition, built)
    return target, built


def _stands_failed(instance: dg.DagsterInstance, key: dg.AssetKey, node: Node) -> bool:
    """Whether the log's last word on a blocking check is that it failed: it may have been overruled since."""
    checks = [dg.AssetCheckKey(key, spec.name) for spec in check_specs(key, node.contract) if spec.blocking]
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks).values()
    events = [one.event.dagster_event for one in latest if one is not None and one.event is not None]
    return any(_blocks(event.asset_check_evaluation_data) for event in events if event is not None)


def recorded_version(instance: dg.DagsterInstance, recipe: str, target: Target) -> str | None:
    """Return the data version of a dataset's latest materialization in the log; None where there is none."""
    record = _latest(instance, recipe, target)
    version = extract_data_version_from_entry(record.event_log_entry) if record else None
    return version.value if version else None


def record(instance: dg.DagsterInstance, graph: Graph, node: Node, partition: str | None, built: Built) -> None:
    """Write that a dataset is there and how its checks came out, as its step would: parents first.

    Dagster calls it up to date because the tags name each parent's data version and latest event.
    """
    key = asset_key(graph.recipe, node.name)
    tags = {
        DATA_VERSION_TAG: built.artifact.data_version,
        CODE_VERSION_TAG: code_version(node),
        **_provenance(instance, graph, node, partition),
    }
    metadata = materialization_metadata(built, node)
    instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata, tags=tags))
    blocking = {spec.name: spec.blocking for spec in check_specs(key, node.contract)}
    for result in check_results(key, node.contract, built.verdict):
        name = str(result.check_name)
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=name,
                passed=result.passed,
                metadata=dict(result.metadata),
                severity=result.severity,
                description=result.description,
                blocking=blocking[name],
            )
        )


def unfinished(instance: dg.DagsterInstance, recipe: str, targets: list[Target]) -> list[str]:
    """Return what of targets that runs made is not materialized, or has a blocking check that did not pass."""
    problems = []
    for target in targets:
        title = target_name(*target)
        latest = _latest(instance, recipe, target)
        if latest is None:
            problems.append(f"{title}: not materialized")
            continue
        checks = [
            entry.dagster_event.asset_check_evaluation_data
            for entry in instance.all_logs(latest.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
            if entry.dagster_event is not None
        ]
        mine = [check for check in checks if check.asset_key == asset_key(recipe, target[0]) and check.blocking]
        if not mine:
            problems.append(f"{title}: no blocking check was evaluated")
        problems.extend(f"{title}: blocking check {check.check_name} failed" for check in mine if _blocks(check))
    return problems


def _blocks(check: dg.AssetCheckEvaluation) -> bool:
    return not check.passed and check.severity == dg.AssetCheckSeverity.ERROR  # an overruled one is a warning


def _latest(instance: dg.DagsterInstance, recipe: str, target: Target) -> dg.EventLogRecord | None:
    name, partition = target
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key(recipe, name), asset_partitions=[partition] if partition else None), limit=1
    )
    return found.records[0] if found.records else None


def _provenance(instance: dg.DagsterInstance, graph: Graph, node: Node, partition: str | None) -> dict[str, str]:
    """Return the tags by which Dagster sees whether a parent changed since, as its DataVersionCache makes them.

    The version of a parent that is partitioned is the SHA-256 of the versions of its partitions, in their order.
    """
    tags: dict[str, str] = {}
    for parent in node.parents:
        key = asset_key(graph.recipe, parent)
        latest = _latest(instance, graph.recipe, (parent, None))
        if latest is None:
            continue
        if graph[parent].partition:
            own = [partition] if partition and graph[parent].partition == node.partition else None
            by_partition = instance.event_log_storage.get_latest_tags_by_partition(
                key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG], asset_partitions=own
            )
            versions = "".join(found[DATA_VERSION_TAG] for _, found in sorted(by_partition.items()))
            version = hashlib.sha256(versions.encode()).hexdigest()
        else:
            entry = extract_data_version_from_entry(latest.event_log_entry)
            version = entry.value if entry else ""
        tags[get_input_data_version_tag(key)] = version
        tags[get_input_event_pointer_tag(key)] = str(latest.storage_id)
    return tags
