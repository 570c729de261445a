"""Lineage as SQL: DuckDB over the manifests, the crawl's tables of recordings, pages and texts, and training rows.

Put here: the tables that a person queries. Do not put here: the queries (lineage_queries.py), or what is out of date
(execution/status.py). docs/lineage.md shows the tables, and the queries to copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, StoreError
from spelangy_assets.store.database import connect_in_memory
from spelangy_model.records import PackedRow, Page, Recording, SuppliedText, schema_of

if TYPE_CHECKING:
    import duckdb

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
_PUBLICATIONS = pa.schema(
    [(name, pa.string()) for name in ("recipe", "asset", "partition", "artifact", "since", "overruled")]
)
_EDGES = pa.schema(
    [("child", pa.string()), ("role", pa.string()), ("parent", pa.string()), ("data_version", pa.string())]
)
_DROPS = pa.schema([("id", pa.string()), ("reason", pa.string()), ("records", pa.int64())])
_STATS = pa.schema([("id", pa.string()), ("stat", pa.string()), ("amount", pa.float64())])

_CHECKPOINTS = pa.schema([(name, pa.string()) for name in ("artifact", "holds", "name", "sha256", "licence", "url")])
_ADOPTED = "adopt_checkpoint"  # the stage whose config describes them

# Table of a shard -> its record type, and the record's columns that the lineage's table of the same position takes.
_CRAWL: Mapping[str, tuple[str, type, Mapping[str, str]]] = {
    "recordings": ("recording", Recording, {"content_hash": "recording_id", "url": "source_url"}),
    "pages": ("page", Page, {"content_hash": "page_id", "url": "url"}),
    "texts": ("text", SuppliedText, {"content_hash": "page_id", "url": "url"}),
}
_SHARED = ("licence", "source_uri")
_OF_PAGES = ("licence_stated_by", "robots")  # empty for recordings and supplied texts
_ROWS = ("row", "kind", "spans")


def artifact_id(artifact: Artifact) -> str:
    """Return the id of a version: the dataset for which it was first made, and its build key."""
    return f"{artifact.made_for}@{artifact.manifest.build_key}"


def _of_recipe(store: ArtifactStore, recipe: str) -> list[Artifact]:
    """Return the versions that were made for a recipe or are published by it, and all above them."""
    everything = {(one.address, one.manifest.build_key): one for one in store.versions()}
    left = [key for key, one in everything.items() if one.manifest.recipe == recipe]
    left += [(one.address, one.manifest.build_key) for one in store.published(recipe)]
    found: dict[tuple[Address, str], Artifact] = {}
    while left:
        key = left.pop()
        if key not in found and key in everything:
            found[key] = everything[key]
            left += [
                (Address(item.stage, item.partition), item.build_key)
                for item in found[key].manifest.inputs
                if item.stage
            ]
    return list(found.values())


def connect(store: ArtifactStore, recipe: str | None = None) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB with the store's lineage, or with that of what one recipe made or published.

    The tables belong to the connection: it is read by one thread, and without cursors.

    Tables: artifacts (one row a committed version, under the dataset for which it was first made), publications (the
    current version of each recipe's datasets), edges (child, role, parent), drops (id, reason, records),
    stats (id, stat, amount), crawl (kind, content_hash, url, licence, source_uri, licence_stated_by, robots, artifact),
    packed_rows (the mixes' rows: artifact, "row", kind, spans), checkpoints (made elsewhere: artifact, holds, name,
    sha256, licence, url).
    """
    artifacts, publications, edges, drops, stats, checkpoints = [], [], [], [], [], []
    shards: dict[str, dict[str, str]] = {table: {} for table in (*_CRAWL, "rows")}  # table -> path -> artifact
    versions = list(store.versions()) if recipe is None else _of_recipe(store, recipe)
    ids = {(one.address, one.manifest.build_key): artifact_id(one) for one in versions}
    # What was deleted for a takedown and made again with equal bytes: the lineage continues there.
    equal = {(one.address, one.data_version): artifact_id(one) for one in versions}
    overruled: dict[str, list[str]] = {}
    for name, record in store.publications(recipe):
        standing = record.published
        published = None if standing is None else ids.get((Address(standing.stage, name.partition), standing.build_key))
        if standing is None or published is None:
            continue
        reason = f"{standing.overruled.by}: {standing.overruled.reason}" if standing.overruled else ""
        if reason:
            overruled.setdefault(published, []).append(reason)
        publications.append(
            {
                "recipe": name.recipe,
                "asset": name.dataset,
                "partition": name.partition,
                "artifact": published,
                "since": standing.since,
                "overruled": reason,
            }
        )
    current = {row["artifact"] for row in publications}
    for artifact in versions:
        manifest, name = artifact.manifest, artifact_id(artifact)
        verdicts = store.verdicts(artifact)
        artifacts.append(
            {
                **{field: getattr(manifest, field) for field in _ARTIFACTS.names if hasattr(manifest, field)},
                "id": name,
                "asset": manifest.dataset,
                "git_commit": manifest.provenance.get("git_commit", ""),
                "records_in": manifest.counts.records_in,
                "records_kept": manifest.counts.records_kept,
                "bytes": sum(shard.bytes for shard in manifest.shards),
                "published": name in current,
                "passed": bool(verdicts) and verdicts[-1].passed,
                "overruled": "; ".join(dict.fromkeys(overruled.get(name, []))),
            }
        )
        if manifest.stage == _ADOPTED:
            config: Any = manifest.config
            checkpoints.append({"artifact": name, "holds": config["holds"], **config["checkpoint"]})
        for item in manifest.inputs:
            parent = ""
            if item.stage:
                address = Address(item.stage, item.partition)
                parent = ids.get((address, item.build_key)) or equal.get((address, item.data_version))
                parent = parent or f"{item.name or address}@{item.build_key}"
            edges.append({"child": name, "role": item.role, "parent": parent, "data_version": item.data_version})
        drops += [{"id": name, "reason": reason, "records": n} for reason, n in manifest.counts.dropped.items()]
        stats += [{"id": name, "stat": stat, "amount": amount} for stat, amount in manifest.counts.stats.items()]
        for shard in manifest.shards:
            if shard.table in shards and shard.rows:
                shards[shard.table][store.files.full(f"{artifact.path}/{shard.path}")] = name
    connection = connect_in_memory()
    for table, rows, schema in (
        ("artifacts", artifacts, _ARTIFACTS),
        ("publications", publications, _PUBLICATIONS),
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
    connection.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM incoming")
    connection.unregister("incoming")


def _scan(store: ArtifactStore, record: type, columns: Mapping[str, str], shards: Mapping[str, str]) -> pa.Table:
    """Read some columns of all shards at once, each row with the artifact that it is of; other columns stay unread."""
    import pyarrow.dataset as pads  # imports pandas, which what only plans does without

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


def published_id(store: ArtifactStore, name: DatasetName) -> str:
    """Return the lineage id of the published version; StoreError when there is none."""
    artifact = store.latest(name)
    if artifact is None:
        wanted = f"{name.dataset}@{name.partition}" if name.partition else name.dataset
        raise StoreError(
            f"{name} has no published version; make it: spelangy run RECIPE --only {wanted}, with the name or the file "
            f"of the recipe {name.recipe}"
        )
    return artifact_id(artifact)
