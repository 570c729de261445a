"""Evaluates a contract on an artifact: DuckDB aggregates the shards, Great Expectations judges the aggregate.

Put here: the way from a contract and an artifact to a verdict. Do not put here: contracts, or what follows from a
verdict. Great Expectations sees one row that DuckDB made, not the audio: its own DuckDB dialect loses rows between
connections. An expectation that errors is an error, never a mere failure, and it blocks.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spelangy_assets.quality.contracts import Contract
from spelangy_assets.quality.drift import compare
from spelangy_assets.store.artifacts import Artifact
from spelangy_assets.store.database import connect_in_memory
from spelangy_assets.store.fingerprint import fingerprint
from spelangy_assets.store.manifest import Expectation, Verdict
from spelangy_model.records import schema_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow.dataset as pads

_READ_BYTES = 1 << 20  # or one row, where that is more
_EVERY_COLUMN = re.compile(r"(?i)\b(select|distinct)\s+\*|[,.]\s*\*|\bcolumns\s*\(")


class ContractError(Exception):
    """A contract that cannot be evaluated (its SQL fails, a bound names no column): our mistake, not the data's."""


@dataclass(frozen=True)
class _Rows:
    """Some columns of a table for DuckDB, which reads them anew wherever the SQL names the table.

    One row group is in memory at a time. A dataset of Arrow would read ahead up to a gigabyte, because a contract takes
    longer over a row than the reading does.
    """

    dataset: pads.Dataset
    columns: list[str]

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        schema = pa.schema([self.dataset.schema.field(name) for name in self.columns])
        return pa.RecordBatchReader.from_batches(schema, self._batches()).__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for shard in self.dataset.get_fragments():
            for row_group in shard.split_by_row_group():
                yield from row_group.to_batches(self.dataset.schema, columns=self.columns, use_threads=False)


def _columns_in(sql: str, names: Sequence[str]) -> list[str]:
    """Return the columns that the SQL of a contract may read: those whose names are words in it."""
    if _EVERY_COLUMN.search(sql):
        return list(names)
    words = _words_in(sql)
    return [name for name in names if name.lower() in words] or list(names[:1])


def _words_in(sql: str) -> set[str]:
    return set(re.findall(r"\w+", sql.lower()))


@contextmanager
def _views(artifact: Artifact, tables: dict[str, type], sql: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the views of an artifact that the SQL of a contract names; each takes a millisecond, and some open files."""
    import pyarrow.dataset as pads  # imports pandas, which what only plans does without

    words = _words_in(sql)
    with connect_in_memory() as connection:
        for table, record in tables.items():
            if f"{table}_audio".lower() in words:
                connection.register(f"{table}_audio", pa.table({"audio_bytes": _audio_bytes(artifact, table)}))
            if table.lower() not in words:
                continue
            paths = [artifact.files.full(shard.path) for shard in artifact.shards(table)]
            dataset = pads.dataset(
                paths, schema=schema_of(record), format="parquet", filesystem=artifact.files.filesystem
            )
            connection.register(table, _Rows(dataset, _columns_in(sql, dataset.schema.names)))

        def register(view: str, rows: Iterable[tuple[Any, ...]], **types: pa.DataType) -> None:
            if view not in words:
                return
            named = [dict(zip(types, row, strict=True)) for row in rows]
            connection.register(view, pa.Table.from_pylist(named, pa.schema(list(types.items()))))

        counts, n, text = artifact.manifest.counts, pa.int64(), pa.string()
        totals = (counts.records_in, counts.records_kept, sum(counts.dropped.values()))
        register("counts", [totals], records_in=n, records_kept=n, records_dropped=n)
        register("drops", sorted(counts.dropped.items()), reason=text, records=n)
        register("stats", sorted(counts.stats.items()), name=text, value=pa.float64())
        register("files", ((shard.path, shard.bytes) for shard in artifact.manifest.shards), path=text, bytes=n)
        yield connection


def _audio_bytes(artifact: Artifact, table: str) -> np.ndarray:
    """Return the sizes of a table's sounds in bytes, int64 (rows,), with one or a few of them in memory.

    DuckDB would have Arrow read many row groups ahead, each as large as the audio that a stage holds in memory.
    """
    shard_bytes = {f"{artifact.path}/{shard.path}": shard.bytes for shard in artifact.manifest.shards}
    import pyarrow.compute as pc

    sizes = [np.zeros(0, np.int64)]
    for shard in artifact.shards(table):
        path = artifact.files.full(shard.path)
        with pq.ParquetFile(
            path, filesystem=artifact.files.filesystem, buffer_size=_READ_BYTES, pre_buffer=False
        ) as parquet:
            row_bytes = shard_bytes[shard.path] // max(shard.rows, 1) + 1
            rows = min(max(_READ_BYTES // row_bytes, 1), 1024)
            for batch in parquet.iter_batches(rows, columns=["audio.bytes"], use_threads=False):
                lengths = pc.call_function("binary_length", [batch.column("audio").field("bytes")])
                sizes.append(lengths.fill_null(0).to_numpy().astype(np.int64))
    return np.concatenate(sizes)


def aggregate(artifact: Artifact, contract: Contract, tables: dict[str, type]) -> dict[str, float]:
    """Return the contract's aggregate row over the artifact's shards and manifest; NaN where SQL gives NULL."""
    import duckdb

    with _views(artifact, tables, contract.sql) as connection:
        try:
            cursor = connection.execute(contract.sql)
            rows = cursor.fetchall()
            columns = [column[0] for column in cursor.description or ()]
        except duckdb.Error as error:
            raise ContractError(f"contract {contract.name} on {artifact.name}: {error}") from error
    if len(rows) != 1:
        raise ContractError(f"contract {contract.name} on {artifact.name}: its SQL gave {len(rows)} rows, not one")
    missing = [bound.column for bound in contract.bounds if bound.column not in columns]
    if missing:
        raise ContractError(f"contract {contract.name}: bounds on {missing}, which its SQL does not give")
    try:
        values = [math.nan if value is None else float(value) for value in rows[0]]
    except (TypeError, ValueError) as error:
        raise ContractError(f"contract {contract.name}: its SQL gives something else than numbers: {error}") from error
    return dict(zip(columns, values, strict=True))


def drift_values(artifact: Artifact, contract: Contract, tables: dict[str, type]) -> list[np.ndarray]:
    """Return the finite values of each of the contract's drifts, each of shape (n,)."""
    import duckdb

    with _views(artifact, tables, " ".join(drift.sql for drift in contract.drifts)) as connection:
        values = []
        for drift in contract.drifts:
            try:
                (column,) = connection.execute(drift.sql).fetchnumpy().values()
                found = np.ma.filled(np.ma.asarray(column, dtype=np.float64), math.nan)
            except (duckdb.Error, TypeError, ValueError) as error:
                raise ContractError(f"drift {drift.name} of {contract.name} on {artifact.name}: {error}") from error
            values.append(found[np.isfinite(found)])
        return values


def evaluate(artifact: Artifact, contract: Contract, tables: dict[str, type]) -> Verdict:
    """Return the verdict of the contract on the artifact; ContractError when it cannot be evaluated."""
    from spelangy_assets.quality.expectations import judged

    expectations = judged(contract.name, aggregate(artifact, contract, tables), list(contract.bounds))
    return Verdict(
        contract_fingerprint=fingerprint(contract),
        passed=all(item.success for item in expectations if item.severity == "block" or item.error),
        expectations=expectations,
        evaluated_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def evaluate_drift(
    artifact: Artifact, contract: Contract, tables: dict[str, type], previous: Artifact | None
) -> list[Expectation]:
    """Return the outcome of the contract's drifts from `previous` to the artifact; nothing without a previous one.

    ContractError when they cannot be evaluated.
    """
    if previous is None or not contract.drifts:
        return []
    from spelangy_assets.quality.expectations import judged

    row, bounds = {}, []
    for drift, now, before in zip(
        contract.drifts,
        drift_values(artifact, contract, tables),
        drift_values(previous, contract, tables),
        strict=True,
    ):
        measures, limits = compare(drift, now, before, previous.address.partition or "before")
        row |= measures
        bounds += limits
    return judged(contract.name, row, bounds) if bounds else []
