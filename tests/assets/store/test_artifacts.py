import contextlib
import dataclasses
import errno
import gc
import json
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spelangy_assets.store import writer as writing
from spelangy_assets.store.artifacts import (
    Address,
    Artifact,
    ArtifactStore,
    ArtifactWriter,
    CommittedMeanwhile,
    DatasetName,
    Identity,
    PublishedMeanwhile,
    ShardFile,
    StoreError,
)
from spelangy_assets.store.files import Files
from spelangy_assets.store.manifest import (
    Counts,
    Expectation,
    Input,
    Manifest,
    Overrule,
    Publication,
    Receipt,
    Standing,
    Verdict,
    data_version_of,
)
from spelangy_model.records import Audio, Metric, Reject, to_table

TABLES: dict[str, type] = {"metrics": Metric, "rejects": Reject}
NAME = DatasetName("recipe", "toy")
ADDRESS = Address("toy")
PASSED = Verdict("c", True, [Expectation("rows in [1, inf]", "block", True, "1")], "2026-01-01T00:00:00+00:00")
FAILED = dataclasses.replace(PASSED, passed=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    name: str
    audio: Audio


def metric(value: float) -> Metric:
    return Metric("toy", f"m{value}", value, math.nan, math.nan, 1)


def write_unit(writer: ArtifactWriter, unit: int, *values: float) -> None:
    with writer.unit(unit) as out:
        out.read(len(values))
        out.write("metrics", [metric(value) for value in values])


def commit(store: ArtifactStore, identity: Identity, *values: float, name: DatasetName = NAME) -> Artifact:
    writer = store.writer(name, identity, TABLES)
    write_unit(writer, 0, *values)
    writer.commit()
    artifact = store.find(Address(identity.stage, name.partition), identity.build_key)
    assert artifact is not None
    return artifact


# --- addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "_", "..", ".hidden", "a/b", "a\\b", "a\0b", "\udcff"])
def test_names_that_would_leave_the_layout_are_refused(name: str):
    for names in ((name, "dataset", None), ("recipe", name, None), ("recipe", "dataset", name)):
        with pytest.raises(ValueError, match="cannot name a folder"):
            DatasetName(*names)
    for place in ((name, None), ("stage", name)):
        with pytest.raises(ValueError, match="cannot name a folder"):
            Address(*place)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "a/.."])
def test_no_path_leaves_the_root(store: ArtifactStore, path: str):
    for act in (store.files.read, store.files.delete, lambda path: store.files.replace(path, b"x")):
        with pytest.raises(ValueError, match="leaves its folder"):
            act(path)


def test_places_are_folders_and_files_of_their_own():
    addresses = [Address("a"), Address("a", "p"), Address("b"), Address("a", "2026-01-01 \xe9")]
    names = [DatasetName("r", "a"), DatasetName("r", "a", "p"), DatasetName("s", "a"), DatasetName("r", "b", "p.json")]
    assert len({one.path for one in [*addresses, *names]}) == len(addresses) + len(names)
    for name in names:
        _, recipe, dataset, file = name.path.split("/")
        assert DatasetName.of(recipe, dataset, file) == name


def test_a_store_of_another_layout_is_refused_and_left_alone(tmp_path: Path, identity: Identity):
    root = tmp_path / "old"
    (root / "sample" / "raw_audio" / "_").mkdir(parents=True)
    (root / "sample" / "raw_audio" / "_" / "LATEST.json").write_text("{}")
    before = sorted(path for path in root.rglob("*"))
    old = ArtifactStore(root, tmp_path)
    for act in (
        lambda: old.find(ADDRESS, "v1"),
        lambda: old.writer(NAME, identity, TABLES),
        old.recipes,
        lambda: list(old.versions()),
    ):
        with pytest.raises(StoreError, match=r"another layout.* name another SPELANGY_STORE; nothing there was moved"):
            act()
    assert sorted(path for path in root.rglob("*")) == before


# --- writing, committing, reading -------------------------------------------------------------------------


def test_a_committed_version_holds_what_was_written(store: ArtifactStore, identity: Identity):
    writer = store.writer(NAME, identity, TABLES)
    with writer.unit(0) as out:
        out.write("metrics", [metric(1)])
        out.write("metrics", iter([metric(2)]))
        out.write("rejects", [Reject("a.wav", "", "broken", "no header")])
        out.write_file("model/weights.bin", b"weights")
        out.write_file("log.txt", b"log", identity=False)
    write_unit(writer, 1, 3)
    assert store.find(ADDRESS, identity.build_key) is None
    manifest = writer.commit()
    artifact = store.find(ADDRESS, identity.build_key)
    assert artifact is not None
    assert artifact.manifest == manifest
    assert [row.value for row in artifact.records("metrics", Metric)] == [1, 2, 3]
    assert artifact.table("metrics", ["value"]).column_names == ["value"]
    assert manifest.rows("metrics") == 3
    assert [row.reason for row in artifact.records("rejects", Reject)] == ["broken"]
    assert artifact.read_file("model/weights.bin") == b"weights"
    assert [shard.path for shard in manifest.attachments] == ["log.txt"]
    with pytest.raises(StoreError, match="no table 'other'"):
        artifact.table("other")


def test_shards_are_read_in_the_order_of_units(store: ArtifactStore, identity: Identity):
    writer = store.writer(NAME, identity, TABLES)
    for unit in reversed(range(12)):
        write_unit(writer, unit, unit)
    writer.commit()
    artifact = store.find(ADDRESS, identity.build_key)
    assert artifact is not None
    assert [row.value for row in artifact.records("metrics", Metric)] == list(range(12))


def test_long_shards_come_back_batch_by_batch(store: ArtifactStore, identity: Identity):
    artifact = commit(store, identity, *range(2500))
    (shard,) = artifact.shards("metrics")
    assert shard.rows == 2500
    assert [row.value for row in shard.iter_records(Metric, batch_rows=7)] == list(range(2500))
    assert [row.value for row in shard.records(Metric)] == list(range(2500))


def test_chosen_records_come_in_order_and_of_the_row_groups_that_hold_them_alone(
    store: ArtifactStore, identity: Identity, monkeypatch: pytest.MonkeyPatch
):
    writer = store.writer(NAME, identity, TABLES)
    with writer.unit(0) as out:
        out.write("metrics", [Metric(f"m{i}", "toy", i, 0, 0, 1) for i in range(2500)])
    writer.commit()
    artifact = store.find(ADDRESS, identity.build_key)
    assert artifact is not None
    (shard,) = artifact.shards("metrics")
    read: list[tuple[int, int]] = []
    whole = pq.ParquetFile.read_row_group

    def read_row_group(file: pq.ParquetFile, group: int, columns: list[str]):
        read.append((group, len(columns)))
        return whole(file, group, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
    found = list(shard.chosen_records(Metric, "subject", {"m2401", "m7", "m2400", "none"}))
    assert [row.subject for row in found] == ["m7", "m2400", "m2401"]
    groups = {group for group, _ in read}
    assert len(groups) > 2 and {group for group, columns in read if columns > 1} == {min(groups), max(groups)}


def test_drops_and_counts_add_up_over_units(store: ArtifactStore, identity: Identity):
    writer = store.writer(NAME, identity, TABLES)
    for unit, dropped in enumerate([{"too_short": 2}, {"too_short": 1, "no_speech": 3}, {}]):
        with writer.unit(unit) as out:
            out.read(10)
            out.write("metrics", [metric(number) for number in range(10 - sum(dropped.values()))])
            for reason, count in dropped.items():
                out.drop(reason, count)
            out.add("hours_kept", 0.25)
            out.add("hours_kept", 0.25)
    counts = writer.commit().counts
    assert counts == Counts(30, 24, {"too_short": 3, "no_speech": 3}, {"hours_kept": 1.5})
    assert counts.records_in == counts.records_kept + sum(counts.dropped.values())


def test_an_explicit_count_of_kept_records_stands_for_the_rows(store: ArtifactStore, identity: Identity):
    writer = store.writer(NAME, identity, TABLES)
    with writer.unit(0) as out:
        out.write("metrics", [metric(1), metric(2)])
        out.kept(0)
    assert writer.commit().counts.records_kept == 0


def test_counts_add_in_any_grouping():
    one, two, three = Counts(1, 1, {"a": 1}, {}), Counts(2, 0, {"b": 2}, {"s": 0.5}), Counts(0, 0, {"a": 4}, {"s": 1.0})
    assert (one + two) + three == one + (two + three) == Counts(3, 1, {"a": 5, "b": 2}, {"s": 1.5})
    assert one + Counts() == one


def test_no_input_gives_tables_without_rows(store: ArtifactStore, identity: Identity):
    store.writer(NAME, identity, TABLES).commit()
    artifact = store.find(ADDRESS, identity.build_key)
    assert artifact is not None
    assert artifact.table("metrics").num_rows == 0
    assert list(artifact.records("rejects", Reject)) == []


def test_a_unit_larger_than_memory_goes_to_disk_as_it_comes(
    store: ArtifactStore, identity: Identity, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writing, "_ROW_GROUP_AUDIO_BYTES", 1000)
    folder = store.files.local(ADDRESS.path) / identity.build_key
    on_disk = folder / "clips-00000.parquet"
    clip = Clip("c", Audio(b"\0\1" * 250, "c.flac"))
    sizes = []

    def clips() -> Iterator[Clip]:
        for _ in range(5):
            yield clip
            (draft,) = folder.glob(".clips-00000.parquet.*.draft")
            sizes.append(draft.stat().st_size)

    writer = store.writer(NAME, identity, {"clips": Clip})
    with writer.unit(0) as out:
        out.write("clips", clips())
    writer.commit()
    assert sizes[0] < sizes[1] == sizes[2] < sizes[3]  # two of 500 bytes fill a row group
    assert [group.num_rows for group in row_groups(on_disk)] == [2, 2, 1]
    artifact = store.find(ADDRESS, identity.build_key)
    assert artifact is not None
    assert list(artifact.records("clips", Clip)) == [clip] * 5
    assert artifact.manifest.counts.records_kept == 5


def test_a_unit_written_behind_has_equal_bytes_and_ends_after_its_block(
    store: ArtifactStore, identity: Identity, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writing, "_ROW_GROUP_ROWS", 3)
    gate = threading.Event()
    append = writing._ShardSink.append

    def slow(sink: Any, rows: Any) -> None:
        assert gate.wait(10)
        append(sink, rows)

    def write(writer: ArtifactWriter, behind: bool) -> None:
        for unit in range(2):
            with writer.unit(unit, behind=behind) as out:
                out.write("metrics", [metric(10 * unit + n) for n in range(5)])
            if behind and unit == 0:
                assert not writer.done(0), "its rows are not written yet"
                gate.set()
        writer.commit()

    monkeypatch.setattr(writing._ShardSink, "append", slow)
    behind = store.writer(NAME, identity, TABLES)
    with contextlib.closing(behind):
        write(behind, behind=True)
    at_once = store.writer(NAME, dataclasses.replace(identity, build_key="v1-again"), TABLES)
    write(at_once, behind=False)
    one, two = store.find(ADDRESS, "v1-toy"), store.find(ADDRESS, "v1-again")
    assert one is not None
    assert two is not None
    assert one.manifest.shards == two.manifest.shards


def test_what_fails_behind_leaves_no_receipt_and_the_units_before_it(
    store: ArtifactStore, identity: Identity, monkeypatch: pytest.MonkeyPatch
):
    append = writing._ShardSink.append

    def full(sink: Any, rows: Any) -> None:
        if isinstance(rows, list) and any(row.value == 2 for row in rows):
            raise OSError(errno.ENOSPC, "no space left on device")
        append(sink, rows)

    monkeypatch.setattr(writing._ShardSink, "append", full)
    monkeypatch.setattr(writing, "_ROW_GROUP_ROWS", 1)
    writer = store.writer(NAME, identity, TABLES)

    def write() -> None:
        for unit, values in enumerate([(1, 1), (2, 2), (3, 3)]):
            with writer.unit(unit, behind=True) as out:
                out.write("metrics", [metric(value) for value in values])
        writer.commit()

    with contextlib.closing(writer), pytest.raises(OSError, match="no space"):
        write()
    folder = store.files.local(writer.path)
    assert [path.name for path in folder.glob("unit-*.json")] == ["unit-00000.json"]
    assert list(folder.glob(".*.draft")) == []
    monkeypatch.setattr(writing._ShardSink, "append", append)
    again = store.writer(NAME, identity, TABLES)
    assert [unit for unit, _ in again.pending(range(3))] == [1, 2]


def test_an_error_in_a_block_lets_the_unit_before_it_end(store: ArtifactStore, identity: Identity):
    writer = store.writer(NAME, identity, TABLES)
    with writer.unit(0, behind=True) as out:
        out.write("metrics", [metric(0)])
    with pytest.raises(KeyboardInterrupt), writer.unit(1, behind=True):
        raise KeyboardInterrupt
    assert [writer.done(0), writer.done(1)] == [True, False]


@pytest.mark.filterwarnings("error")
def test_the_memory_of_a_shard_is_freed_whether_it_is_kept_or_given_up(store: ArtifactStore, identity: Identity):
    rows = to_table([metric(number / 7) for number in range(3000)], Metric)
    writer = store.writer(NAME, identity, TABLES)
    held = []
    for unit in range(8):
        with contextlib.suppress(InterruptedError), writer.unit(unit) as out:
            out.write_rows("metrics", rows)
            if unit % 2:
                raise InterruptedError
        gc.collect(1)  # what the block made; all that this process holds takes half a second
        held.append(pa.total_allocated_bytes())
    assert max(held[2:]) <= held[1]


def test_reading_row_by_row_holds_a_row_group_and_not_a_shard(tmp_path: Path):
    sound = np.random.default_rng(0).integers(0, 256, (64, 1_000_000), np.uint8)
    table = pa.table({"number": range(64), "sound": [one.tobytes() for one in sound]})
    pq.write_table(table, tmp_path / "sound.parquet", row_group_size=4)
    del table
    before, held, numbers = pa.total_allocated_bytes(), [], []
    for batch in ShardFile(Files(str(tmp_path)), "sound.parquet", 64).batches(batch_rows=3):
        held.append(pa.total_allocated_bytes() - before)
        numbers += batch.column("number").to_pylist()
    assert numbers == list(range(64))
    assert max(held) < 20_000_000, "16 row groups of 4 MB"


def row_groups(path: Path) -> list[Any]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(i) for i in range(metadata.num_row_groups)]


def test_mistakes_of_a_stage_are_errors(store: ArtifactStore, identity: Identity):
    writer = store.writer(NAME, identity, TABLES)
    with pytest.raises(ValueError, match="not declared"), writer.unit(0) as out:
        out.write("other", [metric(1)])
    write_unit(writer, 1, 1)
    with pytest.raises(ValueError, match="not consecutive"):
        writer.commit()
    assert store.find(ADDRESS, identity.build_key) is None


@pytest.mark.parametrize(
    "path",
    [
        *(
            "manifest.json",
            "verdict-0a.json",
            "broken.json",
            "broken-1.json",
            "used",
            "unit-00000.json",
            "metrics-00001.parquet",
            "taken.bin",
            "_scratch/x",
        ),
        *("", "../x", "/x", "a//b", ".x", "a/.x"),
    ],
)
def test_a_file_never_takes_the_place_of_another(store: ArtifactStore, identity: Identity, path: str):
    writer = store.writer(NAME, identity, TABLES)
    with writer.unit(0) as out:
        out.write_file("taken.bin", b"1")
    with pytest.raises(ValueError, match="cannot write"), writer.unit(1) as out:
        out.write_file(path, b"2")
    with writer.unit(1) as out:
        out.write_file("x.bin", b"2")
        with pytest.raises(ValueError, match="twice"):
            out.write_file("x.bin", b"3")


def test_a_folder_is_stored_by_its_relative_names(store: ArtifactStore, identity: Identity, tmp_path: Path):
    for name in ("b.txt", "a/c.txt"):
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / name).write_text(name)
    writer = store.writer(NAME, identity, {})
    with writer.unit(0) as out:
        out.write_folder(tmp_path / "made", "model/")
    manifest = writer.commit()
    assert [shard.path for shard in manifest.shards] == ["model/a/c.txt", "model/b.txt"]
    artifact = store.find(ADDRESS, identity.build_key)
    assert artifact is not None
    assert (artifact.local_folder(tmp_path) / "model" / "a" / "c.txt").read_text() == "a/c.txt"


def test_scratch_outlives_a_kill_and_not_the_commit(store: ArtifactStore, identity: Identity):
    writer = store.writer(NAME, identity, TABLES)
    (writer.scratch / "checkpoint").write_text("step 100")
    again = store.writer(NAME, identity, TABLES)
    assert (again.scratch / "checkpoint").read_text() == "step 100"
    folder = again.scratch
    write_unit(again, 0, 1)
    again.commit()
    assert not folder.exists()


# --- versions ---------------------------------------------------------------------------------------------


def test_equal_records_are_equal_bytes_wherever_they_lie(tmp_path: Path, identity: Identity):
    versions = {
        commit(
            ArtifactStore(tmp_path / root, tmp_path), dataclasses.replace(identity, build_key=key), 1, 2
        ).data_version
        for root, key in (("one", "v1-a"), ("two/deep", "v1-a"), ("one", "v2-b"))
    }
    assert len(versions) == 1


def test_other_records_are_another_version(store: ArtifactStore, identity: Identity):
    versions = set()
    for number, values in enumerate([(1, 2), (2, 1), (1,), (), (1, 2, 2)]):
        versions.add(commit(store, dataclasses.replace(identity, build_key=f"v1-{number}"), *values).data_version)
    assert len(versions) == 5


def test_attachments_times_and_counts_are_outside_the_version(store: ArtifactStore, identity: Identity):
    versions = set()
    for log in (b"fast", b"slow"):
        writer = store.writer(NAME, dataclasses.replace(identity, build_key=f"v1-{log.decode()}"), TABLES)
        with writer.unit(0) as out:
            out.read(len(log))
            out.write("metrics", [metric(1)])
            out.write_file("log.txt", log, identity=False)
            out.add(log.decode(), 1)
        versions.add(writer.commit().data_version)
    assert len(versions) == 1


def test_shards_hold_no_name_of_where_or_when(store: ArtifactStore, identity: Identity, tmp_path: Path):
    artifact = commit(store, identity, 1)
    data = artifact.read_file("metrics-00000.parquet")
    for word in (str(tmp_path), "recipe", "v1-toy", artifact.manifest.provenance["host"]):
        assert word.encode() not in data
    schema = pq.read_schema(store.files.local(f"{artifact.path}/metrics-00000.parquet"))
    assert set(schema.metadata or {}) <= {b"ARROW:schema"}


def test_a_version_without_shards_is_that_of_its_inputs():
    def child(asset: str, data_version: str, build_key: str = "v1") -> Input:
        return Input("member", asset, None, build_key, data_version)

    version = data_version_of([], [child("a", "1"), child("b", "2")])
    assert version == data_version_of([], [child("b", "2"), child("a", "1")])
    assert version == data_version_of([], [child("a", "1", "v2"), child("b", "2")])
    assert version != data_version_of([], [child("a", "1")])
    assert version != data_version_of([], [child("a", "2"), child("b", "1")])


# --- marks that are torn, altered or of another version ---------------------------------------------------


def torn(data: bytes) -> list[bytes]:
    """Return every kind of ruin that a kill or a full disk leaves of a JSON document."""
    assert b"\xcf\x89" in data, "the document has a character of two bytes, so that it can be cut in the middle"
    middle = data.index(b"\xcf\x89") + 1
    return [
        b"",
        data[:middle],
        data[: len(data) // 2],
        data[:-1],
        bytes(len(data)),
        b"null",
        b"[]",
        b"{}",
        b"1",
        b'"a"',
    ]


OMEGA = "\N{GREEK SMALL LETTER OMEGA}"


def test_a_torn_receipt_is_never_believed(store: ArtifactStore, identity: Identity):
    writer = store.writer(NAME, identity, TABLES)
    with writer.unit(0) as out:
        out.drop(OMEGA)
    path = f"{writer.path}/unit-00000.json"
    whole = store.files.read(path)
    assert store.writer(NAME, identity, TABLES).done(0)
    for ruin in torn(whole):
        store.files.write(path, ruin)
        assert not store.writer(NAME, identity, TABLES).done(0), ruin


def test_a_receipt_of_another_build_is_never_believed(store: ArtifactStore, identity: Identity):
    writer = store.writer(NAME, identity, TABLES)
    write_unit(writer, 0, 1)
    path = f"{writer.path}/unit-00000.json"
    receipt = Receipt.from_json(store.files.read(path))
    store.files.replace(path, dataclasses.replace(receipt, build_key="v1-other").to_json())
    assert not store.writer(NAME, identity, TABLES).done(0)


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_receipt_without_its_files_is_never_believed(store: ArtifactStore, identity: Identity, damage: str):
    writer = store.writer(NAME, identity, TABLES)
    write_unit(writer, 0, 1)
    shard = store.files.local(f"{writer.path}/metrics-00000.parquet")
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-10])
    assert not store.writer(NAME, identity, TABLES).done(0)


def test_a_torn_manifest_is_no_commit(store: ArtifactStore, identity: Identity):
    artifact = commit(store, dataclasses.replace(identity, config={"word": OMEGA}), 1)
    store.judge(NAME, artifact, PASSED)
    path = f"{artifact.path}/manifest.json"
    whole = store.files.read(path)
    for ruin in [*torn(whole), whole.replace(b'"units"', b'"younits"')]:
        store.files.write(path, ruin)
        assert store.find(ADDRESS, identity.build_key) is None, ruin
        assert store.latest(NAME) is None
        assert list(store.versions()) == []
        with pytest.raises(StoreError, match="not committed"):
            store.resolve(NAME)


def test_a_copied_folder_is_no_version_of_another_name(store: ArtifactStore, identity: Identity):
    artifact = commit(store, identity, 1)
    for path, address, key in (
        ("data/toy/_/v1-other", ADDRESS, "v1-other"),
        ("data/other/_/v1-toy", Address("other"), "v1-toy"),
        ("data/toy/p/v1-toy", Address("toy", "p"), "v1-toy"),
    ):
        store.files.replace(f"{path}/manifest.json", store.files.read(f"{artifact.path}/manifest.json"))
        assert store.find(address, key) is None


def test_a_torn_verdict_is_none(store: ArtifactStore, identity: Identity):
    artifact = commit(store, identity, 1)
    store.judge(NAME, artifact, dataclasses.replace(PASSED, contract_fingerprint=OMEGA))
    path = f"{artifact.path}/verdict-{OMEGA}.json"
    for ruin in torn(store.files.read(path)):
        store.files.write(path, ruin)
        assert store.measured(artifact, OMEGA) is None, ruin
        with pytest.raises(StoreError, match="has no verdict"):
            store.resolve(NAME)


def test_a_torn_mark_publishes_nothing_and_the_next_judgement_mends_it(store: ArtifactStore, identity: Identity):
    artifact = commit(store, identity, 1)
    store.judge(NAME, artifact, PASSED)
    whole = store.files.read(NAME.path)
    record = json.loads(whole)
    gone = json.dumps({**record, "published": {**record["published"], "build_key": "v1-gone"}}).encode()
    for ruin in (
        b"",
        whole[:-1],
        whole[: len(whole) // 2],
        b"[]",
        b"{}",
        b'{"other": 1}',
        b"\xff",
        b"1",
        b"null",
        gone,
    ):
        store.files.write(NAME.path, ruin)
        assert store.latest(NAME) is None, ruin
        if ruin != gone:
            with pytest.raises(StoreError, match="cannot be read"):
                store.publication(NAME)
    store.judge(NAME, artifact, PASSED)
    assert store.latest(NAME) == artifact


def test_documents_come_back_as_they_were(store: ArtifactStore, identity: Identity):
    child = Input("above", "a", None, "v1", "d", "name")
    artifact = commit(store, dataclasses.replace(identity, inputs=[child], config={"a": [1, 2.5, None, OMEGA]}), 1)
    assert Manifest.from_json(artifact.manifest.to_json()) == artifact.manifest
    assert Verdict.from_json(PASSED.to_json()) == PASSED
    standing = Standing("s", "v1", "d", "c", "now", PASSED.expectations, Overrule("A. Person", OMEGA, "now"))
    record = Publication(published=standing, failed=dataclasses.replace(standing, overruled=None, drift=[]))
    assert Publication.from_json(record.to_json()) == record


# --- publishing and the read guard ------------------------------------------------------------------------


def test_only_what_passed_is_published_and_read(store: ArtifactStore, identity: Identity):
    with pytest.raises(StoreError, match="never built"):
        store.resolve(NAME)
    good = commit(store, identity, 1)
    with pytest.raises(StoreError, match="not committed or not judged"):
        store.resolve(NAME)
    store.judge(NAME, good, PASSED)
    assert store.resolve(NAME) == good
    bad = commit(store, dataclasses.replace(identity, build_key="v2-toy"), 2)
    store.judge(NAME, bad, FAILED)
    assert store.resolve(NAME) == good
    with pytest.raises(StoreError, match="failed its contract"):
        store.open(bad.as_input("above"))
    store.judge(NAME, bad, dataclasses.replace(PASSED, contract_fingerprint="other"))
    assert store.resolve(NAME) == bad
    assert store.open(good.as_input("above")) == good


def test_a_published_version_that_fails_later_is_not_read(store: ArtifactStore, identity: Identity):
    artifact = commit(store, identity, 1)
    store.judge(NAME, artifact, PASSED)
    store.judge(NAME, artifact, dataclasses.replace(FAILED, contract_fingerprint="stricter"))
    with pytest.raises(StoreError, match="failed its contract"):
        store.resolve(NAME)


def test_a_pinned_version_that_is_gone_is_named(store: ArtifactStore, identity: Identity):
    artifact = commit(store, identity, 1)
    store.judge(NAME, artifact, PASSED)
    store.files.delete(artifact.path)
    with pytest.raises(StoreError, match="v1-toy is not in"):
        store.open(artifact.as_input("above"))


def test_all_committed_versions_are_listed_with_their_state(store: ArtifactStore, identity: Identity):
    one = commit(store, identity, 1)
    in_p = dataclasses.replace(NAME, partition="p")
    two = commit(store, dataclasses.replace(identity, build_key="v2-toy"), 2, name=in_p)
    other = commit(store, dataclasses.replace(identity, stage="elsewhere"), 3, name=DatasetName("another", "toy"))
    store.judge(NAME, one, PASSED)
    store.judge(in_p, two, FAILED)
    write_unit(store.writer(NAME, dataclasses.replace(identity, build_key="begun"), TABLES), 0, 1)
    strays = ("notes.txt", ".cache/x", "data/notes.txt", "data/toy/notes.txt", "data/.cache/x", "recipes/x/notes.txt")
    for stray in strays:
        store.files.write(stray, b"not ours")
    assert {str(found.address): found for found in store.versions()} == {"toy": one, "toy[p]": two, "elsewhere": other}
    assert [(found.name, found) for found in store.published()] == [(NAME, one)]
    assert {str(name): record.failed and record.failed.build_key for name, record in store.publications()} == {
        "recipe/toy": None,
        "recipe/toy[p]": "v2-toy",
    }
    assert store.publications("another") == []
    assert store.verdicts(two) == [FAILED]


def test_the_publication_names_the_version(store: ArtifactStore, identity: Identity):
    artifact = commit(store, identity, 1)
    store.judge(NAME, artifact, PASSED)
    record = json.loads(store.files.read("recipes/recipe/toy/_.json"))
    published = record["published"]
    assert {field: published[field] for field in ("stage", "build_key", "data_version", "contract", "drift")} == {
        "stage": "toy",
        "build_key": "v1-toy",
        "data_version": artifact.data_version,
        "contract": "c",
        "drift": [],
    }
    assert (record["failed"], record["withdrawn"]) == (None, "")


# --- several recipes --------------------------------------------------------------------------------------

OTHER = DatasetName("other", "another_name")


def test_no_recipe_inherits_an_overruling_or_a_drift_of_another(store: ArtifactStore, identity: Identity):
    artifact = commit(store, identity, 1)
    drift = [Expectation("moved", "warn", False, "9")]
    for name in (NAME, OTHER):
        store.judge(name, artifact, FAILED, drift if name == NAME else [])
    store.overrule(NAME, "A. Person", "it is known")
    assert store.resolve(NAME) == artifact
    with pytest.raises(StoreError, match="did not pass"):
        store.resolve(OTHER)
    one, other = (store.standing_verdict(name, artifact, "c") for name in (NAME, OTHER))
    assert one is not None and other is not None
    assert one.overruled is not None and one.expectations == [*FAILED.expectations, *drift]
    assert other.overruled is None and other.expectations == FAILED.expectations


def test_a_recipe_that_retires_withdraws_its_publications_alone(store: ArtifactStore, identity: Identity):
    artifact = commit(store, identity, 1)
    for name in (NAME, OTHER):
        store.judge(name, artifact, PASSED)
    assert store.retire("other") == 1
    assert store.latest(OTHER) is None
    assert store.resolve(NAME) == artifact
    for name in ("other", "never"):
        with pytest.raises(StoreError, match="there are recipe"):
            store.retire(name)
    with pytest.raises(ValueError, match="cannot name"):
        store.retire("../data")


# --- several processes ------------------------------------------------------------------------------------


def before_the_swap(monkeypatch: pytest.MonkeyPatch, other: Callable[[], Any]) -> None:
    """Let another process act once, just before the first swap: after this one looked, before it writes."""
    swap, left = Files.swap, [other]

    def late(files: Files, path: str, data: bytes, old: bytes | None) -> bool:
        if left:
            left.pop()()
        return swap(files, path, data, old)

    monkeypatch.setattr(Files, "swap", late)


def test_the_second_of_two_equal_commits_is_the_first(
    store: ArtifactStore, identity: Identity, monkeypatch: pytest.MonkeyPatch
):
    one, two = (store.writer(NAME, identity, TABLES) for _ in range(2))
    for writer in (one, two):
        write_unit(writer, 0, 1)
    first: list[Manifest] = []
    before_the_swap(monkeypatch, lambda: first.append(one.commit()))
    assert [two.commit()] == first
    artifact = store.find(ADDRESS, identity.build_key)
    assert artifact is not None and artifact.manifest == first[0]


def test_a_commit_of_other_data_is_an_error_and_changes_nothing(
    store: ArtifactStore, identity: Identity, monkeypatch: pytest.MonkeyPatch
):
    one, two = (store.writer(NAME, identity, TABLES) for _ in range(2))
    write_unit(one, 0, 1)
    write_unit(two, 0, 2)
    before_the_swap(monkeypatch, one.commit)
    with pytest.raises(StoreError, match=r"with other bytes in \['metrics-00000.parquet'\].* force=true"):
        two.commit()
    artifact = store.find(ADDRESS, identity.build_key)
    assert artifact is not None
    assert [shard.sha256 for shard in artifact.manifest.shards if shard.table == "metrics"] == [
        one._receipts[0].shards[0].sha256
    ]


@pytest.mark.parametrize(("mine", "error"), [(1, CommittedMeanwhile), (9, StoreError)])
def test_a_unit_of_a_version_that_is_committed_is_not_begun(
    store: ArtifactStore, identity: Identity, mine: float, error: type[Exception]
):
    slow = store.writer(NAME, identity, TABLES)
    write_unit(slow, 0, mine)
    fast = store.writer(NAME, dataclasses.replace(identity), TABLES)
    write_unit(fast, 0, 1)
    write_unit(fast, 1, 2)
    fast.commit()
    before = store.files.read(f"{fast.path}/metrics-00001.parquet")
    with pytest.raises(error) as raised, slow.unit(1) as out:
        out.write("metrics", [metric(3)])
    assert raised.type is error
    assert store.files.read(f"{fast.path}/metrics-00001.parquet") == before


def test_a_version_is_published_over_what_was_there_when_it_was_decided(store: ArtifactStore, identity: Identity):
    one, two, three = (commit(store, dataclasses.replace(identity, build_key=f"v{i}-toy"), i) for i in (1, 2, 3))
    nothing = store.mark(NAME)
    store.judge(NAME, one, PASSED, over=nothing)
    store.judge(NAME, one, PASSED, over=nothing)  # published by another process, and the same one
    with pytest.raises(PublishedMeanwhile, match="v2-toy"):
        store.judge(NAME, two, PASSED, over=nothing)
    assert store.resolve(NAME) == one
    was_one = store.mark(NAME)
    store.judge(NAME, two, PASSED, over=was_one)
    with pytest.raises(PublishedMeanwhile):
        store.judge(NAME, three, PASSED, over=was_one)
    assert store.resolve(NAME) == two


def test_a_process_that_judges_late_does_not_wipe_out_an_overruling(
    store: ArtifactStore, identity: Identity, monkeypatch: pytest.MonkeyPatch
):
    artifact = commit(store, identity, 1)
    store.judge(NAME, artifact, FAILED)
    before_the_swap(monkeypatch, lambda: store.overrule(NAME, "A. Person", "it is known"))
    stands = store.judge(NAME, artifact, dataclasses.replace(FAILED, evaluated_at="2026-01-02T00:00:00+00:00"))
    assert stands.overruled is not None and stands.overruled.by == "A. Person"
    assert store.standing_verdict(NAME, artifact, "c") == stands
    assert store.resolve(NAME) == artifact
    other = dataclasses.replace(FAILED, contract_fingerprint="stricter")
    assert store.judge(NAME, artifact, other) == other  # the verdict of another contract was not overruled
    assert store.standing_verdict(NAME, artifact, "stricter") == other


def test_what_is_judged_again_meanwhile_is_not_overruled(
    store: ArtifactStore, identity: Identity, monkeypatch: pytest.MonkeyPatch
):
    artifact = commit(store, identity, 1)
    store.judge(NAME, artifact, FAILED)
    stricter = dataclasses.replace(FAILED, contract_fingerprint="stricter")
    before_the_swap(monkeypatch, lambda: store.judge(NAME, artifact, stricter))
    store.overrule(NAME, "A. Person", "it is known")
    published = store.standing(NAME).published
    assert published is not None and isinstance(published.overruled, Overrule)
    assert published.contract == "stricter"
