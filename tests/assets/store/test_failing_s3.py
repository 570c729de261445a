"""The store on an S3 server that fails and is slow, and a process that is killed while it writes there."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from faulty_s3 import FaultyServer

from spelangy_assets.execution.build import build
from spelangy_assets.execution.targets import required_targets
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes.sample import TINY
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import Address, ArtifactStore, DatasetName, StoreError
from spelangy_assets.store.files import Files

pytestmark = pytest.mark.slow

# Writes two units, and is killed at a file: in the middle of a shard, before a receipt, before the manifest.
WRITER = """
import os, signal, sys
from pathlib import Path
from spelangy_assets.store.artifacts import Address, ArtifactStore, DatasetName, Identity
from spelangy_assets.store.files import Files
from spelangy_model.records import Metric

root, cache, victim = sys.argv[1:]
open_output, replace, swap = Files.open_output, Files.replace, Files.swap

def die_at(path):
    if victim and path.endswith(victim):
        os.kill(os.getpid(), signal.SIGKILL)

class Torn:
    def __init__(self, path, stream):
        self.path, self.stream = path, stream
    def write(self, data):
        self.stream.write(data)
        die_at(self.path)
    def close(self):
        self.stream.close()
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.close()

Files.open_output = lambda files, path: Torn(path, open_output(files, path))
def trapped(files, path, data):
    die_at(path)
    replace(files, path, data)
Files.replace = trapped
def trapped_swap(files, path, data, old):
    die_at(path)
    return swap(files, path, data, old)
Files.swap = trapped_swap

identity = Identity("toy", "1", "f", {}, [], "v1-toy")
writer = ArtifactStore(root, Path(cache)).writer(DatasetName("recipe", "killed"), identity, {"metrics": Metric})
for unit, value in writer.pending([1.0, 2.0]):
    print("unit", unit, flush=True)
    with writer.unit(unit) as out:
        out.write("metrics", [Metric("toy", "m", value, value, value, 1)])
writer.commit()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    pytest.importorskip("moto.server", reason="the S3 server of the tests (moto[server]) is missing")
    with pytest.MonkeyPatch.context() as patch, FaultyServer(0.0, seed=7, slow_s=0.5) as server:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client(server).create_bucket(Bucket="bucket")
        yield server


def client(server: FaultyServer) -> Any:
    return boto3.client("s3", endpoint_url=f"http://{server.endpoint}")


@pytest.fixture
def failing(server: FaultyServer) -> Iterator[FaultyServer]:
    """The server with one request of twenty failing, and the check that some did."""
    server.share = 0.05
    before = server.counts.copy()
    yield server
    server.share = 0.0
    faults = server.counts - before
    assert faults["error"] > 0, faults


def test_a_large_file_goes_up_in_parts_and_a_small_one_at_once(server: FaultyServer) -> None:
    files, before = Files(server.uri("bucket/parts")), server.counts.total()
    files.replace("mark.json", b"{}")
    assert server.counts.total() - before == 1
    with files.open_output("large.bin") as stream:
        for _ in range(24):
            stream.write(bytes(1 << 20))
        assert files.names("") == [("mark.json", False)]  # it is there when it is whole
    assert files.sizes(["large.bin"]) == [24 << 20]
    assert client(server).head_object(Bucket="bucket", Key="parts/large.bin")["ETag"].strip('"').endswith("-3")


def test_a_small_file_is_read_whatever_the_length_of_the_errors_that_come_first(failing: FaultyServer) -> None:
    failing.share = 0.3
    files = Files(failing.uri("bucket/small"))
    for number in range(10):
        files.replace(f"{number}.json", str(number).encode())
        assert files.read(f"{number}.json") == str(number).encode()


@pytest.mark.nightly
def test_web_speech_on_a_failing_server_has_the_versions_that_it_has_on_a_disk(
    failing: FaultyServer, tmp_path: Path
) -> None:
    graph, versions = TINY.graph, {}
    homes = {
        "disk": Settings.at(tmp_path / "disk"),
        "s3": Settings.at(tmp_path / "s3", SPELANGY_STORE=failing.uri("bucket/web")),
    }
    roots: list[tuple[str, str | None]] = [(f"{name}_ledger", "talk") for name in ("web_coarse", "web_fine")]
    for name, settings in homes.items():
        installation = Installation(settings)
        for asset, partition in required_targets(graph, roots):
            node = graph[asset]
            source = installation.source(node, partition)
            built = build(installation.store, graph, node, partition, installation.execution(), source)
            versions[name, asset] = (built.artifact.data_version, built.verdict.passed)
    assets = {asset for _, asset in versions}
    assert len(assets) == 8
    assert {asset: versions["disk", asset] for asset in assets} == {asset: versions["s3", asset] for asset in assets}


@pytest.mark.parametrize("victim", ["metrics-00001.parquet", "unit-00001.json", "manifest.json"])
def test_a_kill_leaves_nothing_half_visible_and_the_next_run_goes_on(
    failing: FaultyServer, tmp_path: Path, victim: str
) -> None:
    failing.share = 0.2  # of few requests
    root, address = failing.uri(f"bucket/kill-{victim}"), Address("toy")

    def write(root: str, victim: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WRITER, root, str(tmp_path / "cache"), victim]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))

    assert write(root, victim).returncode == -signal.SIGKILL
    store = ArtifactStore(root, tmp_path / "cache")
    assert store.find(address, "v1-toy") is None and list(store.versions()) == []
    with pytest.raises(StoreError, match="not committed"):
        store.resolve(DatasetName("recipe", "killed"))
    if victim == "metrics-00001.parquet":
        assert f"metrics-{1:05}.parquet" not in [name for name, _ in store.files.names(f"{address.path}/v1-toy")]
    done = write(root, "")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == ([] if victim == "manifest.json" else ["unit 1"])  # unit 0 is not done again
    assert write(str(tmp_path / "disk"), "").returncode == 0
    artifact = store.find(address, "v1-toy")
    on_disk = ArtifactStore(tmp_path / "disk", tmp_path).find(address, "v1-toy")
    assert artifact is not None and on_disk is not None
    assert artifact.data_version == on_disk.data_version
