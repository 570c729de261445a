"""The store on an S3 server that runs in this process; slow, for it starts one."""

import datetime
import gzip
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from spelangy_assets import lab
from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.stage import Execution, InputError
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.partitions import snapshots
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.sources import files as files_module
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.store.artifacts import ArtifactStore, Damaged, StoreError
from spelangy_assets.store.files import Files, below
from spelangy_assets.store.garbage import delete, find_garbage
from spelangy_assets.store.verify import verify
from spelangy_model.records import Metric, Reject

pytestmark = pytest.mark.slow
PROSE = "The old mill stands at the edge of the village by the brook, and in the winter the wheel rests. " * 3


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """HOST:PORT of an S3 server with a bucket named `bucket`."""
    moto_server = pytest.importorskip("moto.server", reason="the S3 server of the tests (moto[server]) is missing")
    thread = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    thread.start()
    host, port = thread.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="bucket")
        yield f"{host}:{port}"
    thread.stop()


@pytest.fixture
def root(server: str, request: pytest.FixtureRequest) -> str:
    """The URI of a prefix of the test's own."""
    return f"s3://bucket/{request.node.originalname}/store?endpoint_override={server}&scheme=http&region=us-east-1"


def test_files_are_written_listed_and_deleted(root: str):
    files = Files(root)
    assert files.names("") == []
    assert files.read_if_there("a/b.bin") is None
    files.write("a/b/data.bin", b"\x00\xff")
    files.replace("a/mark.json", b"1")
    files.replace("a/mark.json", b"2")
    assert files.read("a/mark.json") == b"2"
    assert files.names("a") == [("b", True), ("mark.json", False)]
    assert files.names("") == [("a", True)]
    files.write("notes.json.gz", b"not packed")
    with files.open_input("notes.json.gz") as stream:
        assert stream.read() == files.read("notes.json.gz") == b"not packed"
    files.delete_file("notes.json.gz")
    assert files.sizes(["a/b/data.bin", "a/none", "a/mark.json"]) == [2, None, 1]
    files.delete("a/b")
    assert [name for name, _ in files.names("a")] == ["mark.json"]
    files.delete("none")


def test_a_bucket_without_a_prefix_is_a_root(server: str):
    files = Files(f"s3://bucket?endpoint_override={server}&scheme=http&region=us-east-1")
    files.write("whole-bucket/a.bin", b"1")
    assert ("whole-bucket", True) in files.names("")
    assert files.uri == "s3://bucket"


def test_a_graph_is_built_read_and_resumed_as_on_a_disk(root: str, store: ArtifactStore, tmp_path: Path, toys: Any):
    contract = Contract("toy", "SELECT count(*) AS rows_found FROM metrics", (Bound("rows_found", 1),))
    remote = ArtifactStore(root, tmp_path / "cache")
    source, reader = toys.node(contract=contract), toys.reader("reader", "source", contract=contract)
    on_disk = [toys.build(store, source).artifact, toys.build(store, reader, source).artifact]
    on_s3 = [toys.build(remote, source).artifact, toys.build(remote, reader, source).artifact]
    assert [one.manifest.build_key for one in on_s3] == [one.manifest.build_key for one in on_disk]
    assert [one.data_version for one in on_s3] == [one.data_version for one in on_disk]
    assert [row.value for row in on_s3[1].records("metrics", Metric)] == [2, 4, 6]
    assert remote.resolve(toys.address("reader")) == on_s3[1]
    assert toys.build(remote, source).cached
    assert on_s3[0].uri == f"{root.partition('?')[0]}/{on_s3[0].path}"

    # A version of which only the receipts are left is gone on with, not begun again.
    toys.log.clear()
    remote.files.filesystem.delete_file(remote.files.full(f"{on_s3[0].path}/manifest.json"))
    remote.files.filesystem.delete_file(remote.files.full(f"{on_s3[0].path}/unit-00001.json"))
    assert toys.build(remote, source).artifact.data_version == on_s3[0].data_version
    assert toys.log == ["unit 1"]
    assert {artifact.name.dataset for artifact in remote.published()} == {"source", "reader"}


def test_a_store_can_be_copied_to_a_disk_and_back(root: str, tmp_path: Path, toys: Any):
    def copy(source: Files, destination: Files) -> None:
        for path in [name for folder in ("recipes", "data", "") for name in names_below(source, folder)]:
            destination.write(path, source.read(path))

    def names_below(files: Files, folder: str) -> Iterator[str]:
        for name, is_folder in files.names(folder):
            path = f"{folder}/{name}".lstrip("/")
            yield from names_below(files, path) if is_folder else [path]

    remote = ArtifactStore(root, tmp_path / "cache")
    made = toys.build(remote, toys.node()).artifact
    disk, back = Files(str(tmp_path / "disk")), Files(root.replace("/store?", "/restored?"))
    copy(remote.files, disk)
    copy(disk, back)
    for uri in (disk.uri, root.replace("/store?", "/restored?")):
        store = ArtifactStore(uri, tmp_path / "cache")
        assert store.resolve(toys.address()).data_version == made.data_version
        assert verify(store, store.versions(), deep=True).damages == ()
        assert toys.build(store, toys.node()).cached


def test_recipes_share_a_damaged_version_is_repaired_and_unused_ones_are_deleted(root: str, tmp_path: Path, toys: Any):
    remote = ArtifactStore(root, tmp_path / "cache")
    made = toys.build(remote, toys.node()).artifact
    toys.log.clear()
    shared = toys.build(remote, toys.node("renamed"), recipe="other")
    assert (shared.cached, shared.shared_from, toys.log) == (True, toys.address(), [])
    assert verify(remote, remote.versions(), deep=True).damages == ()

    # One unit's shard is damaged: the version is set aside by a mark beside it, and that unit alone is made again.
    place = f"{made.path}/metrics-00001.parquet"
    whole = remote.files.read(place)
    remote.files.write(place, whole[:-1] + bytes([whole[-1] ^ 1]))
    (damage,) = verify(remote, remote.versions(), deep=True, repair=True).damages
    assert damage.paths == ("metrics-00001.parquet",)
    assert damage.aside == f"{made.path}/broken-1.json"
    assert "metrics-00001.parquet" in remote.why_set_aside(made.address, made.manifest.build_key)
    with pytest.raises(StoreError, match="cannot be read"):
        remote.resolve(toys.address())
    assert toys.build(remote, toys.node()).artifact.data_version == made.data_version
    assert toys.log == ["unit 1"]
    assert verify(remote, remote.versions(), deep=True).damages == ()
    assert remote.resolve(toys.address("renamed", recipe="other")) == remote.resolve(toys.address())

    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    remote.retire("recipe")
    assert find_garbage(remote, datetime.timedelta(0), now) == []
    remote.retire("other")
    with remote.lease("a build", [(made.address, made.manifest.build_key)]):
        assert find_garbage(remote, datetime.timedelta(0), now) == []
    garbage = find_garbage(remote, datetime.timedelta(0), now)
    assert [one.path for one in delete(remote, garbage)] == [made.path]
    assert list(remote.build_folders()) == []


def test_a_bucket_that_is_not_there_is_no_empty_store(server: str, tmp_path: Path):
    nowhere = ArtifactStore(f"s3://no-such-bucket/x?endpoint_override={server}&scheme=http&region=us-east-1", tmp_path)
    with pytest.raises(StoreError, match="there is no store at s3://no-such-bucket/x"):
        find_garbage(nowhere, datetime.timedelta(0), datetime.datetime.now(datetime.UTC))


def test_files_of_a_model_come_to_disk_once(root: str, tmp_path: Path, toys: Any):
    remote = ArtifactStore(root, tmp_path / "cache")
    artifact = toys.build(remote, toys.node()).artifact
    folder = artifact.local_folder(tmp_path / "cache")
    whole = artifact.read_file("notes/unit-0.txt")
    assert (folder / "notes" / "unit-0.txt").read_bytes() == whole
    copied_at = (folder / "notes" / "unit-0.txt").stat().st_mtime_ns
    assert (artifact.local_folder(tmp_path / "cache") / "notes" / "unit-0.txt").stat().st_mtime_ns == copied_at
    (folder / "notes" / "unit-0.txt").write_bytes(b"another")  # the copy is damaged, and the store not
    assert (artifact.local_folder(tmp_path / "cache") / "notes" / "unit-0.txt").read_bytes() == whole
    remote.files.write(f"{artifact.path}/notes/unit-0.txt", b"another")
    (folder / "notes" / "unit-0.txt").unlink()
    with pytest.raises(Damaged, match="other bytes than its manifest says"):
        artifact.local_folder(tmp_path / "cache")


def test_a_snapshot_in_a_bucket_is_ingested_as_one_on_disk(
    server: str, store: ArtifactStore, execution: Execution, tmp_path: Path
):
    folder = tmp_path / "monday"
    folder.mkdir()
    for number in range(3):
        tone = 0.3 * np.sin(np.arange(16_000) * (number + 1) / 40)
        soundfile.write(folder / f"{number} \N{LATIN SMALL LETTER U WITH DIAERESIS}.wav", tone, 16_000)
    with tarfile.open(folder / "shard.tar", "w") as tar:
        tar.add(folder / "2 \N{LATIN SMALL LETTER U WITH DIAERESIS}.wav", "a.wav")
    (folder / "2 \N{LATIN SMALL LETTER U WITH DIAERESIS}.wav").unlink()
    (folder / "broken.mp3").write_bytes(b"no sound")
    (folder / "manifest.jsonl").write_text('{"file": "shard.tar/a.wav", "url": "https://x.org/a", "licence": "MIT"}\n')
    root = f"s3://bucket/snapshots?endpoint_override={server}&scheme=http&region=us-east-1"
    for path in folder.iterdir():
        Files(root).write(f"audio/monday/{path.name}", path.read_bytes())
    settings = Settings.at(tmp_path / "home", SPELANGY_SNAPSHOTS_S3=root)
    assert "monday" in snapshots(SAMPLE.graph, settings)["raw_audio"]
    node = SAMPLE.graph["raw_audio"]
    source = Installation(settings).source(node, "monday")
    graph = Graph("sample", [node])
    on_s3 = build(store, graph, node, "monday", execution, source).artifact
    on_disk = ArtifactStore(tmp_path / "disk", tmp_path)
    assert (
        on_s3.data_version
        == build(on_disk, graph, node, "monday", execution, FolderSource(folder)).artifact.data_version
    )
    assert on_s3.manifest.counts.records_kept == 3
    assert build(store, graph, node, "monday", execution, source).cached
    Files(root).write("audio/monday/late.wav", (folder / "shard.tar").read_bytes()[512:])
    assert not build(store, graph, node, "monday", execution, source).cached
    with pytest.raises(InputError, match=r"nothing below s3://bucket/snapshots/audio/tuesday:"):
        build(store, graph, node, "tuesday", execution, FolderSource(below(root, "audio", "tuesday")))


def test_pages_of_a_prefix_are_those_of_the_same_files_in_a_folder(
    server: str, store: ArtifactStore, execution: Execution, tmp_path: Path, project_dir: Path
):
    folder = tmp_path / "pages"
    shutil.copytree(project_dir / "spelangy_assets/sample/snapshots/pages/2026-02", folder)
    (folder / "www.mill.example").mkdir()
    html = (
        "<html><body><p>" + "The old mill stands at the edge of the village by the brook. " * 9 + "</p></body></html>"
    )
    (folder / "www.mill.example/index.html").write_text(html)
    (folder / "broken.arc.gz").write_bytes(b"\x1f\x8b broken")
    root = f"s3://bucket/snapshots?endpoint_override={server}&scheme=http&region=us-east-1"
    # not by PyArrow: moto spoils gzip bytes in its multipart uploads
    client = boto3.client("s3", endpoint_url=f"http://{server}")
    for path in folder.rglob("*.*"):
        if path.is_file():
            key = f"snapshots/pages/monday/{path.relative_to(folder)}"
            client.put_object(Bucket="bucket", Key=key, Body=path.read_bytes())
    node = SAMPLE.graph["raw_pages"]
    graph = Graph("sample", [node])
    settings = Settings.at(tmp_path / "home", SPELANGY_SNAPSHOTS_S3=root)
    assert "monday" in snapshots(SAMPLE.graph, settings)["raw_pages"]
    source = Installation(settings).source(node, "monday")
    on_s3 = build(store, graph, node, "monday", execution, source).artifact
    on_disk = build(
        ArtifactStore(tmp_path / "disk", tmp_path), graph, node, "monday", execution, FolderSource(folder)
    ).artifact
    assert on_s3.data_version == on_disk.data_version
    assert on_s3.manifest.counts.dropped["broken_archive"] == 1
    assert "https://www.mill.example/" in on_s3.shards("pages")[-1].table(["url"])["url"].to_pylist()


def test_texts_of_a_prefix_are_those_of_the_same_files_in_a_folder_and_are_streamed(
    server: str, store: ArtifactStore, execution: Execution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = [{"text": f"{PROSE}Line {number} ends here.", "url": f"https://x.org/{number}"} for number in range(3000)]
    folder = tmp_path / "texts"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows[:1000]), folder / "a.parquet", row_group_size=100)
    lines = "".join(json.dumps(row) + "\n" for row in rows[1000:2000]) + "{no json\n"
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    with pa.CompressedOutputStream(str(folder / "c.jsonl.zst"), "zstd") as out:
        out.write("".join(json.dumps(row) + "\n" for row in rows[2000:] + rows[:5]).encode())
    (folder / "d.jsonl").write_text(lines * 5)
    root = f"s3://bucket/snapshots?endpoint_override={server}&scheme=http&region=us-east-1"
    client = boto3.client("s3", endpoint_url=f"http://{server}")
    for path in folder.iterdir():
        client.put_object(Bucket="bucket", Key=f"snapshots/texts/monday/{path.name}", Body=path.read_bytes())
    node = lab.Recipe("texts", lab.texts({"monday": lab.Arriving()})).graph["supplied_texts"]
    source = Installation(Settings.at(tmp_path / "home", SPELANGY_SNAPSHOTS_S3=root)).source(node, "monday")
    reads: list[int] = []
    reader = files_module.SnapshotFiles.open

    def open_noted(self: files_module.SnapshotFiles, name: str) -> Any:
        stream: Any = reader(self, name)
        reads.append(stream.size())
        return stream

    graph = Graph("texts", [node])
    on_disk = build(
        ArtifactStore(tmp_path / "disk", tmp_path), graph, node, "monday", execution, FolderSource(folder)
    ).artifact
    monkeypatch.setattr(files_module.SnapshotFiles, "open", open_noted)
    on_s3 = build(store, graph, node, "monday", execution, source).artifact
    assert on_s3.data_version == on_disk.data_version
    assert sorted(reads) == sorted(path.stat().st_size for path in folder.iterdir())
    assert on_s3.manifest.rows("texts") == 3000
    assert on_s3.manifest.counts.dropped == {"not_json": 6, "duplicate": 5005}
    (torn,) = [one.source_uri for one in on_s3.records("rejects", Reject) if one.source_uri.startswith("b.")]
    assert torn == "b.jsonl.gz#line=1001"
