"""Writing one version of an artifact: its units, their receipts, and the commit.

    data/{stage}/{partition or _}/{build_key}/{table}-{unit}.parquet   the data
                                              unit-{unit}.json        receipt: this unit of work is done
                                              manifest.json           the commit mark, written last

Put here: the writing and the committing. Do not put here: reading and publishing (artifacts.py), or the processing of
records in a stage. A file is written as a draft and then given its name, and its bytes are on the disk before a receipt
lists it. A kill at any moment leaves either a version that is not committed (its units with receipts are not
repeated) or one that is. The manifest is swapped, not overwritten: of two processes that commit, the second sees the
first.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from spelangy_assets.store.errors import CommittedMeanwhile, StoreError
from spelangy_assets.store.files import Files
from spelangy_assets.store.fingerprint import Payload
from spelangy_assets.store.manifest import Counts, Input, Manifest, Receipt, Shard, data_version_of
from spelangy_assets.store.names import Address, DatasetName
from spelangy_assets.store.provenance import provenance
from spelangy_model.ahead import WriteBehind
from spelangy_model.cpu_time import cpu_seconds
from spelangy_model.records import schema_of, to_table

T = TypeVar("T")
OnUnits = Callable[[int, int], None]  # how many units are done, and of how many
Do = Callable[[Callable[[], None]], None]  # does a piece of work, now or later, in the order in which it was given

# Fixed, because a data version is a digest of these bytes: other options are other bytes for the same records.
_PARQUET = {"compression": "zstd", "compression_level": 3, "version": "2.6", "data_page_version": "1.0"}
_ROW_GROUP_ROWS = 1024
# A row group ends early when it holds this much sound: writers and readers of a shard hold one row group in memory.
_ROW_GROUP_AUDIO_BYTES = 64 << 20
_READERS = 8
_BLOCK_BYTES = 1 << 20

# What reading a JSON document raises that a kill tore: half a UTF-8 character is a ValueError as half a document is.
TORN = (ValueError, TypeError, KeyError, AttributeError)
MANIFEST = "manifest.json"
BROKEN = "broken.json"  # the reason why a version was set aside
USED = "used"  # its time is when the version was last read or published
_PLAIN_PATH = re.compile(
    r"(?!unit-\d+\.json$)(?!verdict-\w+\.json$)(?!(manifest-)?broken(-\d+)?\.json$)(?!_scratch/)"
    r"(?!.*(^|/)\.)[^/\\]+(/[^/\\]+)*"
)
_CONTROL_FILES = {MANIFEST, BROKEN, USED}


@dataclass(frozen=True)
class Identity:
    """What makes a version of an artifact, known before the work starts; its digest is the build key.

    `outside` is no part of it: the digests of the modules from outside of the package that make it.
    """

    stage: str
    stage_version: str
    config_fingerprint: str
    config: Payload
    inputs: list[Input]
    build_key: str
    outside: dict[str, str] = field(default_factory=dict)


def _at_once(work: Callable[[], None]) -> None:
    work()


@dataclass(frozen=True)
class Share:
    """The units of one of several processes that work on the same version: every `count`-th one, from `index` on."""

    index: int
    count: int

    def has(self, unit: int) -> bool:
        return unit % self.count == self.index


class _DraftStream:
    """The file of a shard, as Arrow's Parquet writer sees it: it counts and digests what is written.

    It does not know the writer: a writer that is reachable from its own stream is never freed, since the reference from
    the stream back to it is inside Arrow, where Python's garbage collector does not look.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False  # asked by Arrow

    def write(self, data: bytes) -> int:
        """Take bytes; those of a shard that was given up, such as a footer at the writer's end, are let go."""
        if not self.closed:
            self.digest.update(data)
            self.bytes += len(data)
            self._stream.write(data)
        return len(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """Called by Arrow, and when the shard is abandoned."""
        if not self.closed:
            self.closed = True
            self._stream.close()


class _ShardSink:
    """A Parquet shard that is being written in place, row group by row group."""

    def __init__(self, files: Files, folder: str, path: str, table: str, record: type):
        self._table, self._path, self._record = table, path, record
        self._rows = 0
        self._files, self._place = files, f"{folder}/{path}"
        self._draft = files.draft_of(self._place)
        self._stream = _DraftStream(files.open_output(self._draft))
        self._parquet = pq.ParquetWriter(pa.PythonFile(self._stream, mode="w"), schema_of(record), **_PARQUET)

    def append(self, records: list[Any] | pa.Table) -> None:
        table = to_table(records, self._record) if isinstance(records, list) else records
        self._parquet.write_table(table, row_group_size=_ROW_GROUP_ROWS)
        self._rows += table.num_rows

    def finish(self) -> Shard:
        """Write the remaining rows to the draft."""
        self._parquet.close()
        self._stream.close()
        return Shard(self._path, self._table, self._rows, self._stream.bytes, self._stream.digest.hexdigest())

    def put_in_place(self) -> None:
        self._files.put_in_place(self._draft, self._place)

    def give_up(self) -> None:
        self._stream.close()
        if self._draft != self._place:
            self._files.delete_file(self._draft)


class UnitWriter:
    """Takes what one unit of work gives. It counts once the `with` block has ended without an exception.

    Records are held until a row group of them is full, so that a unit may be larger than memory; files are held. `do`
    appends a full row group to its shard, at once or behind the caller.
    """

    def __init__(self, open_shard: Callable[[str], _ShardSink], do: Do) -> None:
        self._open_shard = open_shard
        self._do = do
        self._failed: BaseException | None = None
        self._sinks: dict[str, _ShardSink] = {}
        self._held: dict[str, list[Any]] = {}
        self._held_audio_bytes: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._files: dict[str, tuple[bytes, bool]] = {}
        self._dropped: dict[str, int] = {}
        self._stats: dict[str, float] = {}
        self._records_in = 0
        self._records_kept: int | None = None
        self._cpu_elsewhere_s = 0.0

    def took(self, cpu_seconds: float) -> None:
        """Count the time of a process that did work of this unit and is no child of this process."""
        self._cpu_elsewhere_s += cpu_seconds

    def write(self, table: str, records: Iterable[Any]) -> None:
        """Append records to one of the stage's tables."""
        self._open(table)
        for record in records:
            held = self._held[table]
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
        self._rows[table] += rows.num_rows
        self._do(lambda: self._append_now(table, rows))

    def _open(self, table: str) -> None:
        if table not in self._sinks:
            self._sinks[table] = self._open_shard(table)
            self._held[table], self._held_audio_bytes[table], self._rows[table] = [], 0, 0

    def _append(self, table: str) -> None:
        held, self._held[table] = self._held[table], []
        self._held_audio_bytes[table] = 0
        self._rows[table] += len(held)
        self._do(lambda: self._append_now(table, held))

    def _append_now(self, table: str, rows: list[Any] | pa.Table) -> None:
        if self._failed is None:  # after a failure the shard has a hole, whatever follows
            try:
                self._sinks[table].append(rows)
            except BaseException as error:
                self._failed = error
                raise

    def _finish(self, tables: Iterable[str]) -> list[Shard]:
        """Write the rows still in memory and return the shard of each table, empty ones too."""
        for table in tables:
            self._open(table)
            if self._held[table] or not self._rows[table]:
                self._append_now(table, self._held[table])
                self._rows[table] += len(self._held[table])
        if self._failed is not None:
            raise self._failed
        return [self._sinks[table].finish() for table in tables]

    def _put_in_place(self) -> None:
        for sink in self._sinks.values():
            sink.put_in_place()
        self._sinks.clear()

    def _give_up(self) -> None:
        """Delete the drafts that are not in place."""
        for sink in self._sinks.values():
            sink.give_up()
        self._sinks.clear()

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
        """Add to a summed quantity; its name has its unit (hours_kept, speech_tokens)."""
        self._stats[stat] = self._stats.get(stat, 0.0) + amount


class ArtifactWriter:
    """Writes one version of an artifact, unit by unit, and commits it."""

    def __init__(
        self,
        files: Files,
        name: DatasetName,
        identity: Identity,
        tables: dict[str, type],
        cache_dir: Path,
        share: Share | None = None,
        on_units: OnUnits | None = None,
    ):
        self._files = files
        self._name = name
        self._on_units = on_units
        self._units = 0  # the number of units to do here; 0 while it is not known
        self._address = address = Address(identity.stage, name.partition)
        self._identity = identity
        self._share = share
        self._tables = tables
        self._cache_dir = cache_dir
        self.path = f"{address.path}/{identity.build_key}"
        self._receipts = self._read_receipts()
        self._behind: WriteBehind | None = None
        self._measured_to = (0.0, 0.0)  # wall and CPU seconds up to which receipts account for

    def _read_receipts(self) -> dict[int, Receipt]:
        receipts = {}
        for name, is_folder in self._files.names(self.path):
            if is_folder or not (name.startswith("unit-") and name.endswith(".json")):
                continue
            try:
                receipt = Receipt.from_json(self._files.read(f"{self.path}/{name}"))
            except TORN:
                continue  # the unit is done again
            if receipt.build_key != self._identity.build_key:
                continue
            if self._share is not None and not self._share.has(receipt.unit):
                receipts[receipt.unit] = receipt  # the process of that share checks its files
            elif self._is_whole(receipt):
                receipts[receipt.unit] = receipt
        return receipts

    def _is_whole(self, receipt: Receipt) -> bool:
        """Whether the files of a unit are there with the bytes that its receipt records.

        All of them are read: a power cut may leave a file of the right length without its bytes.
        """
        shards = receipt.shards + receipt.attachments
        return not (missing_files(self._files, self.path, shards) or damaged_files(self._files, self.path, shards))

    @property
    def inputs(self) -> list[Input]:
        """The inputs at the versions that this build reads."""
        return self._identity.inputs

    @property
    def title(self) -> str:
        """The name of this build for people: the dataset's and the build key, by which the store finds it."""
        return f"{self._name.dataset}-{self._identity.build_key}"

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

    def pending(self, items: Iterable[T], first: int = 0) -> Iterator[tuple[int, T]]:
        """Number the items from `first` and yield those whose unit is not done yet: the whole of resuming.

        With a share, those of the share alone.
        """
        if isinstance(items, Sized):
            self._units = sum(self._mine(unit) for unit in range(first + len(items)))
            self._report_units()
        for unit, item in enumerate(items, first):
            if not self.done(unit) and self._mine(unit):
                yield unit, item

    def _mine(self, unit: int) -> bool:
        return self._share is None or self._share.has(unit)

    def _report_units(self) -> None:
        if self._on_units is not None and self._units:
            self._on_units(sum(map(self._mine, list(self._receipts))), self._units)

    @contextmanager
    def unit(self, unit: int, *, behind: bool = False) -> Iterator[UnitWriter]:
        """Do one unit of work: its tables and files are written at the end of the block, its receipt last.

        With `behind`, a thread encodes and writes full row groups while the block continues, and ends the unit after
        it: a stage whose model works on a GPU does not wait for the files. An error of it is raised by a later unit,
        or by `wait`.

        CommittedMeanwhile when the whole version is there already, StoreError when it holds other data than this one.
        """
        self._look_for_a_commit()
        if behind:
            self._behind = self._behind or WriteBehind()
        do: Do = self._behind.do if self._behind else _at_once
        started = (time.perf_counter(), cpu_seconds())
        writer = UnitWriter(lambda table: self._open_shard(unit, table), do)
        try:
            yield writer
            do(lambda: self._end(unit, writer, started))
        except BaseException as error:
            if self._behind:
                self._behind.settle()
            self._give_up(writer, error)
            raise

    def wait(self) -> None:
        """Return when all units whose block has ended are written, with their receipts; raise what failed."""
        if self._behind:
            self._behind.wait()

    def close(self) -> None:
        """Write what is under way and end the thread that writes; the errors of it do not matter any more."""
        if self._behind:
            self._behind.close()
            self._behind = None

    def _give_up(self, writer: UnitWriter, error: BaseException) -> None:
        writer._give_up()  # its partial shards have no receipt, so they do not count
        if isinstance(error, FileNotFoundError):
            self._look_for_a_commit()  # which took the drafts away

    def _end(self, unit: int, writer: UnitWriter, started: tuple[float, float]) -> None:
        """Write the rest of a unit and its receipt."""
        try:
            # A committed file is never overwritten. On S3 it would be as soon as its shard is finished.
            if not self._files.is_local:
                self._look_for_a_commit()
            shards = writer._finish(self._tables)
            if self._files.is_local:
                self._look_for_a_commit()
            writer._put_in_place()
        except BaseException as error:
            self._give_up(writer, error)
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
        begun, now = self._measured_to, (time.perf_counter(), cpu_seconds())
        self._measured_to = now  # what ended behind a later unit's start is not counted twice
        receipt = Receipt(
            build_key=self._identity.build_key,
            unit=unit,
            shards=shards,
            attachments=attachments,
            counts=Counts(writer._records_in, kept, writer._dropped, writer._stats),
            seconds=round(now[0] - max(started[0], begun[0]), 3),
            cpu_seconds=round(now[1] - max(started[1], begun[1]) + writer._cpu_elsewhere_s, 3),
        )
        self._files.sync(self.path)
        self._files.replace(f"{self.path}/unit-{unit:05d}.json", receipt.to_json())
        self._receipts[unit] = receipt
        self._report_units()

    def _open_shard(self, unit: int, table: str) -> _ShardSink:
        if table not in self._tables:
            raise ValueError(f"{self._address}: table {table!r} is not declared in the stage's TABLES")
        return _ShardSink(self._files, self.path, f"{table}-{unit:05d}.parquet", table, self._tables[table])

    def _write_bytes(self, path: str, table: str, rows: int, data: bytes) -> Shard:
        place = f"{self.path}/{path}"
        draft = self._files.draft_of(place)
        self._files.write(draft, data)
        self._files.put_in_place(draft, place)
        if "/" in path:
            self._files.sync(place.rpartition("/")[0])
        return Shard(path, table, rows, len(data), hashlib.sha256(data).hexdigest())

    def _look_for_a_commit(self) -> None:
        """Raise CommittedMeanwhile when the whole version is there already, StoreError when it holds other data."""
        text = self._files.read_if_there(f"{self.path}/{MANIFEST}")
        theirs = manifest_of(text, self._address, self._identity.build_key)
        if theirs is not None:
            self._compare(theirs)
            raise CommittedMeanwhile(
                f"{self._address} version {self._identity.build_key} is committed by another process"
            )

    def _delete_drafts(self) -> None:
        """Delete the drafts that a kill left."""
        folders = {"", *(shard.path.rpartition("/")[0] for r in self._receipts.values() for shard in r.shards)}
        for folder in folders:
            path = f"{self.path}/{folder}".rstrip("/")
            for name, is_folder in self._files.names(path):
                if not is_folder and name.startswith(".") and name.endswith(".draft"):
                    self._files.delete_file(f"{path}/{name}")

    def _compare(self, theirs: Manifest) -> None:
        """Raise StoreError when this writer wrote other bytes than the committed version has."""
        committed = {shard.path: shard.sha256 for shard in theirs.shards}
        mine = [shard for receipt in list(self._receipts.values()) for shard in receipt.shards]
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
        self.wait()
        if self._tables and not self._receipts:
            with self.unit(0):  # nothing came in: the tables are there all the same, with their columns and no rows
                pass
        units = sorted(self._receipts)
        if units != list(range(len(units))):
            raise ValueError(f"{self._address}: units {units} are not consecutive; a unit was skipped")
        receipts = [self._receipts[unit] for unit in units]
        shards = [shard for receipt in receipts for shard in receipt.shards]
        attachments = [shard for receipt in receipts for shard in receipt.attachments]
        if lost := missing_files(self._files, self.path, shards + attachments):
            raise StoreError(
                f"{self._address}: {len(lost)} files that this build wrote are not there any more, {lost[0]} first; "
                "run it again: it makes them anew and keeps the rest"
            )
        identity = self._identity
        manifest = Manifest(
            stage=identity.stage,
            partition=self._address.partition,
            build_key=identity.build_key,
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
            recipe=self._name.recipe,
            dataset=self._name.dataset,
            outside=identity.outside,
        )
        shutil.rmtree(self.scratch, ignore_errors=True)  # before the mark, so that no kill leaves it for ever
        path = f"{self.path}/{MANIFEST}"
        while True:
            found = self._files.read_if_there(path)
            theirs = manifest_of(found, self._address, identity.build_key)
            if theirs is not None:
                self._compare(theirs)
                return theirs
            if self._files.swap(path, manifest.to_json(), found):
                self._delete_drafts()
                return manifest


def missing_files(files: Files, folder: str, shards: Sequence[Shard]) -> list[str]:
    """Return the paths of files that are missing or whose length differs from their record."""
    found = files.sizes([f"{folder}/{shard.path}" for shard in shards])
    return [shard.path for shard, size in zip(shards, found, strict=True) if size != shard.bytes]


def manifest_of(text: bytes | None, address: Address, build_key: str) -> Manifest | None:
    """Return the manifest of a version; None when the text is none, torn, or a copy of another version's."""
    if text is None:
        return None
    try:
        manifest = Manifest.from_json(text)
    except TORN:
        return None  # or of another format: not a commit mark
    found = (manifest.stage, manifest.partition, manifest.build_key)
    return manifest if found == (address.stage, address.partition, build_key) else None


def digest_of_file(files: Files, path: str) -> str:
    """Return the SHA-256 of a file's bytes, reading a block at a time; empty when it is not there."""
    digest = hashlib.sha256()
    try:
        with files.open_input(path) as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def damaged_files(files: Files, folder: str, shards: Sequence[Shard]) -> list[str]:
    """Return the paths of files that are missing or whose bytes differ from their record; reads all bytes."""
    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(lambda shard: digest_of_file(files, f"{folder}/{shard.path}"), shards))
    return [shard.path for shard, digest in zip(shards, found, strict=True) if digest != shard.sha256]
