"""Lineage as SQL: DuckDB over the manifests, and over the crawl's own tables of recordings and pages.

Put here: the tables that a person queries, and the one query that walks from any dataset back to its sources. Do not
put here: what is out of date (stages/status.py). docs/lineage.md shows the tables and queries to copy.
"""

from __future__ import annotations

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
    ]
)
_EDGES = pa.schema(
    [("child", pa.string()), ("role", pa.string()), ("parent", pa.string()), ("data_version", pa.string())]
)
_DROPS = pa.schema([("id", pa.string()), ("reason", pa.string()), ("records", pa.int64())])
_STATS = pa.schema([("id", pa.string()), ("stat", pa.string()), ("amount", pa.float64())])

# What a dataset was made from: every version above it, and of the recordings and pages of the crawls above it those
# that the training rows above it really hold (a dataset above every mix holds them all).
SOURCES_SQL = """
WITH RECURSIVE above(id) AS (
    SELECT $artifact
    UNION
    SELECT edges.parent FROM edges JOIN above ON edges.child = above.id
),
drawn AS (
    SELECT DISTINCT span.source_id
    FROM (SELECT unnest(spans) AS span FROM packed_rows WHERE artifact IN (SELECT id FROM above))
)
SELECT crawl.kind, crawl.content_hash, crawl.url, crawl.licence, crawl.source_uri, crawl.artifact
FROM crawl
WHERE crawl.artifact IN (SELECT id FROM above)
  AND (crawl.content_hash IN (SELECT source_id FROM drawn) OR NOT EXISTS (SELECT 1 FROM drawn))
ORDER BY ALL
"""

ANCESTORS_SQL = """
WITH RECURSIVE above(id, distance) AS (
    SELECT $artifact, 0
    UNION
    SELECT edges.parent, above.distance + 1 FROM edges JOIN above ON edges.child = above.id
)
SELECT artifacts.*, min(distance) AS distance FROM above JOIN artifacts USING (id) GROUP BY ALL ORDER BY distance, id
"""


def artifact_id(recipe: str, asset: str, partition: str | None, build_key: str) -> str:
    return f"{Address(recipe, asset, partition)}@{build_key}"


def connect(store: ArtifactStore, recipe: str | None = None) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB with the store's lineage.

    Tables: artifacts (one row a committed version), edges (child, role, parent), drops (id, reason, records),
    stats (id, stat, amount), crawl (kind, content_hash, url, licence, source_uri, artifact), packed_rows (the mixes'
    rows: artifact, "row", kind, spans).
    """
    artifacts, edges, drops, stats, crawl, mixes = [], [], [], [], [], []
    for manifest, verdict, published in store.manifests(recipe):
        name = artifact_id(manifest.recipe, manifest.asset, manifest.partition, manifest.build_key)
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
            }
        )
        for item in manifest.inputs:
            parent = artifact_id(item.recipe, item.asset, item.partition, item.build_key) if item.asset else ""
            edges.append({"child": name, "role": item.role, "parent": parent, "data_version": item.data_version})
        drops += [{"id": name, "reason": reason, "records": n} for reason, n in manifest.counts.dropped.items()]
        stats += [{"id": name, "stat": stat, "amount": amount} for stat, amount in manifest.counts.stats.items()]
        folder = f"{Address(manifest.recipe, manifest.asset, manifest.partition).path}/{manifest.build_key}"
        for shard in manifest.shards:
            path = store.files.full(f"{folder}/{shard.path}")
            if shard.table in ("recordings", "pages"):
                crawl.append((name, shard.table, path))
            elif shard.table == "rows":
                mixes.append((name, path))
    connection = duckdb.connect()
    for table, rows, schema in (
        ("artifacts", artifacts, _ARTIFACTS),
        ("edges", edges, _EDGES),
        ("drops", drops, _DROPS),
        ("stats", stats, _STATS),
    ):
        connection.register("incoming", pa.Table.from_pylist(rows, schema=schema))
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")
        connection.unregister("incoming")
    _create_crawl(connection, store, crawl)
    _create_rows(connection, store, mixes)
    return connection


def query(connection: duckdb.DuckDBPyConnection, sql: str, **parameters: str) -> list[dict[str, Any]]:
    """Return the rows of a query as dicts."""
    result = connection.execute(sql, parameters or None)
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _create_crawl(connection: duckdb.DuckDBPyConnection, store: ArtifactStore, shards: list) -> None:
    connection.execute(
        "CREATE TABLE crawl (kind VARCHAR, content_hash VARCHAR, url VARCHAR, licence VARCHAR, source_uri VARCHAR, "
        "artifact VARCHAR)"
    )
    columns = {
        "recordings": ("recording", "recording_id", "source_url", Recording),
        "pages": ("page", "page_id", "url", Page),
    }
    for name, table, path in shards:
        kind, key, url, record = columns[table]
        shard = pads.dataset([path], schema=schema_of(record), format="parquet", filesystem=store.files.filesystem)
        connection.register("shard", shard)
        connection.execute(
            f"INSERT INTO crawl SELECT ?, {key}, {url}, licence, source_uri, ? FROM shard",
            [kind, name],
        )
        connection.unregister("shard")


def _create_rows(connection: duckdb.DuckDBPyConnection, store: ArtifactStore, shards: list) -> None:
    kept = ("row", "kind", "spans")
    schema = pa.schema([schema_of(PackedRow).field(name) for name in kept])
    connection.register("shard", schema.empty_table())
    connection.execute("CREATE TABLE packed_rows AS SELECT '' AS artifact, * FROM shard")
    connection.unregister("shard")
    for name, path in shards:
        shard = pads.dataset([path], schema=schema_of(PackedRow), format="parquet", filesystem=store.files.filesystem)
        connection.register("shard", shard)
        connection.execute('INSERT INTO packed_rows SELECT ?, "row", kind, spans FROM shard', [name])
        connection.unregister("shard")


def published_id(store: ArtifactStore, address: Address) -> str:
    """Return the lineage id of the published version; StoreError when there is none."""
    artifact = store.latest(address)
    if artifact is None:
        raise StoreError(f"{address} has no published version; materialize it first")
    return artifact_id(address.recipe, address.asset, address.partition, artifact.manifest.build_key)
