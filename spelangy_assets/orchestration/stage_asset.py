"""The one bridge Stage -> asset: a node of a graph becomes an asset with versions, checks, metadata and lineage.

Put here: how Dagster starts a build and how the build reports to Dagster. Do not put here: anything specific to one
dataset; what differs between assets is in their nodes. No postponed annotations here: Dagster reads the context's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.columns import column_lineage
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.meter import now_and_then
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.stage import InputError, PreflightError
from spelangy_assets.orchestration.contract_check import check_results, check_specs
from spelangy_assets.orchestration.installation import Installation, Launch, LaunchError, child_command, write_spec
from spelangy_assets.orchestration.keys import asset_key, group_name, partitions_def
from spelangy_assets.orchestration.policies import RETRIES, automation_of, is_transient
from spelangy_assets.orchestration.ray_cluster import ray_distribute
from spelangy_assets.orchestration.slurm_cluster import cluster_of
from spelangy_assets.orchestration.slurm_work import SlurmWork
from spelangy_assets.orchestration.tables import table
from spelangy_assets.report.markdown import markdown_table, without_pictures
from spelangy_assets.store.artifacts import Artifact, StoreError
from spelangy_assets.store.fingerprint import fingerprint
from spelangy_model.progress import Standing
from spelangy_model.records import schema_of

FORCE_TAG = "force"
_FINAL = (StoreError, PreflightError, InputError)  # their texts are written for a person, whatever caused them
_LOG_EVERY_S = 30.0
_SHOW_EVERY_S = 0.5
_PREVIEW_ROWS = 5
_PREVIEW_CHARACTERS = 120


def stage_asset(recipe: Recipe, graph: Graph, node: Node) -> dg.AssetsDefinition:
    """Return the asset of a node. The run tag `force` (any value but false) builds a committed version again."""
    key = asset_key(graph.recipe, node.name)
    columns = dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key(graph.recipe, asset), name) for asset, name in sources]
            for column, sources in column_lineage(graph, node).items()
        }
    )

    @dg.asset(
        key=key,
        deps=[asset_key(graph.recipe, parent) for parent in node.parents],
        group_name=group_name(graph.recipe, node),
        description=node.description,
        partitions_def=partitions_def(graph.recipe, node),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1) if node.partition else None,
        code_version=code_version(node),
        check_specs=check_specs(key, node.contract),
        owners=["team:model" if node.group in ("runs", "evals", "tokenizers") else "team:data"],
        kinds=set(node.kinds),
        tags={"recipe": graph.recipe, "stage": node.stage.__name__.rsplit(".", 1)[-1], "cost": node.cost},
        metadata=_definition_metadata(node, columns),
        pool=node.pool,
        retry_policy=RETRIES,
        automation_condition=automation_of(node),
    )
    def materialize(
        context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
    ) -> dg.MaterializeResult:
        partition = context.partition_key if node.partition else None
        reports: dict[str, Any] = {}

        cluster = cluster_of(installation.settings)
        slurm = cluster and SlurmWork(cluster, installation, recipe, node, context.log.info)
        distribute = slurm.distribute if slurm else ray_distribute(installation.settings, recipe, node)

        def launch(module: str, spec: Mapping[str, Any], folder: Path) -> float:
            cpu_seconds = 0.0
            if slurm:
                messages = slurm.launch(context, module, spec, folder)
            elif installation.fork and not installation.settings.accelerate_config:
                messages, cpu_seconds = _launch_forked(context, installation, module, spec, folder)
            else:
                command = child_command(installation.settings, module, write_spec(spec, folder))
                client = dg.PipesSubprocessClient(env=installation.child_environment())
                messages = client.run(command=command, context=context).get_custom_messages()
            for message in messages:
                reports.update(message)
            return cpu_seconds

        log = now_and_then(_LOG_EVERY_S, lambda standing: context.log.info(standing.line))
        show = now_and_then(_SHOW_EVERY_S, lambda standing: installation.show(node.name, partition, standing), True)

        def on_standing(standing: Standing) -> None:
            if standing.share < 1:
                log(standing)
            show(standing)

        try:
            built = build(
                installation.store,
                graph,
                node,
                partition,
                installation.execution(launch, distribute),
                source=installation.source(node, partition),
                force=context.run.tags.get(FORCE_TAG, "false") != "false",
                log=context.log.info,
                on_standing=on_standing,
            )
        except Exception as error:
            if is_transient(error) and not isinstance(error, _FINAL):
                raise
            # A retry would give the same error: a person must first add what is missing or repair what is broken.
            raise dg.Failure(description=f"{type(error).__name__}: {error}", allow_retries=False) from error
        installation.report(node.name, partition, built)
        return dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(built.artifact.data_version),
            metadata={
                **materialization_metadata(built, node),
                **({"dagster/column_lineage": columns} if columns.deps_by_column else {}),
                **{f"child/{k}": v for k, v in reports.items()},
            },
            check_results=list(check_results(key, node.contract, built.verdict)),
        )

    return materialize


def _launch_forked(
    context: dg.AssetExecutionContext, installation: Installation, module: str, spec: Mapping[str, Any], folder: Path
) -> tuple[Sequence[Any], float]:
    """Return what a forked process reports through Pipes, and its CPU seconds, which are not those of a child."""
    assert installation.fork is not None
    asked = Launch(module, write_spec(spec, folder), installation.child_environment())
    injector, reader = dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader()
    with dg.open_pipes_session(context, injector, reader) as pipes:
        ended = installation.fork(replace(asked, environment={**asked.environment, **pipes.get_bootstrap_env_vars()}))
        if ended.exit_status != 0:
            why = "its message is above" if ended.exit_status > 0 else "killed, as systems do when memory runs out"
            raise LaunchError(f"{module} ended with exit status {ended.exit_status}: {why}")
    return pipes.get_custom_messages(), ended.cpu_seconds


def code_version(node: Node) -> str:
    """Return what Dagster compares to see that the code or the config of an asset changed."""
    return f"{node.stage.VERSION}+{fingerprint(node.config)[:8]}"


def _definition_metadata(node: Node, columns: dg.TableColumnLineage) -> dict[str, Any]:
    metadata: dict[str, Any] = {"config": dg.MetadataValue.json(node.literals)}
    if columns.deps_by_column:  # a plain table too: Dagster's own page draws lineage of columns only in its hosted form
        metadata["columns_from"] = table(
            [
                {"column": column, "from": ", ".join(f"{d.asset_key.path[-1]}.{d.column_name}" for d in sources)}
                for column, sources in columns.deps_by_column.items()
            ],
            {"column": "string", "from": "string"},
        )
    main = next(iter(node.stage.TABLES.values()), None)
    if main is not None:
        metadata["dagster/column_schema"] = _table_schema(main)
    return metadata


def _table_schema(record: type) -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(
                field.name,
                type=_short_type(field.type),
                description=(field.metadata or {}).get(b"description", b"").decode() or None,
                constraints=dg.TableColumnConstraints(nullable=False),
            )
            for field in schema_of(record)
        ]
    )


def _short_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list<{_short_type(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return "struct<" + ", ".join(field.name for field in kind) + ">"
    return str(kind)


def materialization_metadata(built: Built, node: Node) -> dict[str, Any]:
    """Return the metadata of a materialization: counts, drops, sums, versions, a preview of the first rows."""
    manifest = built.artifact.manifest
    counts = manifest.counts
    rows = {name: manifest.rows(name) for name in node.stage.TABLES}
    metadata: dict[str, Any] = {
        "cached": built.cached,
        "dagster/uri": built.artifact.uri,
        "build_key": manifest.build_key,
        "records_in": counts.records_in,
        "records_kept": counts.records_kept,
        "records_dropped": sum(counts.dropped.values()),
        "seconds": manifest.seconds,
        "cpu_seconds": manifest.cpu_seconds,
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "dropped": table(
            [{"reason": reason, "records": count} for reason, count in sorted(counts.dropped.items())],
            {"reason": "string", "records": "int"},
        ),
        "inputs": dg.MetadataValue.json(
            [f"{item.name or item.role}[{item.partition or ''}]@{item.data_version}" for item in manifest.inputs]
        ),
        **{f"sum/{stat}": round(amount, 6) for stat, amount in sorted(counts.stats.items())},
        **{f"rows/{name}": count for name, count in rows.items()},
    }
    if rows:
        main, count = next(iter(rows.items()))
        metadata["dagster/partition_row_count" if node.partition else "dagster/row_count"] = count
        metadata["preview"] = dg.MetadataValue.md(preview_markdown(built.artifact, main))
    for file in [*manifest.shards, *manifest.attachments]:
        name = Path(file.path)
        if name.suffix == ".md":
            metadata[name.stem] = dg.MetadataValue.md(without_pictures(built.artifact.read_file(file.path).decode()))
        elif name.suffix == ".html":
            metadata[f"{name.stem}_page"] = dg.MetadataValue.path(f"{built.artifact.uri}/{file.path}")
    return metadata


def preview_markdown(artifact: Artifact, name: str) -> str:
    """Return the first rows of the table `name` as Markdown, without the bytes of audio."""
    shard = next((shard for shard in artifact.shards(name) if shard.rows), None)
    if shard is None:
        return "no rows"
    rows = shard.table().slice(0, _PREVIEW_ROWS)
    names = [name for name in rows.column_names if name != "audio"]
    return markdown_table(names, ([_short(row[name]) for name in names] for row in rows.select(names).to_pylist()))


def _short(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if len(text) <= _PREVIEW_CHARACTERS else text[:_PREVIEW_CHARACTERS] + "..."
