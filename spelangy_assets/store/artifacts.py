"""The artifact store: versions of datasets, committed once, found again, never changed.

    {root}/{recipe}/{asset}/{partition or _}/{build_key}/{table}-{unit}.parquet   the data, written in place
                                                         unit-{unit}.json        receipt: this unit of work is done
                                                         manifest.json           the commit mark, written last
                                                         quality.json            the contract's verdict
                                              LATEST.json                        the newest version that passed

Put here: addresses, reading, writing, committing, publishing. Do not put here: what a stage does with records,
what a contract asks, or Dagster. A kill at any moment leaves either a version that is not committed (its units
with receipts are not repeated) or one that is; a committed one without a verdict is only evaluated again. Manifest,
verdict and LATEST are swapped, not overwritten: of two processes that write one of them, the second sees the first.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from spelangy_assets.store.files import Files
from spelangy_assets.store.fingerprint import Payload
from spelangy_assets.store.leases import lease
from spelangy_assets.store.manifest import Counts, Input, Manifest, Overrule, Receipt, Shard, Verdict, data_version_of
from spelangy_assets.store.provenance import provenance
from spelangy_model.records import from_table, schema_of, to_table

T = TypeVar("T")

# Fixed, because a data version is a digest of these bytes: other options are other bytes for the same records.
_PARQUET = {"compression": "zstd", "compression_level": 3, "version": "2.6", "data_page_version": "1.0"}
_ROW_GROUP_ROWS = 1024
# A row group ends early when it holds this much sound: whoever writes or reads a shard holds one row group.
_ROW_GROUP_AUDIO_BYTES = 64 << 20

# What reading a JSON document raises that a kill tore: half a UTF-8 character is a ValueError as half a document is.
_TORN = (ValueError, TypeError, KeyError)
_READERS = 16
BROKEN = "broken.json"  # the reason why a version was set aside
_CONTROL_FILES = {"manifest.json", "quality.json", BROKEN}
_PLAIN_PATH = re.compile(r"(?!unit-\d+\.json$)(?!_scratch/)(?!.*(^|/)\.)[^/\\]+(/[^/\\]+)*")


class StoreError(Exception):
    """An artifact that is asked for is not there, not committed, or did not pass its contract."""


class CommittedMeanwhile(StoreError):
    """Another process committed the version that this one works on; what both wrote is equal."""


class PublishedMeanwhile(StoreError):
    """Another version was published since the decision to publish this one."""


@dataclass(frozen=True, order=True)
class Address:
    """Where the versions of one dataset (of one partition) lie."""

    recipe: str
    asset: str
    partition: str | None = None

    def __post_init__(self) -> None:
        for name in (self.recipe, self.asset, self.partition):
            # "_" is the folder of no partition; a separator or a leading dot would leave the layout.
            if name is not None and (name in ("", "_") or name.startswith(".") or set(name) & set("/\\")):
                raise ValueError(f"{name!r} cannot name a folder of the store: no '/', '\\', leading '.', '' or '_'")

    @property
    def path(self) -> str:
        return f"{self.recipe}/{self.asset}/{self.partition or '_'}"

    def __str__(self) -> str:
        return f"{self.recipe}/{self.asset}" + (f"[{self.partition}]" if self.partition else "")


@dataclass(frozen=True)
class Mark:
    """What LATEST.json held at a moment; `text` is None where there was none."""

    text: bytes | None


@dataclass(frozen=True)
class Identity:
    """What makes a version of an artifact, known before the work starts; its digest is the build key."""

    stage: str
    stage_version: str
    config_fingerprint: str
    config: Payload
    inputs: list[Input]
    build_key: str


@dataclass(frozen=True)
class ShardFile:
    """One Parquet shard of an artifact, read lazily."""

    files: Files
    path: str
    rows: int

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.files.filesystem.open_input_file(self.files.full(self.path)))

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        with self._open() as parquet:
            return parquet.read(columns=list(columns) if columns else None)

    def records(self, record: type[T]) -> list[T]:
        return from_table(self.table(), record)

    def iter_records(self, record: type[T], batch_rows: int = 64) -> Iterator[T]:
        """Yield records in order, holding `batch_rows` of them in memory."""
        with self._open() as parquet:
            for batch in parquet.iter_batches(batch_size=batch_rows):
                yield from from_table(batch, record)


@dataclass(frozen=True)
class Artifact:
    """A committed version of a dataset."""

    files: Files
    address: Address
    manifest: Manifest

    @property
    def path(self) -> str:
        return f"{self.address.path}/{self.manifest.build_key}"

    @property
    def uri(self) -> str:
        return f"{self.files.uri}/{self.path}"

    @property
    def data_version(self) -> str:
        return self.manifest.data_version

    def as_input(self, role: str) -> Input:
        manifest = self.manifest
        return Input(
            role, manifest.recipe, manifest.asset, manifest.partition, manifest.build_key, manifest.data_version
        )

    def shards(self, table: str) -> list[ShardFile]:
        return [
            ShardFile(self.files, f"{self.path}/{shard.path}", shard.rows)
            for shard in sorted(self.manifest.shards, key=lambda shard: shard.path)
            if shard.table == table
        ]

    def table(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a whole table; StoreError when the artifact has none of that name."""
        shards = self.shards(table)
        if not shards:
            raise StoreError(f"{self.address}: no table {table!r} in {self.uri}")
        return pa.concat_tables([shard.table(columns) for shard in shards])

    def records(self, table: str, record: type[T]) -> Iterator[T]:
        for shard in self.shards(table):
            yield from shard.iter_records(record)

    def read_file(self, path: str) -> bytes:
        return self.files.read(f"{self.path}/{path}")

    def local_folder(self, cache_dir: Path) -> Path:
        """Return a folder on disk with the artifact's files: the artifact itself, or a copy when it lies on S3."""
        if self.files.is_local:
            return self.files.local(self.path)
        copy = cache_dir / "artifacts" / self.path
        for shard in self.manifest.shards + self.manifest.attachments:
            target = copy / shard.path
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                draft = target.with_name(target.name + ".part")
                draft.write_bytes(self.read_file(shard.path))
                draft.replace(target)
        return copy


def _cpu_seconds() -> float:
    return sum(os.times()[:4])  # this process and the children it waited for: training runs in one


@dataclass(frozen=True)
class Share:
    """The units of one of several processes that work on the same version: every `count`-th one, from `index` on."""

    index: int
    count: int

    def has(self, unit: int) -> bool:
        return unit % self.count == self.index


class _ShardSink:
    """A Parquet shard that is being written in place, row group by row group."""

    def __init__(self, files: Files, folder: str, path: str, table: str, record: type):
        self._table, self._path, self._record = table, path, record
        self._digest = hashlib.sha256()
        self._rows = self._bytes = 0
        self.closed = False  # asked by Arrow
        self._stream = files.open_output(f"{folder}/{path}")
        self._parquet = pq.ParquetWriter(pa.PythonFile(self, mode="w"), schema_of(record), **_PARQUET)

    def write(self, data: bytes) -> int:
        """Take bytes from Arrow's Parquet writer."""
        self._digest.update(data)
        self._bytes += len(data)
        self._stream.write(data)
        return len(data)

    def tell(self) -> int:
        return self._bytes

    def flush(self) -> None:
        """Nothing is held back here."""

    def append(self, records: list[Any] | pa.Table) -> None:
        table = to_table(records, self._record) if isinstance(records, list) else records
        self._parquet.write_table(table, row_group_size=_ROW_GROUP_ROWS)
        self._rows += table.num_rows

    def close(self) -> None:
        """Called by Arrow, and by whoever gives the shard up."""
        if not self.closed:
            self.closed = True
            self._stream.close()

    def finish(self) -> Shard:
        self._parquet.close()
        self.close()
        return Shard(self._path, self._table, self._rows, self._bytes, self._digest.hexdigest())


class UnitWriter:
    """Takes what one unit of work gives. It counts once the `with` block has ended without an exception.

    Records are held until a row group of them is full, so that a unit may be larger than memory; files are held.
    """

    def __init__(self, open_shard: Callable[[str], _ShardSink]) -> None:
        self._open_shard = open_shard
        self._sinks: dict[str, _ShardSink] = {}
        self._held: dict[str, list[Any]] = {}
        self._held_audio_bytes: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._files: dict[str, tuple[bytes, bool]] = {}
        self._dropped: dict[str, int] = {}
        self._stats: dict[str, float] = {}
        self._records_in = 0
        self._records_kept: int | None = None

    def write(self, table: str, records: Iterable[Any]) -> None:
        """Append records to one of the stage's tables."""
        self._open(table)
        held = self._held[table]
        for record in records:
            held.append(record)
            audio = getattr(record, "audio", None)
            self._held_audio_bytes[table] += len(audio.bytes) if audio else 0
            if len(held) >= _ROW_GROUP_ROWS or self._held_audio_bytes[table] >= _ROW_GROUP_AUDIO_BYTES:
                self._append(table)

    def write_rows(self, table: str, rows: pa.Table) -> None:
        """Append rows that are an Arrow table of the record's schema already."""
        self._open(table)
        if self._held[table]:
            self._append(table)
        self._sinks[table].append(rows)
        self._rows[table] += rows.num_rows

    def _open(self, table: str) -> None:
        if table not in self._sinks:
            self._sinks[table] = self._open_shard(table)
            self._held[table], self._held_audio_bytes[table], self._rows[table] = [], 0, 0

    def _append(self, table: str) -> None:
        held = self._held[table]
        if held or not self._rows[table]:
            self._sinks[table].append(held)
        self._rows[table] += len(held)
        self._held_audio_bytes[table] = 0
        held.clear()

    def _finish(self, tables: Iterable[str]) -> list[Shard]:
        """Write what is still held and return the shard of each table, empty ones too."""
        for table in tables:
            self._open(table)
            self._append(table)
        return [self._sinks[table].finish() for table in tables]

    def _give_up(self) -> None:
        for sink in self._sinks.values():
            sink.close()

    def write_file(self, path: str, data: bytes, *, identity: bool = True) -> None:
        """Add a file. `identity=False`: it is outside the data version (logs, pages, timings)."""
        if path in self._files:
            raise ValueError(f"{path!r} is written twice in one unit")
        self._files[path] = (data, identity)

    def write_folder(self, folder: Path, prefix: str = "", *, identity: bool = True) -> None:
        """Add all files below a folder, in the order of their names."""
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            self.write_file(prefix + path.relative_to(folder).as_posix(), path.read_bytes(), identity=identity)

    def read(self, records: int) -> None:
        """Count records that came in."""
        self._records_in += records

    def kept(self, records: int) -> None:
        """Count records that were kept; without a call it is the rows of the stage's first table."""
        self._records_kept = (self._records_kept or 0) + records

    def drop(self, reason: str, records: int = 1) -> None:
        """Count records that were not kept, by a short fixed reason."""
        self._dropped[reason] = self._dropped.get(reason, 0) + records

    def add(self, stat: str, amount: float) -> None:
        """Add to a summed quantity; its name bears its unit (hours_kept, speech_tokens)."""
        self._stats[stat] = self._stats.get(stat, 0.0) + amount


class ArtifactWriter:
    """Writes one version of an artifact, unit by unit, and commits it."""

    def __init__(
        self,
        files: Files,
        address: Address,
        identity: Identity,
        tables: dict[str, type],
        cache_dir: Path,
        share: Share | None = None,
    ):
        self._files = files
        self._address = address
        self._identity = identity
        self._share = share
        self._tables = tables
        self._cache_dir = cache_dir
        self.path = f"{address.path}/{identity.build_key}"
        self._receipts = self._read_receipts()

    def _read_receipts(self) -> dict[int, Receipt]:
        receipts = {}
        for name, is_folder in self._files.names(self.path):
            if is_folder or not (name.startswith("unit-") and name.endswith(".json")):
                continue
            try:
                receipt = Receipt.from_json(self._files.read(f"{self.path}/{name}"))
            except _TORN:
                continue  # the unit is done again
            if receipt.build_key == self._identity.build_key and self._is_whole(receipt):
                receipts[receipt.unit] = receipt
        return receipts

    def _is_whole(self, receipt: Receipt) -> bool:
        """Whether the files of a unit are there: a power cut or a hand may have taken what a receipt speaks of."""
        return not _missing(self._files, self.path, receipt.shards + receipt.attachments)

    @property
    def inputs(self) -> list[Input]:
        """The inputs at the versions that this build reads."""
        return self._identity.inputs

    @property
    def scratch(self) -> Path:
        """A folder for work in progress (training checkpoints): kept over a kill, gone after the commit."""
        if self._files.is_local:
            folder = self._files.local(f"{self.path}/_scratch")
        else:
            folder = self._cache_dir / "scratch" / self.path
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def done(self, unit: int) -> bool:
        return unit in self._receipts

    def pending(self, items: Iterable[T]) -> Iterator[tuple[int, T]]:
        """Number the items and yield those whose unit is not done yet: the whole of resuming.

        With a share, those of the share alone.
        """
        for unit, item in enumerate(items):
            if not self.done(unit) and (self._share is None or self._share.has(unit)):
                yield unit, item

    @contextmanager
    def unit(self, unit: int) -> Iterator[UnitWriter]:
        """Do one unit of work: its tables and files are written at the end of the block, its receipt last.

        CommittedMeanwhile when the whole version is there already, StoreError when it holds other data than this one.
        """
        theirs = _manifest(
            self._files.read_if_there(f"{self.path}/manifest.json"), self._address, self._identity.build_key
        )
        if theirs is not None:
            self._compare(theirs)
            raise CommittedMeanwhile(
                f"{self._address} version {self._identity.build_key} is committed by another process"
            )
        started, started_cpu = time.perf_counter(), _cpu_seconds()
        writer = UnitWriter(lambda table: self._open_shard(unit, table))
        try:
            yield writer
            shards = writer._finish(self._tables)
        except BaseException:
            writer._give_up()  # what is there of its shards has no receipt, so it is nothing
            raise
        attachments = []
        taken = {shard.path for other in self._receipts.values() for shard in other.shards + other.attachments}
        taken |= _CONTROL_FILES | {shard.path for shard in shards}
        for path, (data, identity) in writer._files.items():
            if path in taken or not _PLAIN_PATH.fullmatch(path):
                raise ValueError(
                    f"{self._address}: unit {unit} cannot write {path!r}: taken, or no plain relative path"
                )
            (shards if identity else attachments).append(self._write_bytes(path, "", 0, data))
        kept = writer._records_kept
        if kept is None:
            kept = writer._rows.get(next(iter(self._tables), ""), 0)
        receipt = Receipt(
            build_key=self._identity.build_key,
            unit=unit,
            shards=shards,
            attachments=attachments,
            counts=Counts(writer._records_in, kept, writer._dropped, writer._stats),
            seconds=round(time.perf_counter() - started, 3),
            cpu_seconds=round(_cpu_seconds() - started_cpu, 3),
        )
        self._files.replace(f"{self.path}/unit-{unit:05d}.json", receipt.to_json())
        self._receipts[unit] = receipt

    def _open_shard(self, unit: int, table: str) -> _ShardSink:
        if table not in self._tables:
            raise ValueError(f"{self._address}: table {table!r} is not declared in the stage's TABLES")
        return _ShardSink(self._files, self.path, f"{table}-{unit:05d}.parquet", table, self._tables[table])

    def _write_bytes(self, path: str, table: str, rows: int, data: bytes) -> Shard:
        self._files.write(f"{self.path}/{path}", data)
        return Shard(path, table, rows, len(data), hashlib.sha256(data).hexdigest())

    def _compare(self, theirs: Manifest) -> None:
        """Raise StoreError when this writer wrote other bytes than the committed version has."""
        committed = {shard.path: shard.sha256 for shard in theirs.shards}
        mine = [shard for receipt in self._receipts.values() for shard in receipt.shards]
        if other := sorted(shard.path for shard in mine if committed.get(shard.path) != shard.sha256):
            raise StoreError(
                f"{self._address} version {theirs.build_key} was committed by another process "
                f"({theirs.provenance.get('host', 'unknown host')}, {theirs.created_at}) with other bytes in {other}: "
                f"stage {theirs.stage} does not give the same twice, and both wrote to these files. Trust neither; "
                "materialize it with the run tag force=true, in one process"
            )

    def commit(self) -> Manifest:
        """Write the manifest over all units and return it; another process's when that came before with equal data.

        ValueError when a unit in the middle is missing (a stage's mistake), StoreError when another process committed
        other data.
        """
        if self._tables and not self._receipts:
            with self.unit(0):  # nothing came in: the tables are there all the same, with their columns and no rows
                pass
        units = sorted(self._receipts)
        if units != list(range(len(units))):
            raise ValueError(f"{self._address}: units {units} are not consecutive; a unit was skipped")
        receipts = [self._receipts[unit] for unit in units]
        shards = [shard for receipt in receipts for shard in receipt.shards]
        attachments = [shard for receipt in receipts for shard in receipt.attachments]
        if gone := _missing(self._files, self.path, shards + attachments):
            raise StoreError(
                f"{self._address}: {len(gone)} files that this build wrote are not there any more, {gone[0]} first; "
                "run it again: it makes them anew and keeps the rest"
            )
        identity = self._identity
        manifest = Manifest(
            recipe=self._address.recipe,
            asset=self._address.asset,
            partition=self._address.partition,
            build_key=identity.build_key,
            stage=identity.stage,
            stage_version=identity.stage_version,
            config_fingerprint=identity.config_fingerprint,
            config=identity.config,
            inputs=identity.inputs,
            shards=shards,
            attachments=attachments,
            data_version=data_version_of(shards, identity.inputs),
            counts=sum((receipt.counts for receipt in receipts), Counts()),
            units=len(units),
            seconds=round(sum(receipt.seconds for receipt in receipts), 3),
            cpu_seconds=round(sum(receipt.cpu_seconds for receipt in receipts), 3),
            created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            provenance=provenance(),
        )
        shutil.rmtree(self.scratch, ignore_errors=True)  # before the mark, so that no kill leaves it for ever
        path = f"{self.path}/manifest.json"
        while True:
            found = self._files.read_if_there(path)
            theirs = _manifest(found, self._address, identity.build_key)
            if theirs is not None:
                self._compare(theirs)
                return theirs
            if self._files.swap(path, manifest.to_json(), found):
                return manifest


def _missing(files: Files, folder: str, shards: Sequence[Shard]) -> list[str]:
    """Return the paths of files that are not there in the length that their record says."""
    found = files.sizes([f"{folder}/{shard.path}" for shard in shards])
    return [shard.path for shard, size in zip(shards, found, strict=True) if size != shard.bytes]


def _manifest(text: bytes | None, address: Address, build_key: str) -> Manifest | None:
    """Return the manifest of a version; None when the text is none, torn, or a copy of another version's."""
    if text is None:
        return None
    try:
        manifest = Manifest.from_json(text)
    except _TORN:
        return None  # or of another format: not a commit mark
    found = (manifest.recipe, manifest.asset, manifest.partition, manifest.build_key)
    return manifest if found == (address.recipe, address.asset, address.partition, build_key) else None


def _verdict(text: bytes | None) -> Verdict | None:
    if text is None:
        return None
    try:
        return Verdict.from_json(text)
    except _TORN:
        return None


class ArtifactStore:
    """All artifacts below one root."""

    def __init__(self, root: str | Path, cache_dir: Path):
        self.files = Files(root)
        self._cache_dir = cache_dir

    def find(self, address: Address, build_key: str) -> Artifact | None:
        """Return a committed version, whatever its verdict; None when it is not committed."""
        text = self.files.read_if_there(f"{address.path}/{build_key}/manifest.json")
        manifest = _manifest(text, address, build_key)
        return None if manifest is None else Artifact(self.files, address, manifest)

    def verdict(self, artifact: Artifact) -> Verdict | None:
        return _verdict(self.files.read_if_there(f"{artifact.path}/quality.json"))

    def writer(
        self, address: Address, identity: Identity, tables: dict[str, type], share: Share | None = None
    ) -> ArtifactWriter:
        """Return what writes a version; with a share it does that share's units, and another writer commits."""
        return ArtifactWriter(self.files, address, identity, tables, self._cache_dir, share)

    def judge(self, artifact: Artifact, verdict: Verdict, over: Mark | None = None) -> Verdict:
        """Record the verdict and return the one that stands: where a person overruled this contract's, theirs does.

        A pass publishes the version (see `publish`), a failure leaves the last good one published.
        """
        path = f"{artifact.path}/quality.json"
        while True:
            text = self.files.read_if_there(path)
            found = _verdict(text)
            if found is not None and found.overruled and found.contract_fingerprint == verdict.contract_fingerprint:
                verdict = found
                break
            if self.files.swap(path, verdict.to_json(), text):
                break
        if verdict.accepted:
            self.publish(artifact, over)
        return verdict

    def overrule(self, address: Address, by: str, reason: str) -> Artifact:
        """Accept the newest version that failed its contract, in the name of a person; its verdict keeps the trace.

        StoreError when no version of the dataset failed, ValueError without a name or a reason.
        """
        if not by.strip() or not reason.strip():
            raise ValueError("a verdict is overruled by somebody, for a reason: name both")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        while True:
            failed = [
                manifest
                for manifest, verdict, _ in self._versions(address)
                if verdict is not None and not verdict.accepted
            ]
            if not failed:
                raise StoreError(f"{address} has no version that failed its contract")
            newest = max(failed, key=lambda manifest: manifest.created_at)
            artifact = Artifact(self.files, address, newest)
            path = f"{artifact.path}/quality.json"
            text = self.files.read_if_there(path)
            verdict = _verdict(text)
            if verdict is None or verdict.accepted:
                continue  # judged again meanwhile
            overruled = replace(verdict, overruled=Overrule(by.strip(), reason.strip(), now))
            if self.files.swap(path, overruled.to_json(), text):
                self.publish(artifact)
                return artifact

    def lease(self, build: str, held: Iterable[tuple[Address, str]]) -> AbstractContextManager[None]:
        """Hold versions against the garbage collector while a block runs; `build` says in words what works on them."""
        return lease(self.files, build, [(address.path, build_key) for address, build_key in held])

    def missing_files(self, artifact: Artifact) -> list[str]:
        """Return the files of a committed version that are not there, or not in the length that its manifest says."""
        manifest = artifact.manifest
        return _missing(self.files, artifact.path, [*manifest.shards, *manifest.attachments])

    def set_aside(self, artifact: Artifact, reason: str) -> str:
        """Take a broken version out of use, with the reason, so that the next run makes it again; return where it is.

        On disk its folder is renamed. On S3, where that is a copy of everything, its commit mark is kept beside it
        under another name; the units that are whole are not repeated.
        """
        files, key = self.files, artifact.manifest.build_key
        told = json.dumps(
            {"reason": reason, "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")},
            indent=1,
            ensure_ascii=False,
        ).encode()
        if files.is_local:
            numbers = itertools.count(1)
            place = next(
                place
                for place in (f"{artifact.address.path}/{key}.broken-{number}" for number in numbers)
                if not files.local(place).exists()
            )
            files.replace(f"{artifact.path}/{BROKEN}", told)
            files.local(artifact.path).rename(files.local(place))
            return place
        taken = {name for name, _ in files.names(artifact.path)}
        number = next(number for number in itertools.count(1) if f"broken-{number}.json" not in taken)
        files.replace(f"{artifact.path}/manifest-broken-{number}.json", artifact.manifest.to_json())
        files.replace(f"{artifact.path}/broken-{number}.json", told)
        for name in ("quality.json", "manifest.json"):
            files.delete_file(f"{artifact.path}/{name}")
        return f"{artifact.path}/broken-{number}.json"

    def mark(self, address: Address) -> Mark:
        """Return what is published now, for a later `publish` over it."""
        return Mark(self.files.read_if_there(f"{address.path}/LATEST.json"))

    def publish(self, artifact: Artifact, over: Mark | None = None) -> None:
        """Make a version the one that others read: over whatever is published, or only over what was at the mark.

        PublishedMeanwhile when that is not published any more: the inputs may be others by now, resolve them again.
        """
        mark = {"build_key": artifact.manifest.build_key, "data_version": artifact.data_version}
        path = f"{artifact.address.path}/LATEST.json"
        data = json.dumps(mark, sort_keys=True).encode()
        if over is None:
            if self.files.read_if_there(path) != data:
                self.files.replace(path, data)
        elif not self.files.swap(path, data, over.text):
            raise PublishedMeanwhile(
                f"{artifact.address}: another version than {artifact.manifest.build_key} was published meanwhile"
            )

    def withdraw(self, address: Address, build_key: str) -> None:
        """Take a version out of publication, if it is the published one; it stays in the store."""
        if self.published_key(address) == build_key:
            self.files.delete_file(f"{address.path}/LATEST.json")

    def latest(self, address: Address) -> Artifact | None:
        """Return the published version; None when nothing has passed yet."""
        build_key = self._published_key(address)
        return None if build_key is None else self.find(address, build_key)

    def _published_key(self, address: Address) -> str | None:
        try:
            return self.published_key(address)
        except StoreError:
            return None

    def published_key(self, address: Address) -> str | None:
        """Return the build key of the published version; None when none is. StoreError when that cannot be read."""
        text = self.mark(address).text
        if text is None:
            return None
        try:
            return str(json.loads(text)["build_key"])
        except _TORN as error:
            raise StoreError(
                f"{self.files.uri}/{address.path}/LATEST.json cannot be read, so what of {address} is published is "
                "not known; materialize it again, which writes the file anew"
            ) from error

    def before(self, address: Address) -> Artifact | None:
        """Return the published version of the partition that comes before by name; None when there is none."""
        if address.partition is None:
            return None
        for partition in sorted(self._folders(f"{address.recipe}/{address.asset}"), reverse=True):
            if partition < address.partition and partition != "_":
                artifact = self.latest(replace(address, partition=partition))
                if artifact is not None:
                    return artifact
        return None

    def resolve(self, address: Address) -> Artifact:
        """Return the version that a stage may read. StoreError says why there is none: this is the read guard."""
        artifact = self.latest(address)
        if artifact is None:
            unpassed = self._folders(address.path)
            why = (
                f"its versions {unpassed} are not committed or did not pass their contract (see quality.json)"
                if unpassed
                else "it was never built"
            )
            raise StoreError(f"{address} cannot be read: {why}. Materialize it first.")
        return self._guarded(artifact)

    def open(self, pinned: Input) -> Artifact:
        """Return exactly the version that an input names, guarded like `resolve`."""
        artifact = self.find(Address(pinned.recipe, pinned.asset, pinned.partition), pinned.build_key)
        if artifact is None:
            raise StoreError(f"{pinned.recipe}/{pinned.asset} version {pinned.build_key} is not in {self.files.uri}")
        return self._guarded(artifact)

    def _guarded(self, artifact: Artifact) -> Artifact:
        verdict = self.verdict(artifact)
        if verdict is None or not verdict.accepted:
            state = "has no verdict" if verdict is None else "failed its contract"
            raise StoreError(
                f"{artifact.address} version {artifact.manifest.build_key} {state}; a stage reads only what passed. "
                f"Materialize it again, or look at {artifact.uri}/quality.json"
            )
        return artifact

    def _folders(self, path: str) -> list[str]:
        """Return the folders below one, without those that something else than the store made (.ipynb_checkpoints)."""
        return [name for name, is_folder in self.files.names(path) if is_folder and not name.startswith(".")]

    def recipes(self) -> list[str]:
        """Return the recipes that the store holds something of. StoreError when there is no store."""
        if not self.files.is_there():
            raise StoreError(f"there is no store at {self.files.uri}")
        return self._folders("")

    def addresses(self, recipe: str | None = None) -> Iterator[Address]:
        """Yield the addresses that there are folders of; what cannot be an address is no folder of the store's."""
        for one in [recipe] if recipe else self._folders(""):
            for asset in self._folders(one):
                for partition in self._folders(f"{one}/{asset}"):
                    with contextlib.suppress(ValueError):
                        yield Address(one, asset, None if partition == "_" else partition)

    def build_folders(self, recipe: str | None = None) -> Iterator[tuple[Address, str]]:
        """Yield (address, name) of every version's folder, committed or not."""
        for address in self.addresses(recipe):
            for name in self._folders(address.path):
                yield address, name

    def manifests(self, recipe: str | None = None) -> Iterator[tuple[Manifest, Verdict | None, bool]]:
        """Yield every committed version with its verdict and whether it is the published one."""
        with ThreadPoolExecutor(_READERS) as pool:  # thousands of small files, each a request where the store is on S3
            for found in pool.map(self._versions, self.addresses(recipe)):
                yield from found

    def _versions(self, address: Address) -> list[tuple[Manifest, Verdict | None, bool]]:
        published = self._published_key(address)
        artifacts = (self.find(address, build_key) for build_key in self._folders(address.path))
        return [
            (one.manifest, self.verdict(one), one.manifest.build_key == published)
            for one in artifacts
            if one is not None
        ]
