"""Lineage as SQL: DuckDB over the manifests, over the crawl's tables of recordings and pages, and over training rows.

Put here: the tables that a person queries. Do not put here: the queries (lineage_queries.py), or what is out of date
(execution/status.py). docs/lineage.md shows the tables, and the queries to copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from spelangy_assets.store.artifacts import Address, ArtifactStore, StoreError
from spelangy_model.records import PackedRow, Page, Recording, schema_of

_ARTIFACTS = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "recipe", "asset", "partition", "build_key", "data_version", "stage")),
        ("stage_version", pa.string()),
        ("created_at", pa.string()),
        ("git_commit", pa.string()),
        ("seconds", pa.float64()),
        ("cpu_seconds", pa.float64()),
        ("records_in", pa.int64()),
        ("records_kept", pa.int64()),
        ("bytes", pa.int64()),
        ("published", pa.bool_()),
        ("passed", pa.bool_()),
        ("overruled", pa.string()),
    ]
)
_EDGES = pa.schema(
    [("child", pa.string()), ("role", pa.string()), ("parent", pa.string()), ("data_version", pa.string())]
)
_DROPS = pa.schema([("id", pa.string()), ("reason", pa.string()), ("records", pa.int64())])
_STATS = pa.schema([("id", pa.string()), ("stat", pa.string()), ("amount", pa.float64())])

_CHECKPOINTS = pa.schema([(name, pa.string()) for name in ("artifact", "holds", "name", "sha256", "licence", "url")])
_ADOPTED = "adopt_checkpoint"  # the stage whose config tells them

# Table of a shard -> its record type, and the record's columns that the lineage's table of the same position takes.
_CRAWL: Mapping[str, tuple[str, type, Mapping[str, str]]] = {
    "recordings": ("recording", Recording, {"content_hash": "recording_id", "url": "source_url"}),
    "pages": ("page", Page, {"content_hash": "page_id", "url": "url"}),
}
_SHARED = ("licence", "source_uri")
_OF_PAGES = ("licence_stated_by", "robots")  # empty for recordings
_ROWS = ("row", "kind", "spans")


def artifact_id(recipe: str, asset: str, partition: str | None, build_key: str) -> str:
    return f"{Address(recipe, asset, partition)}@{build_key}"


def connect(store: ArtifactStore, recipe: str | None = None) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB with the store's lineage.

    Tables: artifacts (one row a committed version), edges (child, role, parent), drops (id, reason, records),
    stats (id, stat, amount), crawl (kind, content_hash, url, licence, source_uri, licence_stated_by, robots, artifact),
    packed_rows (the mixes' rows: artifact, "row", kind, spans), checkpoints (made elsewhere: artifact, holds, name,
    sha256, licence, url).
    """
    artifacts, edges, drops, stats, checkpoints = [], [], [], [], []
    shards: dict[str, dict[str, str]] = {"recordings": {}, "pages": {}, "rows": {}}  # table -> path -> artifact
    for manifest, verdict, published in store.manifests(recipe):
        name = artifact_id(manifest.recipe, manifest.asset, manifest.partition, manifest.build_key)
        overrule = verdict.overruled if verdict is not None else None
        artifacts.append(
            {
                **{field: getattr(manifest, field) for field in _ARTIFACTS.names if hasattr(manifest, field)},
                "id": name,
                "git_commit": manifest.provenance.get("git_commit", ""),
                "records_in": manifest.counts.records_in,
                "records_kept": manifest.counts.records_kept,
                "bytes": sum(shard.bytes for shard in manifest.shards),
                "published": published,
                "passed": verdict is not None and verdict.passed,
                "overruled": f"{overrule.by}: {overrule.reason}" if overrule is not None else "",
            }
        )
        if manifest.stage == _ADOPTED:
            told: Any = manifest.config
            checkpoints.append({"artifact": name, "holds": told["holds"], **told["checkpoint"]})
        for item in manifest.inputs:
            parent = artifact_id(item.recipe, item.asset, item.partition, item.build_key) if item.asset else ""
            edges.append({"child": name, "role": item.role, "parent": parent, "data_version": item.data_version})
        drops += [{"id": name, "reason": reason, "records": n} for reason, n in manifest.counts.dropped.items()]
        stats += [{"id": name, "stat": stat, "amount": amount} for stat, amount in manifest.counts.stats.items()]
        folder = f"{Address(manifest.recipe, manifest.asset, manifest.partition).path}/{manifest.build_key}"
        for shard in manifest.shards:
            if shard.table in shards and shard.rows:
                shards[shard.table][store.files.full(f"{folder}/{shard.path}")] = name
    connection = duckdb.connect()
    for table, rows, schema in (
        ("artifacts", artifacts, _ARTIFACTS),
        ("edges", edges, _EDGES),
        ("drops", drops, _DROPS),
        ("stats", stats, _STATS),
        ("checkpoints", checkpoints, _CHECKPOINTS),
    ):
        _create(connection, table, pa.Table.from_pylist(rows, schema=schema))
    crawl = []
    for table, (kind, record, columns) in _CRAWL.items():
        own = _OF_PAGES if record is Page else ()
        found = _scan(store, record, {**columns, **{name: name for name in (*_SHARED, *own)}}, shards[table])
        for name, value in (("kind", kind), *((name, "") for name in _OF_PAGES if name not in own)):
            found = found.append_column(name, pa.array([value] * len(found), pa.string()))
        crawl.append(found.select(["kind", *columns, *_SHARED, *_OF_PAGES, "artifact"]))
    _create(connection, "crawl", pa.concat_tables(crawl, promote_options="default"))
    rows = _scan(store, PackedRow, {name: name for name in _ROWS}, shards["rows"])
    _create(connection, "packed_rows", rows.select(["artifact", *_ROWS]))
    return connection


def _create(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    connection.register("incoming", rows)
    connection.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")
    connection.unregister("incoming")


def _scan(store: ArtifactStore, record: type, columns: Mapping[str, str], shards: Mapping[str, str]) -> pa.Table:
    """Read some columns of all shards at once, each row with the artifact that it is of; other columns stay unread."""
    schema = schema_of(record)
    if shards:
        dataset = pads.dataset(list(shards), schema=schema, format="parquet", filesystem=store.files.filesystem)
        found = dataset.to_table(columns=[*columns.values(), "__filename"])
    else:
        found = schema.empty_table().select(list(columns.values())).append_column("", pa.array([], pa.string()))
    artifacts = pa.array([shards[path] for path in found.column(len(columns)).to_pylist()], pa.string())
    return found.select(list(columns.values())).rename_columns(list(columns)).append_column("artifact", artifacts)


def query(connection: duckdb.DuckDBPyConnection, sql: str, **parameters: str) -> list[dict[str, Any]]:
    """Return the rows of a query as dicts."""
    result = connection.execute(sql, parameters or None)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def published_id(store: ArtifactStore, address: Address) -> str:
    """Return the lineage id of the published version; StoreError when there is none."""
    artifact = store.latest(address)
    if artifact is None:
        raise StoreError(f"{address} has no published version; materialize it first")
    return artifact_id(address.recipe, address.asset, address.partition, artifact.manifest.build_key)
