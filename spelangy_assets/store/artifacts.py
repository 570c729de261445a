"""The artifact store: versions of datasets, committed once, found again, never changed, and shared by recipes.

    {root}/data/{stage}/{partition or _}/{build_key}/    the files of a version and manifest.json (writer.py)
                                                         verdict-{contract}.json, what a contract says of it
    {root}/recipes/{recipe}/{dataset}/{partition or _}.json   the version that a recipe's dataset stands at
    {root}/forgotten.json, {root}/leases/                (forgotten.py, leases.py)
    {root}/layout.json                                   marks this layout

Put here: finding, reading, judging, publishing. Do not put here: writing (writer.py), what a contract asks, or Dagster.
A version has no recipe: every request for the same stage, config and inputs finds it. What a recipe makes of it, its
publication, is the recipe's own: the drift from its own publication before, and whether a person overruled the
contract. Verdicts and publications are swapped, not overwritten: of two processes that write one of them, the second
sees the first.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from spelangy_assets.store.errors import CommittedMeanwhile, Damaged, PublishedMeanwhile, StoreError
from spelangy_assets.store.files import Files
from spelangy_assets.store.leases import lease
from spelangy_assets.store.manifest import Expectation, Input, Manifest, Overrule, Publication, Standing, Verdict
from spelangy_assets.store.names import DATA, RECIPES, Address, DatasetName
from spelangy_assets.store.s3_objects import S3Options
from spelangy_assets.store.writer import (
    BROKEN,
    MANIFEST,
    TORN,
    USED,
    ArtifactWriter,
    Identity,
    OnUnits,
    Share,
    UnitWriter,
    damaged_files,
    digest_of_file,
    manifest_of,
    missing_files,
)
from spelangy_model.records import from_table, schema_of

__all__ = [
    "Address",
    "Artifact",
    "ArtifactStore",
    "ArtifactWriter",
    "CommittedMeanwhile",
    "Damaged",
    "DatasetName",
    "Identity",
    "Mark",
    "PublishedMeanwhile",
    "ShardFile",
    "Share",
    "StoreError",
    "UnitWriter",
]

T = TypeVar("T")

_READERS = 16
LAYOUT_FILE = "layout.json"
_LAYOUT = b'{"layout": 2}'
_USED_AT_MOST_EVERY = datetime.timedelta(days=1)
_known_layouts: set[str] = set()  # roots that were looked at, or marked, by this process
_verified: set[tuple[str, int, int]] = set()  # files on disk with the bytes that their manifest says: path, size, time


@dataclass(frozen=True)
class Mark:
    """What a publication's file held at a moment; `text` is None where there was none."""

    text: bytes | None


@dataclass(frozen=True)
class ShardFile:
    """One Parquet shard of an artifact, read lazily."""

    files: Files
    path: str
    rows: int

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.files.filesystem.open_input_file(self.files.full(self.path)))
        except (pa.ArrowInvalid, FileNotFoundError) as error:
            folder = self.path.rpartition("/")[0]
            raise Damaged(
                f"{self.files.uri}/{self.path} cannot be read ({error}); `verify --repair` sets its version aside, "
                "and the next run makes it again",
                folder,
                folder.rpartition("/")[2],
            ) from error

    def schema(self) -> pa.Schema:
        with self._open() as parquet:
            return parquet.schema_arrow

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        with self._open() as parquet:
            return parquet.read(columns=list(columns) if columns else None)

    def records(self, record: type[T]) -> list[T]:
        return from_table(self.table(), record)

    def batches(self, columns: Sequence[str] | None = None, batch_rows: int = 64) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, at most `batch_rows` of them at once; no batch has rows of two row groups.

        Row group by row group: asked for all at once, Arrow reads ahead, and holds a whole shard with its sound.
        """
        names = list(columns) if columns else None
        with self._open() as parquet:
            for group in range(parquet.num_row_groups):
                yield from parquet.iter_batches(batch_size=batch_rows, row_groups=[group], columns=names)

    def slice(self, start: int, stop: int) -> pa.Table:
        """Return the rows `start` to `stop`, without `stop`; reads the row groups that hold them."""
        with self._open() as parquet:
            begin, wanted = 0, []
            for group in range(parquet.num_row_groups):
                end = begin + parquet.metadata.row_group(group).num_rows
                if begin < stop and end > start:
                    wanted.append((group, begin))
                begin = end
            if not wanted:
                return parquet.schema_arrow.empty_table()
            found = parquet.read_row_groups([group for group, _ in wanted])
            return found.slice(start - wanted[0][1], stop - start)

    def iter_records(self, record: type[T], batch_rows: int = 64) -> Iterator[T]:
        """Yield records in order, holding `batch_rows` of them in memory; reads the record's columns alone."""
        for batch in self.batches(schema_of(record).names, batch_rows):
            yield from from_table(batch, record)

    def chosen_records(self, record: type[T], column: str, values: Collection[str]) -> Iterator[T]:
        """Yield the records whose `column` is one of `values`, in order; no other becomes a record.

        Holds a row group in memory, and reads only those that hold one of the values.
        """
        names = schema_of(record).names
        with self._open() as parquet:
            for group in range(parquet.num_row_groups):
                there = parquet.read_row_group(group, [column]).column(column).to_pylist()
                found = [value in values for value in there]
                if any(found):
                    yield from from_table(parquet.read_row_group(group, names).filter(pa.array(found)), record)


@dataclass(frozen=True)
class Artifact:
    """A committed version of a dataset.

    `name` is what the recipe that reads it calls it, or else for what it was first made.
    """

    files: Files
    address: Address
    manifest: Manifest
    name: DatasetName = field(compare=False)

    @property
    def path(self) -> str:
        return f"{self.address.path}/{self.manifest.build_key}"

    @property
    def uri(self) -> str:
        return f"{self.files.uri}/{self.path}"

    @property
    def data_version(self) -> str:
        return self.manifest.data_version

    @property
    def made_for(self) -> DatasetName:
        """The dataset for which the version was first made."""
        return DatasetName(self.manifest.recipe, self.manifest.dataset, self.manifest.partition)

    def as_input(self, role: str) -> Input:
        manifest = self.manifest
        return Input(
            role,
            manifest.stage,
            manifest.partition,
            manifest.build_key,
            manifest.data_version,
            self.name.dataset,
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
        """Return a folder on disk with the artifact's files: the artifact itself, or a copy when it is on S3.

        What is no shard (a model's weights and its settings) has the bytes that the manifest says, or Damaged is
        raised: such a file is used whole, and nothing else would notice a changed bit in it.
        """
        if self.files.is_local:
            folder = self.files.local(self.path)
        else:
            folder = cache_dir / "artifacts" / self.path
            for shard in self.manifest.shards + self.manifest.attachments:
                if not (folder / shard.path).exists():
                    self._copy(folder, shard.path)
        for shard in self.manifest.shards:
            if not shard.table and not _has_bytes(folder, shard.path, shard.sha256):
                if self.files.is_local:
                    raise self._damaged(shard.path)
                self._copy(folder, shard.path)  # the copy may be damaged, and the store not
                if not _has_bytes(folder, shard.path, shard.sha256):
                    raise self._damaged(shard.path)
        return folder

    def _copy(self, folder: Path, path: str) -> None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(target.name + ".part")
        draft.write_bytes(self.read_file(path))
        draft.replace(target)

    def _damaged(self, path: str) -> Damaged:
        return Damaged(
            f"{self.uri}/{path} has other bytes than its manifest says; `verify --repair` sets its version aside, and "
            "the next run makes it again",
            self.path,
            self.manifest.build_key,
        )


def _has_bytes(folder: Path, path: str, sha256: str) -> bool:
    """Whether a file on disk is there with bytes of a digest; each state of a file is read once by this process."""
    file = folder / path
    try:
        found = file.stat()
    except FileNotFoundError:
        return False
    known = (str(file), found.st_size, found.st_mtime_ns)
    if known not in _verified:
        if digest_of_file(Files(folder), path) != sha256:
            return False
        _verified.add(known)
    return True


class ArtifactStore:
    """All artifacts below one root."""

    def __init__(self, root: str | Path, cache_dir: Path, s3: S3Options | None = None):
        self.root, self._files = str(root), Files(root, s3)
        self._cache_dir = cache_dir

    @property
    def files(self) -> Files:
        """The files below the root. StoreError when a store of another layout is there."""
        files = self._files
        if self.root not in _known_layouts:
            found = files.read_if_there(LAYOUT_FILE)
            folders = [] if found is not None else [n for n, is_folder in files.names("") if is_folder and n[0] != "."]
            if found not in (None, _LAYOUT) or folders:
                raise StoreError(
                    f"{files.uri} holds a store of another layout, or something else: name another SPELANGY_STORE; "
                    "nothing there was moved or deleted"
                )
            if found is not None:
                _known_layouts.add(self.root)
        return files

    @property
    def cache_dir(self) -> Path:
        """Where files of a store on S3 are copied to before a library reads them from the disk."""
        return self._cache_dir

    def _begin(self) -> None:
        """Mark the layout before the first file is written."""
        files = self.files
        if self.root not in _known_layouts:
            files.replace(LAYOUT_FILE, _LAYOUT)
            _known_layouts.add(self.root)

    # --- versions ---

    def find(self, address: Address, build_key: str, name: DatasetName | None = None) -> Artifact | None:
        """Return a committed version, whatever the verdicts on it; None when it is not committed.

        `name` is the caller's name for it.
        """
        text = self.files.read_if_there(f"{address.path}/{build_key}/{MANIFEST}")
        manifest = manifest_of(text, address, build_key)
        if manifest is None:
            return None
        try:
            made_for = DatasetName(manifest.recipe, manifest.dataset, manifest.partition)
        except ValueError:
            return None  # altered by hand
        return Artifact(self.files, address, manifest, name or made_for)

    def writer(
        self,
        name: DatasetName,
        identity: Identity,
        tables: dict[str, type],
        share: Share | None = None,
        on_units: OnUnits | None = None,
    ) -> ArtifactWriter:
        """Return what writes a version; with a share it does that share's units, and another writer commits.

        `on_units` is called as units are done.
        """
        self._begin()
        return ArtifactWriter(self.files, name, identity, tables, self._cache_dir, share, on_units)

    def lease(self, build: str, held: Iterable[tuple[Address, str]]) -> AbstractContextManager[None]:
        """Hold versions against the garbage collector while a block runs; `build` says in words what works on them."""
        self._begin()
        return lease(self.files, build, [(address.path, build_key) for address, build_key in held])

    def use(self, artifact: Artifact) -> None:
        """Note that a version is in use: the garbage collector counts its age from then. Written once a day."""
        path = f"{artifact.path}/{USED}"
        now = datetime.datetime.now(datetime.UTC)
        used_at = self.files.changed_at(path)
        if used_at is None or now - used_at > _USED_AT_MOST_EVERY:
            self.files.touch(path)

    def missing_files(self, artifact: Artifact) -> list[str]:
        """Return the files of a committed version that are not there, or not in the length that its manifest says."""
        manifest = artifact.manifest
        return missing_files(self.files, artifact.path, [*manifest.shards, *manifest.attachments])

    def damaged_files(self, artifact: Artifact) -> list[str]:
        """Return the files of a committed version whose bytes are not those of its manifest; all of them are read."""
        manifest = artifact.manifest
        return damaged_files(self.files, artifact.path, [*manifest.shards, *manifest.attachments])

    def set_aside(self, artifact: Artifact, reason: str) -> str:
        """Take a broken version out of use, with the reason, so that the next run makes it again; return where it is.

        On disk its folder is renamed. On S3, where that is a copy of everything, its commit mark is kept beside it
        under another name; the units that are whole are not repeated.
        """
        files, key = self.files, artifact.manifest.build_key
        mark = json.dumps({"reason": reason, "at": _now()}, indent=1, ensure_ascii=False).encode()
        if files.is_local:
            numbers = itertools.count(1)
            place = next(
                place
                for place in (f"{artifact.address.path}/{key}.broken-{number}" for number in numbers)
                if not files.local(place).exists()
            )
            files.replace(f"{artifact.path}/{BROKEN}", mark)
            files.local(artifact.path).rename(files.local(place))
            return place
        taken = {name for name, _ in files.names(artifact.path)}
        number = next(number for number in itertools.count(1) if f"broken-{number}.json" not in taken)
        files.replace(f"{artifact.path}/manifest-broken-{number}.json", artifact.manifest.to_json())
        files.replace(f"{artifact.path}/broken-{number}.json", mark)
        verdicts = [name for name in taken if name.startswith("verdict-")]
        for name in (*verdicts, MANIFEST):
            files.delete_file(f"{artifact.path}/{name}")
        return f"{artifact.path}/broken-{number}.json"

    def why_set_aside(self, address: Address, build_key: str) -> str:
        """Return the reason why a version was set aside last; empty when it was not."""
        if self.files.is_local:
            found = [name for name in self._folders(address.path) if name.startswith(f"{build_key}.broken-")]
            paths = [f"{address.path}/{name}/{BROKEN}" for name in found]
        else:
            found = [name for name, _ in self.files.names(f"{address.path}/{build_key}") if name.startswith("broken-")]
            paths = [f"{address.path}/{build_key}/{name}" for name in found]
        for path in sorted(paths, key=lambda one: (len(one), one), reverse=True):
            try:
                return str(json.loads(self.files.read_if_there(path) or b"{}")["reason"])
            except TORN:
                continue
        return ""

    def addresses(self) -> Iterator[Address]:
        """Yield the addresses that there are folders of; what cannot be an address is no folder of the store's."""
        for stage in self._folders(DATA):
            for folder in self._folders(f"{DATA}/{stage}"):
                with contextlib.suppress(ValueError):
                    yield Address.of(stage, folder)

    def build_folders(self) -> Iterator[tuple[Address, str]]:
        """Yield (address, name) of every version's folder, committed or not."""
        for address in self.addresses():
            for name in self._folders(address.path):
                yield address, name

    def versions(self) -> Iterator[Artifact]:
        """Yield every committed version."""
        with ThreadPoolExecutor(_READERS) as pool:  # thousands of small files, each a request where the store is on S3
            for found in pool.map(lambda one: self.find(*one), self.build_folders()):
                if found is not None:
                    yield found

    def _folders(self, path: str) -> list[str]:
        """Return the folders below one, without those that something else than the store made (.ipynb_checkpoints)."""
        return [name for name, is_folder in self.files.names(path) if is_folder and not name.startswith(".")]

    # --- verdicts ---

    def measured(self, artifact: Artifact, contract: str) -> Verdict | None:
        """Return what a contract, by its fingerprint, says of a version; None when it was not asked yet."""
        found = _verdict(self.files.read_if_there(f"{artifact.path}/{_verdict_file(contract)}"))
        return found if found is not None and found.contract_fingerprint == contract else None

    def verdicts(self, artifact: Artifact) -> list[Verdict]:
        """Return what all contracts said of a version, the last asked last."""
        names = [name for name, _ in self.files.names(artifact.path) if name.startswith("verdict-")]
        found = [_verdict(self.files.read_if_there(f"{artifact.path}/{name}")) for name in names]
        return sorted((one for one in found if one is not None), key=lambda one: one.evaluated_at)

    def record_verdict(self, artifact: Artifact, verdict: Verdict) -> Verdict:
        """Write what a contract says of a version beside it, and return it; what another process wrote first stays."""
        path = f"{artifact.path}/{_verdict_file(verdict.contract_fingerprint)}"
        while True:
            text = self.files.read_if_there(path)
            found = _verdict(text)
            if found is not None and found.contract_fingerprint == verdict.contract_fingerprint:
                return found
            if self.files.swap(path, verdict.to_json(), text):
                return verdict

    # --- publications ---

    def mark(self, name: DatasetName) -> Mark:
        """Return what is published now, for a later `judge` over it."""
        return Mark(self.files.read_if_there(name.path))

    def publication(self, name: DatasetName) -> Publication | None:
        """Return how a dataset stands; None where nothing was judged yet. StoreError when that cannot be read."""
        text = self.files.read_if_there(name.path)
        if text is None:
            return None
        try:
            return Publication.from_json(text)
        except TORN as error:
            raise StoreError(
                f"{self.files.uri}/{name.path} cannot be read, so what of {name} is published is not known; "
                "materialize it again, which writes the file anew"
            ) from error

    def publications(self, recipe: str | None = None) -> list[tuple[DatasetName, Publication]]:
        """Return how all datasets stand, of one recipe or of all. StoreError when one of them cannot be read."""
        names = []
        for one in self._folders(RECIPES) if recipe is None else [DatasetName(recipe, "any").recipe]:
            for dataset in self._folders(f"{RECIPES}/{one}"):
                for file, is_folder in self.files.names(f"{RECIPES}/{one}/{dataset}"):
                    if not is_folder and file.endswith(".json") and not file.startswith("."):
                        with contextlib.suppress(ValueError):
                            names.append(DatasetName.of(one, dataset, file))
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(self.publication, names))
        return [(name, one) for name, one in zip(names, found, strict=True) if one is not None]

    def published(self, recipe: str | None = None) -> Iterator[Artifact]:
        """Yield the published versions, of one recipe or of all, each under its name there."""
        stands = [(name, one.published) for name, one in self.publications(recipe) if one.published is not None]
        with ThreadPoolExecutor(_READERS) as pool:
            for found in pool.map(lambda one: self._at(*one), stands):
                if found is not None:
                    yield found

    def recipes(self) -> list[str]:
        """Return the recipes that published something. StoreError when there is no store."""
        if not self._files.is_there():
            raise StoreError(f"there is no store at {self._files.uri}")
        return self._folders(RECIPES)

    def _at(self, name: DatasetName, standing: Standing) -> Artifact | None:
        return self.find(Address(standing.stage, name.partition), standing.build_key, name)

    def standing(self, name: DatasetName) -> Publication:
        """Return how a dataset stands; nothing where that cannot be read: then it is judged and written anew."""
        try:
            return self.publication(name) or Publication()
        except StoreError:
            return Publication()

    def standing_verdict(self, name: DatasetName, artifact: Artifact, contract: str) -> Verdict | None:
        """Return the verdict of a contract on a version as it stands in a recipe, with its drift there and whether a
        person overruled it there; None when the contract was not asked yet."""
        verdict = self.measured(artifact, contract)
        if verdict is None:
            return None
        record = self.standing(name)
        for standing in (record.published, record.failed):
            if standing is not None and standing.contract == contract and standing.version == _version(artifact):
                return _standing_verdict(verdict, standing)
        return verdict

    def is_judged_by(self, name: DatasetName, contract: str) -> bool:
        """Whether what is published was judged last by this contract."""
        published = self.standing(name).published
        return published is not None and published.contract == contract

    def judge(
        self,
        name: DatasetName,
        artifact: Artifact,
        verdict: Verdict,
        drift: Sequence[Expectation] = (),
        over: Mark | None = None,
    ) -> Verdict:
        """Record a contract's verdict and return the one that stands: where a person overruled it in this recipe,
        theirs does.

        A pass publishes the version under the name: over whatever is published, or only over what was at the mark. A
        failure leaves the last good one published. PublishedMeanwhile when another version than that at the mark is
        published: the inputs may be others by now, resolve them again.
        """
        self._begin()
        verdict = self.record_verdict(artifact, verdict)
        while True:
            text = self.files.read_if_there(name.path)
            record = _publication(text)
            same = [
                one
                for one in (record.published, record.failed)
                if one is not None
                and one.version == _version(artifact)
                and one.contract == verdict.contract_fingerprint
            ]
            standing = Standing(
                stage=artifact.manifest.stage,
                build_key=artifact.manifest.build_key,
                data_version=artifact.data_version,
                contract=verdict.contract_fingerprint,
                since=_now(),
                drift=list(drift),
                overruled=next((one.overruled for one in same if one.overruled), None),
            )
            stands = _standing_verdict(verdict, standing)
            published = record.published
            if published is not None and published.version == standing.version:
                standing = replace(standing, since=published.since)
            if not stands.accepted:
                if published is not None and published.version == standing.version:
                    published = standing  # what is published is judged by another contract now, and is read no more
                wanted = replace(record, published=published, failed=standing)
            elif over is None or _publishes(record) in (_publishes(_publication(over.text)), standing.version):
                wanted = Publication(published=standing)
            else:
                raise PublishedMeanwhile(
                    f"{name}: another version than {artifact.manifest.build_key} was published meanwhile"
                )
            if self.files.swap(name.path, wanted.to_json(), text):
                return stands

    def overrule(self, name: DatasetName, by: str, reason: str) -> Artifact:
        """Accept the newest version that failed its contract in a recipe, in the name of a person and for this recipe
        alone; the publication keeps the trace.

        StoreError when no version of the dataset failed, ValueError without a name or a reason.
        """
        if not by.strip() or not reason.strip():
            raise ValueError("a verdict is overruled by a person, for a reason: name both")
        while True:
            text = self.files.read_if_there(name.path)
            failed = _publication(text).failed
            artifact = None if failed is None else self._at(name, failed)
            if failed is None or artifact is None:
                raise StoreError(f"{name} has no version that failed its contract")
            standing = replace(failed, overruled=Overrule(by.strip(), reason.strip(), _now()), since=_now())
            if self.files.swap(name.path, Publication(published=standing).to_json(), text):
                return artifact

    def withdraw(self, name: DatasetName, build_key: str, reason: str) -> None:
        """Take a version out of publication, if it is the published one; it stays in the store."""
        while True:
            text = self.files.read_if_there(name.path)
            published = _publication(text).published
            if published is None or published.build_key != build_key:
                return
            if self.files.swap(name.path, Publication(withdrawn=reason).to_json(), text):
                return

    def retire(self, recipe: str) -> int:
        """Withdraw all publications of a recipe and return how many there were. StoreError for one that there is not.

        The versions stay until the garbage collector finds that no other recipe needs them.
        """
        name = DatasetName(recipe, "any").recipe
        there = self.recipes()
        if name not in there:
            raise StoreError(f"no recipe {recipe!r} in {self.files.uri}; there are {', '.join(there) or 'none'}")
        count = sum(one.published is not None for _, one in self.publications(recipe))
        self.files.delete(f"{RECIPES}/{name}")
        return count

    def latest(self, name: DatasetName) -> Artifact | None:
        """Return the published version; None when nothing has passed yet."""
        published = self.standing(name).published
        return None if published is None else self._at(name, published)

    def before(self, name: DatasetName) -> Artifact | None:
        """Return the recipe's published version of the partition that comes before by name; None when there is none."""
        if name.partition is None:
            return None
        files = [
            file for file, is_folder in self.files.names(f"{RECIPES}/{name.recipe}/{name.dataset}") if not is_folder
        ]
        partitions = [file.removesuffix(".json") for file in files if file.endswith(".json") and file[0] not in "._"]
        for partition in sorted(partitions, reverse=True):
            if partition < name.partition:
                artifact = self.latest(replace(name, partition=partition))
                if artifact is not None:
                    return artifact
        return None

    # --- the read guard ---

    def resolve(self, name: DatasetName) -> Artifact:
        """Return the version that a stage may read. StoreError says why there is none: this is the read guard."""
        record = self.standing(name)
        published = record.published
        if published is None:
            why = "it was never built, or what was built is not committed or not judged"
            if record.failed is not None:
                why = f"its version {record.failed.build_key} did not pass its contract"
            if record.withdrawn:
                why = f"it was withdrawn: {record.withdrawn}"
            raise StoreError(f"{name} cannot be read: {why}. Materialize it first.")
        artifact = self._at(name, published)
        if artifact is None:
            raise StoreError(
                f"{name} cannot be read: its version {published.build_key} is not committed, or not in "
                f"{self.files.uri}. Materialize it first."
            )
        return self._guarded(artifact, published)

    def open(self, pinned: Input, recipe: str | None = None) -> Artifact:
        """Return exactly the version that an input names, guarded like `resolve`.

        In a recipe in which that version stands, its standing there decides; elsewhere a pass of any contract does.
        """
        name = DatasetName(recipe, pinned.name, pinned.partition) if recipe and pinned.name else None
        artifact = self.find(Address(pinned.stage, pinned.partition), pinned.build_key, name)
        if artifact is None:
            raise StoreError(f"{name or pinned.stage} version {pinned.build_key} is not in {self.files.uri}")
        if name is not None:
            record = self.standing(name)
            for standing in (record.published, record.failed):
                if standing is not None and standing.version == _version(artifact):
                    return self._guarded(artifact, standing)
        verdicts = self.verdicts(artifact)
        if any(one.passed for one in verdicts):
            return artifact
        raise _unreadable(artifact, verdicts[-1] if verdicts else None)

    def _guarded(self, artifact: Artifact, standing: Standing) -> Artifact:
        verdict = self.measured(artifact, standing.contract)
        if verdict is None or not _standing_verdict(verdict, standing).accepted:
            raise _unreadable(artifact, verdict)
        return artifact


def _unreadable(artifact: Artifact, verdict: Verdict | None) -> StoreError:
    state = "has no verdict" if verdict is None else "failed its contract"
    return StoreError(
        f"{artifact.name} version {artifact.manifest.build_key} {state}; a stage reads only what passed. "
        f"Materialize it again, or look at the verdicts in {artifact.uri}"
    )


def _version(artifact: Artifact) -> tuple[str, str]:
    return artifact.manifest.stage, artifact.manifest.build_key


def _publishes(record: Publication) -> tuple[str, str] | None:
    return record.published.version if record.published is not None else None


def _standing_verdict(verdict: Verdict, standing: Standing) -> Verdict:
    """Return a contract's verdict with what a recipe adds to it; a drift that cannot be measured blocks."""
    if not standing.drift and standing.overruled == verdict.overruled:
        return verdict
    return replace(
        verdict,
        passed=verdict.passed and not any(item.error for item in standing.drift),
        expectations=[*verdict.expectations, *standing.drift],
        overruled=standing.overruled,
    )


def _publication(text: bytes | None) -> Publication:
    """Return how a dataset stands; nothing where the text is torn."""
    if text is None:
        return Publication()
    try:
        return Publication.from_json(text)
    except TORN:
        return Publication()


def _verdict_file(contract: str) -> str:
    return f"verdict-{contract[:16]}.json"


def _verdict(text: bytes | None) -> Verdict | None:
    if text is None:
        return None
    try:
        return Verdict.from_json(text)
    except TORN:
        return None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
